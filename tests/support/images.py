"""Container images made without a registry: a docker-archive is three small files in a tar."""

import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

# Folders of an interpreter that no server needs.
NOT_NEEDED = {"__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "tests"}


def cache_folder() -> Path:
    """Where what is slow to make is kept from run to run."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inferaudit"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def docker_archive(
    target: Path,
    reference: str,
    files: Mapping[str, Path | str],
    *,
    entrypoint: Sequence[str],
    env: Mapping[str, str] | None = None,
) -> None:
    """Writes an image of one layer that `ctr images import` and `docker load` take.

    `files` maps a path in the image to a file or folder here, or to text.
    """
    layer = target.with_suffix(".layer")
    with tarfile.open(layer, "w") as tar:
        for path, content in sorted(files.items()):
            if isinstance(content, Path):
                tar.add(content, path.lstrip("/"), filter=_kept)
            else:
                _add_bytes(tar, path.lstrip("/"), content.encode())
    with layer.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    image = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": [f"{key}={value}" for key, value in (env or {}).items()]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    config = json.dumps(image).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    with tarfile.open(target, "w") as tar:
        _add_bytes(tar, name, config)
        manifest = [{"Config": name, "RepoTags": [reference], "Layers": [f"{digest}.tar"]}]
        _add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
        tar.add(layer, f"{digest}.tar")
    layer.unlink()


def python_files(*packages: Path) -> dict[str, Path | str]:
    """The running interpreter and these packages as files of an image, at the paths they have here.

    What the linker would find goes with them, so nothing is downloaded and the
    packages fit the interpreter. Start it as `interpreter()`.
    """
    library = Path(sysconfig.get_path("stdlib"))
    site = library / "site-packages"
    files: dict[str, Path | str] = {str(interpreter()): interpreter(), str(library): library}
    files |= {str(site / package.name): package for package in packages}
    binaries = [interpreter(), *library.glob("lib-dynload/*.so")]
    binaries += [found for package in packages for found in package.rglob("*.so*")]
    files |= {str(path): path.resolve() for path in _linked(binaries)}
    return files


def interpreter() -> Path:
    """The interpreter itself, behind any virtual environment."""
    return Path(sys.base_prefix).resolve() / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"


def _linked(binaries: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    for binary in binaries:
        said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False, timeout=30).stdout
        found |= {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", said, re.MULTILINE)}
    return found


def _kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if Path(info.name).name in NOT_NEEDED:
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def _add_bytes(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))
