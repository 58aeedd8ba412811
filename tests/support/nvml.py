"""A stand-in NVML for tests: built once by the C compiler, answering from a script, below an unchanged pynvml.

In this process: :func:`preload` loads the stand-in by its path. The dynamic loader then answers pynvml's request for
``libnvidia-ml.so.1`` with it, because a library that is already loaded is found by its soname. In another process:
:func:`nvml_environment` puts its folder first on ``LD_LIBRARY_PATH``. The old-driver build works in another process
only, for there can be one library of a soname in each.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "nvml"
SCRIPT_VARIABLE = "INFERAUDIT_NVML_SCRIPT"
CALLS_VARIABLE = "INFERAUDIT_NVML_CALLS"
MIB = 1024 * 1024
H100_MEMORY_BYTES = 81559 * MIB


@cache
def build(*, old_driver: bool = False) -> Path:
    """The library's path; compiled when the sources changed, into a folder named by their digest."""
    sources = [SOURCES / "nvml_standin.h", SOURCES / "nvml_standin.c", SOURCES / "build.sh"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    name = f"{digest}-{'old' if old_driver else 'new'}-{os.getuid()}"
    library = Path(tempfile.gettempdir()) / "inferaudit-nvml" / name / "libnvidia-ml.so.1"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        # Parallel test workers each build their own file; the rename makes one of them the library.
        scratch = library.with_suffix(f".{os.getpid()}")
        arguments = [str(SOURCES / "build.sh"), str(scratch), *(["-DOLD_DRIVER"] if old_driver else [])]
        done = subprocess.run(["sh", *arguments], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"the NVML stand-in does not build:\n{done.stderr}")
        scratch.rename(library)
    return library


def nvml_environment(tmp_path: Path, script: str, *, old_driver: bool = False) -> dict[str, str]:
    """Environment variables for a process that shall see the GPUs of `script`."""
    path = tmp_path / "nvml-script"
    path.write_text(script, encoding="utf-8")
    folders = [str(build(old_driver=old_driver).parent), os.environ.get("LD_LIBRARY_PATH", "")]
    return {SCRIPT_VARIABLE: str(path), "LD_LIBRARY_PATH": ":".join(filter(None, folders))}


@cache
def preload() -> ctypes.CDLL:
    """Loads the stand-in into this process, for good; pynvml finds it by its soname from then on."""
    return ctypes.CDLL(str(build()))


@contextmanager
def nvml_in_process(tmp_path: Path, script: str) -> Iterator[Path]:
    """pynvml in this process, and in those it starts, sees the GPUs of `script`.

    Yields the file that lists the calls, one name a line.
    """
    preload()
    path, calls = tmp_path / "nvml-script", tmp_path / "nvml-calls"
    path.write_text(script, encoding="utf-8")
    calls.touch()
    folders = [str(build().parent), os.environ.get("LD_LIBRARY_PATH", "")]  # read when a process starts
    values = {
        SCRIPT_VARIABLE: str(path),
        CALLS_VARIABLE: str(calls),
        "LD_LIBRARY_PATH": ":".join(filter(None, folders)),
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield calls
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def script(*gpus: str, **system: object) -> str:
    """A whole script: system values (``driver="550.54.15"``, ``**{"return.nvmlInitWithFlags": 9}``), then GPUs."""
    values = {"driver": "550.54.15", "nvml": "12.550.54.15", "cuda": 12040, **system}
    return "\n".join([*(f"{key} {value}" for key, value in values.items()), *gpus, ""])


def _block(kind: str, values: dict[str, Any], lines: tuple[str, ...]) -> str:
    given = (f"{key} {value}" for key, value in values.items() if value is not None)
    return "\n".join([kind, *given, *lines])


def gpu(number: int = 0, *lines: str, **changed: Any) -> str:
    """A healthy H100 80GB HBM3 on a node with NVSwitch. `changed` replaces values, None removes one.

    Keys with dots are given as ``**{"memory.used": 1}``; `lines` are added as they are (processes, links).
    """
    values: dict[str, Any] = {
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": f"GPU-{number:08x}-0000-4000-8000-00000000000{number:x}",
        "serial": f"165382400{number}",
        "vbios": "96.00.74.00.01",
        "minor": number,
        "pci.bus_id": f"00000000:{0x1B + number:02X}:00.0",
        "compute_capability.major": 9,
        "compute_capability.minor": 0,
        "memory.total": H100_MEMORY_BYTES,
        "memory.reserved": 551 * MIB,
        "memory.used": 0,
        "utilization.gpu": 0,
        "utilization.memory": 0,
        "performance_state": 0,
        "clock.sm": 1980,
        "max_clock.sm": 1980,
        "clock.mem": 2619,
        "max_clock.mem": 2619,
        "power.usage_mw": 72_500,
        "power.limit_mw": 700_000,
        "power.default_limit_mw": 700_000,
        "temperature": 31,
        "temperature.threshold.0": 92,
        "temperature.threshold.1": 89,
        "temperature.margin": 56,
        "clock_events": "0x1",
        "ecc.mode": 1,
        "ecc.volatile.corrected": 0,
        "ecc.volatile.uncorrected": 0,
        "ecc.aggregate.corrected": 0,
        "ecc.aggregate.uncorrected": 0,
        "remapped.correctable": 0,
        "remapped.uncorrectable": 0,
        "remapped.pending": 0,
        "remapped.failure": 0,
        "pcie.gen": 5,
        "pcie.max_gen": 5,
        "pcie.width": 16,
        "pcie.max_width": 16,
        "pcie.replays": 0,
        "fabric.state": 3,
        "fabric.status": 0,
        "fabric.health": "0x1aa",
        "mig.mode": 0,
        "compute_mode": 0,
        "persistence_mode": 1,
        "field.82": 38,
        "field.230": 0,
        "event_types": 0x9,
        **{f"nvlink.{link}.state": 1 for link in range(18)},
        **{f"nvlink.{link}.version": 4 for link in range(18)},
        **{f"nvlink.{link}.error.{counter}": 0 for link in range(18) for counter in range(4)},
        **changed,
    }
    return _block("gpu", values, lines)


def mig(number: int, profile: str = "1g.10gb", memory_mib: int = 9856, **changed: Any) -> str:
    """A MIG device; follows the GPU it belongs to, whose ``mig.mode`` must be 1."""
    values = {
        "name": f"NVIDIA H100 80GB HBM3 MIG {profile}",
        "uuid": f"MIG-{number:08x}-0000-4000-8000-000000000000",
        "memory.total": memory_mib * MIB,
        "memory.used": 0,
        "mig.memory_mib": memory_mib,
        "mig.multiprocessors": 16,
        "mig.gpu_slices": int(profile[0]),
        "mig.compute_slices": int(profile[0]),
        **changed,
    }
    return _block("mig", values, ())


def consumer_gpu(number: int = 0, **changed: Any) -> str:
    """A GeForce card: no ECC, no retired pages, no row remapping, no NVLink, no fabric, no MIG."""
    lacking = ("ecc.", "remapped.", "nvlink.", "fabric.", "mig.", "field.", "serial", "temperature.margin")
    kept = [line for line in gpu(number).splitlines()[1:] if not line.startswith(lacking)]
    changes = {"name": "NVIDIA GeForce RTX 4090", "memory.total": 24564 * MIB, **changed}
    return "\n".join(["gpu", *kept, *(f"{key} {value}" for key, value in changes.items())])
