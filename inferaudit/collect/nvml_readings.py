"""Every reading of one GPU: which NVML call gives which fields, and in which units.

A reading names the fields it fills and is guarded by itself, so that one refused call costs those fields and no other.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from inferaudit.collect.nvml_session import (
    FUNCTION_NOT_FOUND,
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    UNKNOWN,
    FabricInfo,
    Nvml,
    NvmlCallError,
    OldFabricInfo,
)
from inferaudit.facts.gpu import GpuFabric, GpuProcess, MigInstance, NvLink

# nvml.h, nvmlClocksEventReasons: what holds the clocks down, by bit.
CLOCK_EVENT_NAMES = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
COMPUTE_MODES = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}
FABRIC_STATES = {0: "not_supported", 1: "not_started", 2: "in_progress", 3: "completed"}
# nvml.h, NVML_GPU_FABRIC_HEALTH_MASK_*: two bits each, 1 = true.
_FABRIC_ALARMS = {0: "degraded_bandwidth", 2: "route_recovery", 4: "route_unhealthy", 6: "access_timeout_recovery"}
RECOVERY_ACTIONS = {
    0: "none",
    1: "gpu_reset",
    2: "node_reboot",
    3: "drain_p2p",
    4: "drain_and_reset",
    5: "recover_imex_domain",
    6: "bus_reset",
    7: "system_reboot",
}
_FIELD_MEMORY_TEMPERATURE = 82  # NVML_FI_DEV_MEMORY_TEMP
_FIELD_RECOVERY_ACTION = 230  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
_MAX_NVLINKS = 36  # NVML_NVLINK_MAX_LINKS of the newest nvml.h
_CLOCK_SM, _CLOCK_MEMORY = 1, 2
_CORRECTED, _UNCORRECTED = 0, 1
_VOLATILE, _AGGREGATE = 0, 1
_MEMORY_NOT_AVAILABLE = 2**64 - 1


class Reading(NamedTuple):
    """`read` returns one value for each of `fields`."""

    fields: tuple[str, ...]
    read: Callable[[Nvml, Any], tuple[Any, ...]]


def clock_event_names(bits: int) -> tuple[str, ...]:
    """Names of the set bits, lowest first; a bit without a name keeps its number."""
    return tuple(CLOCK_EVENT_NAMES.get(1 << i, f"bit_{i}") for i in range(bits.bit_length()) if bits >> i & 1)


def clock_event_bits(nvml: Nvml, handle: Any) -> int:
    """Why the clocks are held down; the call was renamed with driver 535."""
    names = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
    return int(nvml.first(*names, args=(handle,)))


def memory_bytes(nvml: Nvml, handle: Any) -> tuple[int, int | None, int, int]:
    """(total, reserved, used, free). Old drivers count reserved memory as used and do not tell it apart."""
    try:
        v2 = nvml.call("nvmlDeviceGetMemoryInfo", handle, nvml.pynvml.nvmlMemory_v2)
        return int(v2.total), int(v2.reserved), int(v2.used), int(v2.free)
    except NvmlCallError as error:
        if error.code not in (FUNCTION_NOT_FOUND, NOT_SUPPORTED, 25):
            raise
    v1 = nvml.call("nvmlDeviceGetMemoryInfo", handle)
    return int(v1.total), None, int(v1.used), int(v1.free)


def temperature_c(nvml: Nvml, handle: Any) -> int:
    """Temperature of the GPU die."""
    return int(nvml.first("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature", args=(handle, 0)))


def cuda_version(nvml: Nvml) -> str:
    """The newest CUDA the driver supports, ``12.4``."""
    number = int(nvml.call("nvmlSystemGetCudaDriverVersion_v2"))
    return f"{number // 1000}.{number % 1000 // 10}"


def _number(function: str, *args: Any, scale: float | None = None) -> Callable[[Nvml, Any], tuple[Any, ...]]:
    def read(nvml: Nvml, handle: Any) -> tuple[Any, ...]:
        value = int(nvml.call(function, handle, *args))
        return (value if scale is None else value * scale,)

    return read


def _flag(function: str) -> Callable[[Nvml, Any], tuple[Any, ...]]:
    return lambda nvml, handle: (bool(nvml.call(function, handle)),)


def _text(function: str) -> Callable[[Nvml, Any], tuple[Any, ...]]:
    return lambda nvml, handle: (printable(nvml.call(function, handle)),)


def printable(text: object) -> str:
    """Text of the driver without control characters, at most 128 characters."""
    return re.sub(r"[^\x20-\x7e]", "?", str(text))[:128]


def _serial(nvml: Nvml, handle: Any) -> tuple[str]:
    number = str(nvml.call("nvmlDeviceGetSerial", handle))
    return ("sha256:" + hashlib.sha256(number.encode()).hexdigest()[:16],)


def _compute_capability(nvml: Nvml, handle: Any) -> tuple[str]:
    major, minor = nvml.call("nvmlDeviceGetCudaComputeCapability", handle)
    return (f"{major}.{minor}",)


def _pci_bus_id(nvml: Nvml, handle: Any) -> tuple[str]:
    bus_id = nvml.call("nvmlDeviceGetPciInfo", handle).busId
    return (printable(bus_id.decode("ascii", "replace") if isinstance(bus_id, bytes) else bus_id),)


def _utilization(nvml: Nvml, handle: Any) -> tuple[int, int]:
    rates = nvml.call("nvmlDeviceGetUtilizationRates", handle)
    return int(rates.gpu), int(rates.memory)


def _margin_c(nvml: Nvml, handle: Any) -> tuple[int]:
    margin = int(nvml.call("nvmlDeviceGetMarginTemperature", handle))
    if margin <= 0:
        # Boards answer 0 here while they are cool, so nothing can be concluded from it.
        raise NvmlCallError("nvmlDeviceGetMarginTemperature", UNKNOWN, f"a margin of {margin} is no reading")
    return (margin,)


def _two_flags(function: str) -> Callable[[Nvml, Any], tuple[Any, ...]]:
    return lambda nvml, handle: tuple(bool(value) for value in nvml.call(function, handle))


def _remapped_rows(nvml: Nvml, handle: Any) -> tuple[int, int, bool, bool]:
    correctable, uncorrectable, pending, failure = nvml.call("nvmlDeviceGetRemappedRows", handle)
    return int(correctable), int(uncorrectable), bool(pending), bool(failure)


def _retired_pages(cause: int) -> Callable[[Nvml, Any], tuple[Any, ...]]:
    return lambda nvml, handle: (len(nvml.call("nvmlDeviceGetRetiredPages", handle, cause)),)


def _nvlink_counter(nvml: Nvml, handle: Any, link: int, counter: int) -> int | None:
    try:
        return int(nvml.call("nvmlDeviceGetNvLinkErrorCounter", handle, link, counter))
    except NvmlCallError as error:
        if error.lost:
            raise
        return None  # newer generations count elsewhere; None says so


def _nvlinks(nvml: Nvml, handle: Any) -> tuple[tuple[NvLink, ...]]:
    links = []
    for link in range(_MAX_NVLINKS):
        try:
            active = bool(nvml.call("nvmlDeviceGetNvLinkState", handle, link))
        except NvmlCallError as error:
            # The first link beyond the last is refused as an argument or as unsupported; link 0 refused = no NVLink.
            if error.code not in (NOT_SUPPORTED, INVALID_ARGUMENT):
                raise
            if link == 0:
                raise NvmlCallError(error.function, NOT_SUPPORTED, "the driver reports no NVLink of this GPU") from None
            break
        if not active:
            links.append(NvLink(link=link, active=False))
            continue
        try:
            version: int | None = int(nvml.call("nvmlDeviceGetNvLinkVersion", handle, link))
        except NvmlCallError as error:
            if error.lost:
                raise
            version = None
        replay, recovery, flit, data = (_nvlink_counter(nvml, handle, link, counter) for counter in range(4))
        links.append(
            NvLink(
                link=link,
                active=True,
                version=version,
                replay_errors=replay,
                recovery_errors=recovery,
                crc_flit_errors=flit,
                crc_data_errors=data,
            )
        )
    return (tuple(links),)


def _fabric(nvml: Nvml, handle: Any) -> tuple[GpuFabric]:
    info: FabricInfo | OldFabricInfo = FabricInfo(version=ctypes.sizeof(FabricInfo) | 2 << 24)
    mask: int | None = None
    try:
        nvml.call("nvmlDeviceGetGpuFabricInfoV", handle, ctypes.byref(info))
        mask = int(info.health_mask)
    except NvmlCallError as error:
        if error.code not in (FUNCTION_NOT_FOUND, 25):
            raise
        info = OldFabricInfo()
        nvml.call("nvmlDeviceGetGpuFabricInfo", handle, ctypes.byref(info))
    state = FABRIC_STATES.get(int(info.state), f"state_{int(info.state)}")
    if state == "not_supported":
        raise NvmlCallError("nvmlDeviceGetGpuFabricInfo", NOT_SUPPORTED)
    faults = fabric_faults(mask)
    return (
        GpuFabric(state=state, status=int(info.status), clique=int(info.clique_id), health_mask=mask, faults=faults),
    )


def fabric_faults(mask: int | None) -> tuple[str, ...]:
    """Names of the alarms that are set in a fabric health mask."""
    if mask is None:
        return ()
    faults = tuple(name for shift, name in _FABRIC_ALARMS.items() if mask >> shift & 3 == 1)
    if mask >> 8 & 0xF > 1:  # four bits: 0 = not supported, 1 = none, else what is wrong
        faults += ("incorrect_configuration",)
    return faults


def _mig_instances(nvml: Nvml, handle: Any) -> tuple[tuple[MigInstance, ...] | None]:
    if not nvml.call("nvmlDeviceGetMigMode", handle)[0]:
        return ((),)
    instances = []
    for index in range(int(nvml.call("nvmlDeviceGetMaxMigDeviceCount", handle))):
        try:
            mig = nvml.call("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        except NvmlCallError as error:
            if error.code == 6:  # NVML_ERROR_NOT_FOUND: this slot holds no instance
                continue
            raise
        name = _or_none(nvml, "nvmlDeviceGetName", mig)
        profile = re.search(r"MIG (\S+)", printable(name or ""))
        uuid = _or_none(nvml, "nvmlDeviceGetUUID", mig)
        attributes = _or_none(nvml, "nvmlDeviceGetAttributes", mig)
        memory = _or_none(nvml, "nvmlDeviceGetMemoryInfo", mig)
        instances.append(
            MigInstance(
                uuid=printable(uuid) if uuid else None,
                profile=profile.group(1) if profile else None,
                memory_total_bytes=int(memory.total) if memory else None,
                memory_used_bytes=int(memory.used) if memory else None,
                gpu_slices=int(attributes.gpuInstanceSliceCount) if attributes else None,
                compute_slices=int(attributes.computeInstanceSliceCount) if attributes else None,
            )
        )
    return (tuple(instances),)


def _or_none(nvml: Nvml, function: str, *args: Any) -> Any:
    try:
        return nvml.call(function, *args)
    except NvmlCallError as error:
        if error.lost:
            raise
        return None


def _process_name(nvml: Nvml, pid: int) -> str | None:
    """The file name of the process, without folders and arguments."""
    words = str(_or_none(nvml, "nvmlSystemGetProcessName", pid) or "").split()
    return printable(words[0].rsplit("/", 1)[-1])[:64] if words else None


def _processes(nvml: Nvml, handle: Any) -> tuple[tuple[GpuProcess, ...]]:
    found: dict[int, GpuProcess] = {}
    lists = {
        "compute": "nvmlDeviceGetComputeRunningProcesses",
        "mps": "nvmlDeviceGetMPSComputeRunningProcesses",
        "graphics": "nvmlDeviceGetGraphicsRunningProcesses",
    }
    for kind, function in lists.items():
        try:
            processes = nvml.first(function, f"{function}_v2", args=(handle,))  # the older one up to driver branch 470
        except NvmlCallError as error:
            if kind == "compute" or not error.unsupported:
                raise
            continue
        for process in processes:
            pid, used = int(process.pid), process.usedGpuMemory
            if pid not in found:
                used_bytes = None if used is None or int(used) == _MEMORY_NOT_AVAILABLE else int(used)
                name = _process_name(nvml, pid)
                found[pid] = GpuProcess(pid=pid, kind=kind, name=name, used_bytes=used_bytes)
    return (tuple(found[pid] for pid in sorted(found)),)


def _named(function: str, names: dict[int, str]) -> Callable[[Nvml, Any], tuple[Any, ...]]:
    def read(nvml: Nvml, handle: Any) -> tuple[Any, ...]:
        value = int(nvml.call(function, handle))
        return (names.get(value, f"mode_{value}"),)

    return read


def _recovery_action(nvml: Nvml, handle: Any) -> tuple[str]:
    value = nvml.field_value(handle, _FIELD_RECOVERY_ACTION)
    return (RECOVERY_ACTIONS.get(value, f"action_{value}"),)


_ECC = "nvmlDeviceGetTotalEccErrors"
READINGS: tuple[Reading, ...] = (
    Reading(("uuid",), _text("nvmlDeviceGetUUID")),
    Reading(("product",), _text("nvmlDeviceGetName")),
    Reading(("serial",), _serial),
    Reading(("vbios_version",), _text("nvmlDeviceGetVbiosVersion")),
    Reading(("pci_bus_id",), _pci_bus_id),
    Reading(("compute_capability",), _compute_capability),
    Reading(("memory_total_bytes", "memory_reserved_bytes", "memory_used_bytes", "memory_free_bytes"), memory_bytes),
    Reading(("utilization_gpu_percent", "utilization_memory_percent"), _utilization),
    Reading(("performance_state",), _number("nvmlDeviceGetPerformanceState")),
    Reading(("sm_clock_mhz",), _number("nvmlDeviceGetClockInfo", _CLOCK_SM)),
    Reading(("sm_clock_max_mhz",), _number("nvmlDeviceGetMaxClockInfo", _CLOCK_SM)),
    Reading(("memory_clock_mhz",), _number("nvmlDeviceGetClockInfo", _CLOCK_MEMORY)),
    Reading(("memory_clock_max_mhz",), _number("nvmlDeviceGetMaxClockInfo", _CLOCK_MEMORY)),
    Reading(("power_w",), _number("nvmlDeviceGetPowerUsage", scale=1e-3)),
    Reading(("power_limit_w",), _number("nvmlDeviceGetEnforcedPowerLimit", scale=1e-3)),
    Reading(("power_default_limit_w",), _number("nvmlDeviceGetPowerManagementDefaultLimit", scale=1e-3)),
    Reading(("temperature_c",), lambda nvml, handle: (temperature_c(nvml, handle),)),
    Reading(("temperature_memory_c",), lambda nvml, handle: (nvml.field_value(handle, _FIELD_MEMORY_TEMPERATURE),)),
    Reading(("temperature_slowdown_c",), _number("nvmlDeviceGetTemperatureThreshold", 1)),
    Reading(("temperature_shutdown_c",), _number("nvmlDeviceGetTemperatureThreshold", 0)),
    Reading(("temperature_margin_c",), _margin_c),
    Reading(("clock_event_reasons",), lambda nvml, handle: (clock_event_names(clock_event_bits(nvml, handle)),)),
    Reading(("ecc_enabled", "ecc_enabled_pending"), _two_flags("nvmlDeviceGetEccMode")),
    Reading(("ecc_volatile_corrected",), _number(_ECC, _CORRECTED, _VOLATILE)),
    Reading(("ecc_volatile_uncorrected",), _number(_ECC, _UNCORRECTED, _VOLATILE)),
    Reading(("ecc_aggregate_corrected",), _number(_ECC, _CORRECTED, _AGGREGATE)),
    Reading(("ecc_aggregate_uncorrected",), _number(_ECC, _UNCORRECTED, _AGGREGATE)),
    Reading(
        (
            "remapped_rows_correctable",
            "remapped_rows_uncorrectable",
            "remapped_rows_pending",
            "remapped_rows_failure",
        ),
        _remapped_rows,
    ),
    Reading(("retired_pages_single_bit",), _retired_pages(0)),
    Reading(("retired_pages_double_bit",), _retired_pages(1)),
    Reading(("retired_pages_pending",), _flag("nvmlDeviceGetRetiredPagesPendingStatus")),
    Reading(("pcie_gen",), _number("nvmlDeviceGetCurrPcieLinkGeneration")),
    Reading(("pcie_gen_max",), _number("nvmlDeviceGetMaxPcieLinkGeneration")),
    Reading(("pcie_width",), _number("nvmlDeviceGetCurrPcieLinkWidth")),
    Reading(("pcie_width_max",), _number("nvmlDeviceGetMaxPcieLinkWidth")),
    Reading(("pcie_replays",), _number("nvmlDeviceGetPcieReplayCounter")),
    Reading(("nvlinks",), _nvlinks),
    Reading(("fabric",), _fabric),
    Reading(("mig_enabled", "mig_enabled_pending"), _two_flags("nvmlDeviceGetMigMode")),
    Reading(("mig_instances",), _mig_instances),
    Reading(("compute_mode",), _named("nvmlDeviceGetComputeMode", COMPUTE_MODES)),
    Reading(("persistence_mode",), _flag("nvmlDeviceGetPersistenceMode")),
    Reading(("recovery_action",), _recovery_action),
    Reading(("processes",), _processes),
)
