"""Make a default (CUDA) torch wheel importable with no CUDA wheels: generate tiny stub .so files
for every CUDA library that is missing.  usage: python torch_stub.py <site-packages>"""

import collections, glob, os, re, subprocess, sys, tempfile

sp = sys.argv[1]
lib = os.path.join(sp, "torch", "lib")


def sh(*a):
    return subprocess.run(a, capture_output=True, text=True, check=True).stdout


objs = sorted(glob.glob(lib + "/*.so*"))
objs = [o for o in objs if not os.path.islink(o) and os.path.isfile(o)]
SYS = re.compile(r"^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|gomp|gfortran|z|quadmath)\.so|ld-linux)")
have = {os.path.basename(o) for o in objs}
present = set(glob.glob(sp + "/nvidia/**/*.so*", recursive=True))
need = collections.OrderedDict()
vers = {}
und = {}
defined = set()
for o in objs + sorted(present):
    mine = o in objs
    for m in re.finditer(
        r"^\s*\d+:\s+\S+\s+\S+\s+(\S+)\s+(\S+)\s+\S+\s+(\S+)\s+(\S+)", sh("readelf", "--dyn-syms", "-W", o), re.M
    ):
        typ, bind, ndx, name = m.groups()
        base, _, ver = name.partition("@")
        ver = ver.lstrip("@")
        if ndx == "UND":
            if mine and bind != "WEAK":
                und[(base, ver)] = typ
        else:
            defined.add(base)
    if not mine:
        continue
    for m in re.finditer(r"NEEDED.*\[(.+?)\]", sh("readelf", "-d", o)):
        if not SYS.match(m[1]) and m[1] not in have:
            need[m[1]] = 1
    cur = None
    for line in sh("readelf", "-V", "-W", o).splitlines():
        f = re.search(r"File: (\S+)", line)
        if f:
            cur = f[1]
        n = re.search(r"Name: (\S+)\s+Flags", line)
        if n and cur:
            vers.setdefault(cur, set()).add(n[1])
missing = [n for n in need if n not in {os.path.basename(p) for p in present}]
print("stubbing:", missing)
ver_of = {v: s for s in missing for v in vers.get(s, ())}
sys_vers = {v for s, vs in vers.items() if s not in missing for v in vs}
per = collections.defaultdict(set)
for (base, ver), typ in und.items():
    if ver and ver in ver_of:
        per[ver_of[ver]].add((base, ver))
    elif not ver and base not in defined:
        [per[s].add((base, "")) for s in missing]
for s in missing:
    src = ["void *stub_ret(void){return 0;}"]
    vs = collections.defaultdict(list)
    for base, ver in sorted(per[s]):
        if base.startswith("_Z") or re.match(r"^[A-Za-z_]\w*$", base):
            src.append(f"int {base}(void){{return 1;}}")
            vs[ver].append(base)
    c = os.path.join(tempfile.gettempdir(), f"stub_{os.getpid()}.c")
    open(c, "w").write("\n".join(src))
    cmd = ["gcc", "-shared", "-fPIC", "-w", "-fno-builtin", "-O1", f"-Wl,-soname,{s}", "-o", os.path.join(lib, s), c]
    if any(vs):
        mp = c + ".map"
        open(mp, "w").write("".join(f"{v} {{ global: {'; '.join(b)}; }};\n" for v, b in vs.items() if v))
        cmd.insert(1, f"-Wl,--version-script,{mp}")
    subprocess.run(cmd, check=True)
    print(s, len(per[s]), "symbols")
