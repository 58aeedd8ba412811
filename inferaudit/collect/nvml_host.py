"""The GPUs of this host, read through NVML: nothing is changed, and every refusal keeps its reason."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inferaudit.collect.kernel_log import KMSG, read_kernel_log
from inferaudit.collect.nvml_readings import READINGS, cuda_version, printable
from inferaudit.collect.nvml_session import (
    DRIVER_NOT_LOADED,
    LIBRARY_NOT_FOUND,
    NO_PERMISSION,
    NOT_SUPPORTED,
    UNKNOWN,
    VERSION_MISMATCH,
    Nvml,
    NvmlCallError,
    nvml_session,
)
from inferaudit.collect.nvml_watch import XidWatcher
from inferaudit.facts.gpu import Gpu, NvmlDriver
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import GpuPlan

FACT_NAMES = ("nvml.gpus", "nvml.driver", "nvml.xid_events")
KERNEL_LOG = "gpu.kernel_log"
_NOT_OF_NVML = dict.fromkeys(("last_xid", "holders"), "NVML does not tell it; an exporter does (--dcgm URL)")
_REMEDIES = {
    LIBRARY_NOT_FOUND: (
        "run on a GPU node, or in a pod with the NVIDIA runtime and NVIDIA_DRIVER_CAPABILITIES=utility; "
        "--gpus dcgm reads an exporter instead"
    ),
    DRIVER_NOT_LOADED: (
        "load the driver (nvidia-smi must work here); in a container, request a GPU or set NVIDIA_VISIBLE_DEVICES=all"
    ),
    NO_PERMISSION: "run as a user that may open /dev/nvidiactl and /dev/nvidia*",
    VERSION_MISMATCH: "the driver was updated under a running kernel module: reboot the node or reload the module",
}
_IDENTITY = frozenset(
    (
        *("driver_version", "cuda_version", "uuid", "product", "serial", "vbios_version", "pci_bus_id"),
        *("compute_capability", "memory_total_bytes"),
    )
)
_NO_DEVICE_REMEDY = "in a container, request a GPU or set NVIDIA_VISIBLE_DEVICES=all; on a host, see the kernel log"


def collect_host(
    plan: GpuPlan,
    progress: Callable[[str], None] | None = None,
    *,
    host: str | None = None,
    watch_s: float = 2.0,
    deadline_s: float = 60.0,
    kmsg: str = KMSG,
) -> dict[str, Fact]:
    """Facts ``nvml.*`` and ``gpu.kernel_log`` of this host.

    `host` defaults to the host's name; `progress` gets one line of words.

    XID events are watched for the time of the readings, and for `watch_s` at least.

    A driver that hangs in the kernel cannot be interrupted, so the reading runs in a thread of its own and is left
    behind after `deadline_s`; the facts then say so.
    """
    host = host or platform.node() or "localhost"
    source = f"NVML on {host}"
    if progress is not None:
        progress(f"reading GPUs of {host}")

    answer: dict[str, Fact] = {}

    def read() -> None:
        answer.update(_collect(plan, host, source, watch_s))

    reader = threading.Thread(target=read, name="inferaudit-nvml", daemon=True)
    reader.start()
    reader.join(deadline_s)
    if not answer:
        reason = f"the NVIDIA driver did not answer within {deadline_s:g} s"
        remedy = "see the kernel log for XID or NVRM lines"
        answer = _all(FactError(FactErrorKind.FAILED, reason, source, remedy=remedy))
    return answer | {KERNEL_LOG: _kernel_log(plan, host, answer["nvml.gpus"], kmsg)}


def _kernel_log(plan: GpuPlan, host: str, gpus: Fact, kmsg: str) -> Fact:
    """The kernel log, also where the driver did not answer: then above all it says why."""
    if gpus.error is not None and gpus.error.kind is FactErrorKind.NO_TARGET:
        return gpus  # no library and none asked for: there are no GPUs to look for here
    return Fact([read_kernel_log(plan.node or host, gpus.value or (), kmsg=kmsg)])


def _all(error: FactError) -> dict[str, Fact]:
    return {name: Fact(error=error) for name in FACT_NAMES}


def _collect(plan: GpuPlan, host: str, source: str, watch_s: float) -> dict[str, Fact]:
    try:
        with nvml_session() as nvml, XidWatcher() as watcher:
            driver = _read_driver(nvml, host, plan.node)
            gpus = _read_gpus(nvml, driver)
            return {
                "nvml.gpus": _gpus_fact(gpus, source),
                "nvml.driver": Fact(value=driver),
                "nvml.xid_events": watcher.fact(source, at_least_s=watch_s),
            }
    except NvmlCallError as error:
        return _all(_session_error(error, plan, host, source))


def _session_error(error: NvmlCallError, plan: GpuPlan, host: str, source: str) -> FactError:
    """Why NVML could not be opened. Without a library and without being asked for one, there was nothing to look at."""
    remedy = _REMEDIES.get(error.code, "nvidia-smi on this host shows the same fault")
    if error.code == LIBRARY_NOT_FOUND:
        if plan.mode == "auto" and not plan.node:
            reason = "no GPU library on this host; add --gpus local on a GPU node, or --dcgm URL"
            return FactError(FactErrorKind.NO_TARGET, reason, source, remedy="--gpus local")
        return FactError(FactErrorKind.FAILED, f"no GPU library on {host}: {error}", source, remedy=remedy)
    kind = FactErrorKind.DENIED if error.code == NO_PERMISSION else FactErrorKind.FAILED
    return FactError(kind, f"{error} (NVML code {error.code})", source, remedy=remedy)


def in_container(env: Mapping[str, str], root: Path = Path("/")) -> bool:
    """Whether this process is in a container that was not given all GPUs of its host.

    The marks are those of Docker, Podman and Kubernetes; ``NVIDIA_VISIBLE_DEVICES=all`` gives every GPU.
    """
    marked = (root / ".dockerenv").exists() or (root / "run/.containerenv").exists()
    return (marked or "KUBERNETES_SERVICE_HOST" in env) and env.get("NVIDIA_VISIBLE_DEVICES") != "all"


def _read_driver(nvml: Nvml, host: str, node: str) -> NvmlDriver:
    reasons: dict[str, str] = {}

    def read(field: str, get: Callable[[], Any]) -> Any:
        try:
            return get()
        except NvmlCallError as error:
            reasons[field] = str(error)
            return None

    return NvmlDriver(
        host=host,
        node=node,
        in_container=in_container(os.environ),
        driver_version=read("driver_version", lambda: printable(nvml.call("nvmlSystemGetDriverVersion"))),
        cuda_version=read("cuda_version", lambda: cuda_version(nvml)),
        nvml_version=read("nvml_version", lambda: printable(nvml.call("nvmlSystemGetNVMLVersion"))),
        gpu_count=read("gpu_count", lambda: int(nvml.call("nvmlDeviceGetCount"))),
        reasons=reasons,
    )


def _read_gpus(nvml: Nvml, driver: NvmlDriver) -> list[Gpu] | NvmlCallError:
    if driver.gpu_count is None:
        return NvmlCallError("nvmlDeviceGetCount", UNKNOWN, f"GPUs cannot be counted: {driver.reasons['gpu_count']}")
    return [_read_gpu(nvml, driver, index) for index in range(driver.gpu_count)]


def _read_gpu(nvml: Nvml, driver: NvmlDriver, index: int) -> Gpu:
    """One GPU; a lost one keeps its identity."""
    values: dict[str, Any] = {"driver_version": driver.driver_version, "cuda_version": driver.cuda_version}
    reasons: dict[str, str] = {}
    unsupported: list[str] = []
    error_text, lost = None, False
    try:
        handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
        for reading in READINGS:
            try:
                values.update(zip(reading.fields, reading.read(nvml, handle), strict=True))
            except NvmlCallError as error:
                if error.lost:
                    raise
                reasons.update(dict.fromkeys(reading.fields, str(error)))
                if error.code == NOT_SUPPORTED:
                    unsupported.extend(reading.fields)
    except NvmlCallError as error:
        error_text, lost = str(error), error.lost
        if lost:
            # What it said of its health a moment ago is no longer true, and must not pass for it.
            values = {field: value for field, value in values.items() if field in _IDENTITY}
        missing = (field for reading in READINGS for field in reading.fields if field not in values)
        reasons.update({field: error_text for field in missing if field not in reasons})
    reasons.update(_NOT_OF_NVML)
    for field, value in values.items():
        if value is None and field not in reasons:
            reasons[field] = "this driver does not tell it apart"
    return Gpu(
        node=driver.node or driver.host,
        index=index,
        lost=lost,
        error=error_text,
        unsupported=tuple(unsupported),
        reasons=reasons,
        **values,
    )


def _gpus_fact(gpus: list[Gpu] | NvmlCallError, source: str) -> Fact:
    if isinstance(gpus, NvmlCallError):
        return Fact(error=FactError(FactErrorKind.FAILED, str(gpus), source))
    if not gpus:
        reason = "the driver answers and shows no GPU"
        return Fact(error=FactError(FactErrorKind.FAILED, reason, source, remedy=_NO_DEVICE_REMEDY))
    if all(gpu.error and gpu.uuid is None and not gpu.lost for gpu in gpus):
        reason = f"none of the {len(gpus)} GPUs could be opened: {gpus[0].error}"
        return Fact(error=FactError(FactErrorKind.DENIED, reason, source, remedy=_REMEDIES[NO_PERMISSION]))
    return Fact(value=gpus)
