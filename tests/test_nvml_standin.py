"""The stand-in NVML itself: the same structures as pynvml's, and the behaviour its script asks for."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest
from support.nvml import build, gpu, nvml_environment, nvml_in_process, preload, script

from inferaudit.collect.nvml_session import FabricInfo, OldFabricInfo

COLLECTOR = Path(__file__).parents[1] / "inferaudit" / "collect"
PYNVML_NAMES = {
    "nvmlMemory_t": "c_nvmlMemory_t",
    "nvmlMemory_v2_t": "c_nvmlMemory_v2_t",
    "nvmlUtilization_t": "c_nvmlUtilization_t",
    "nvmlTemperature_v1_t": "c_nvmlTemperature_v1_t",
    "nvmlMarginTemperature_v1_t": "c_nvmlMarginTemperature_v1_t",
    "nvmlPciInfo_t": "nvmlPciInfo_t",
    "nvmlProcessInfo_t": "c_nvmlProcessInfo_t",
    "nvmlDeviceAttributes_t": "c_nvmlDeviceAttributes",
    "nvmlGpuFabricInfo_t": "c_nvmlGpuFabricInfo_t",
    "nvmlGpuFabricInfo_v2_t": "c_nvmlGpuFabricInfo_v2_t",
    "nvmlFieldValue_t": "c_nvmlFieldValue_t",
    "nvmlEventData_t": "c_nvmlEventData_t",
}


def layout() -> list[list[str]]:
    library = preload()
    library.standin_layout.restype = ctypes.c_char_p
    return [line.split() for line in library.standin_layout().decode().splitlines() if line]


def test_every_structure_is_laid_out_as_in_pynvml() -> None:
    structures = {name: (int(size), fields) for name, size, *fields in layout() if name != "version"}
    assert structures.keys() == PYNVML_NAMES.keys()
    for name, (size, fields) in structures.items():
        theirs = getattr(pynvml, PYNVML_NAMES[name])
        assert size == ctypes.sizeof(theirs), name
        assert fields, name
        for field in fields:
            member, offset = field.split(":")
            assert int(offset) == getattr(theirs, member).offset, f"{name}.{member}"


def test_our_own_structures_are_laid_out_as_in_the_stand_in() -> None:
    sizes = {name: (int(size), [f.split(":") for f in fields]) for name, size, *fields in layout() if name != "version"}
    for ours, name in ((FabricInfo, "nvmlGpuFabricInfo_v2_t"), (OldFabricInfo, "nvmlGpuFabricInfo_t")):
        size, fields = sizes[name]
        assert ctypes.sizeof(ours) == size
        assert [getattr(ours, field[0]).offset for field in ours._fields_] == [int(offset) for _, offset in fields]


def test_version_words_are_those_of_pynvml() -> None:
    words = {line[1]: int(line[2]) for line in layout() if line[0] == "version"}
    assert len(words) == 4
    for name, word in words.items():
        assert word == getattr(pynvml, name), name


def test_every_function_the_collector_names_is_in_the_stand_in() -> None:
    named = set()
    for path in [COLLECTOR / "gpu.py", *COLLECTOR.glob("nvml_*.py")]:
        named |= set(re.findall(r'"(nvml[A-Z]\w+)"', path.read_text(encoding="utf-8")))
    assert len(named) > 40
    library = preload()
    versions = ("", "_v2", "_v3", "WithFlags")
    missing = [name for name in sorted(named) if not any(hasattr(library, name + version) for version in versions)]
    assert missing == []


def test_pynvml_reads_the_stand_in_in_this_process(tmp_path: Path) -> None:
    with nvml_in_process(tmp_path, script(gpu(0), gpu(1, **{"utilization.gpu": "10|95"}))) as calls:
        pynvml.nvmlInit()
        try:
            assert pynvml.nvmlDeviceGetCount() == 2
            second = pynvml.nvmlDeviceGetHandleByIndex(1)
            readings = [pynvml.nvmlDeviceGetUtilizationRates(second).gpu for _ in range(3)]
            assert readings == [10, 95, 95]
            with pytest.raises(pynvml.NVMLError_NotSupported):
                pynvml.nvmlDeviceGetRetiredPagesPendingStatus(second)
            with pytest.raises(pynvml.NVMLError_InvalidArgument):
                pynvml.nvmlDeviceGetHandleByIndex(2)
        finally:
            pynvml.nvmlShutdown()
    assert "nvmlDeviceGetUtilizationRates" in calls.read_text().splitlines()


def test_return_codes_and_loss_are_scripted(tmp_path: Path) -> None:
    text = script(gpu(0, **{"return.nvmlDeviceGetEccMode": 4, "lost_after": 3}))
    with nvml_in_process(tmp_path, text):
        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(0)
            with pytest.raises(pynvml.NVMLError_NoPermission):
                pynvml.nvmlDeviceGetEccMode(handle)
            assert pynvml.nvmlDeviceGetPowerUsage(handle) == 72_500
            for _ in range(2):
                with pytest.raises(pynvml.NVMLError_GpuIsLost):
                    pynvml.nvmlDeviceGetPowerUsage(handle)
        finally:
            pynvml.nvmlShutdown()


@pytest.mark.parametrize(("code", "error"), [(9, "DriverNotLoaded"), (18, "LibRmVersionMismatch"), (4, "NoPermission")])
def test_opening_can_be_refused(tmp_path: Path, code: int, error: str) -> None:
    refused = script(gpu(0), **{"return.nvmlInitWithFlags": code})
    with nvml_in_process(tmp_path, refused), pytest.raises(getattr(pynvml, f"NVMLError_{error}")):
        pynvml.nvmlInit()


def test_the_old_driver_lacks_the_newer_symbols(tmp_path: Path) -> None:
    old = {name for name in _exported(build(old_driver=True)) if name.startswith("nvml")}
    new = {name for name in _exported(build()) if name.startswith("nvml")}
    assert new - old >= {"nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetComputeRunningProcesses_v3"}
    assert "nvmlDeviceGetComputeRunningProcesses_v2" in old
    program = (
        "import pynvml\n"
        "pynvml.nvmlInit()\n"
        "handle = pynvml.nvmlDeviceGetHandleByIndex(0)\n"
        "try:\n    pynvml.nvmlDeviceGetComputeRunningProcesses(handle)\n"
        "except pynvml.NVMLLibraryMismatchError:\n    print('mismatch')\n"
    )
    environment = {**os.environ, **nvml_environment(tmp_path, script(gpu(0)), old_driver=True)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "mismatch\n"


def _exported(library: Path) -> list[str]:
    """Names of the dynamic symbols; read from the file's bytes, for `nm` is not on every machine."""
    return [name.decode() for name in re.findall(rb"\x00(nvml[A-Za-z0-9_]+)(?=\x00)", library.read_bytes())]
