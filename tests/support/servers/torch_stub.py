"""Makes a torch wheel for CUDA importable without CUDA: tiny stub libraries for those that are missing.

``torch_stub.py SITE_PACKAGES``; needs gcc and readelf. The stubs define what torch's own libraries ask of them, under
the versions they ask for; nothing in them is ever called on a machine without a GPU.
"""

import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

_SYSTEM = re.compile(r"^(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|gomp|gfortran|z|quadmath)\.so|ld-linux)")
_SYMBOL = re.compile(r"^\s*\d+:\s+\S+\s+\S+\s+(\S+)\s+(\S+)\s+\S+\s+(\S+)\s+(\S+)", re.MULTILINE)

packages = Path(sys.argv[1])
libraries = packages / "torch" / "lib"


def readelf(*arguments):
    return subprocess.run(["readelf", *map(str, arguments)], capture_output=True, text=True, check=True).stdout


own = [file for file in sorted(libraries.glob("*.so*")) if file.is_file() and not file.is_symlink()]
given = sorted((packages / "nvidia").rglob("*.so*"))
needed, versions, asked, defined = {}, defaultdict(set), set(), set()
for file in [*own, *given]:
    for _, binding, section, name in _SYMBOL.findall(readelf("--dyn-syms", "-W", file)):
        base, _, version = name.partition("@")
        if section != "UND":
            defined.add(base)
        elif file in own and binding != "WEAK":
            asked.add((base, version.lstrip("@")))
    if file not in own:
        continue
    for library in re.findall(r"NEEDED.*\[(.+?)\]", readelf("-d", file)):
        if not _SYSTEM.match(library) and library not in {other.name for other in own}:
            needed[library] = True
    library = None
    for line in readelf("-V", "-W", file).splitlines():
        if found := re.search(r"File: (\S+)", line):
            library = found[1]
        if library and (found := re.search(r"Name: (\S+)\s+Flags", line)):
            versions[library].add(found[1])

missing = [library for library in needed if library not in {file.name for file in given}]
owner = {version: library for library in missing for version in versions.get(library, ())}
stubs = defaultdict(set)
for base, version in asked:
    if version in owner:
        stubs[owner[version]].add((base, version))
    elif not version and base not in defined:
        for library in missing:
            stubs[library].add((base, ""))
with tempfile.TemporaryDirectory() as folder:
    for library in missing:
        source, script = Path(folder, "stub.c"), Path(folder, "stub.map")
        lines, names = ["void *stub_ret(void){return 0;}"], defaultdict(list)
        for base, version in sorted(stubs[library]):
            if re.match(r"^[A-Za-z_]\w*$", base):
                lines.append(f"int {base}(void){{return 1;}}")
                names[version].append(base)
        source.write_text("\n".join(lines))
        script.write_text("".join(f"{v} {{ global: {'; '.join(n)}; }};\n" for v, n in names.items() if v))
        versioned = [f"-Wl,--version-script,{script}"] if any(names) else []
        flags = ["-shared", "-fPIC", "-w", "-fno-builtin", "-O1", f"-Wl,-soname,{library}"]
        subprocess.run(["gcc", *versioned, *flags, "-o", str(libraries / library), str(source)], check=True)
