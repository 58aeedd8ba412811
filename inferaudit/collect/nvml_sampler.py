"""GPU readings at a steady pace while load is on, to lay beside latencies on one clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from inferaudit.collect.nvml_readings import clock_event_bits, memory_bytes, printable, temperature_c
from inferaudit.collect.nvml_session import (
    FUNCTION_NOT_FOUND,
    LIBRARY_NOT_FOUND,
    NO_PERMISSION,
    NOT_SUPPORTED,
    Nvml,
    NvmlCallError,
    nvml_session,
)
from inferaudit.facts.gpu import GpuSamples
from inferaudit.model import Fact, FactError, FactErrorKind

MIN_INTERVAL_S = 0.1  # 10 Hz: the driver's own averages are no finer, and reading must not disturb what is measured
_STOP_S = 5.0
_CLOCK_SM = 1
_ERROR_KINDS = {LIBRARY_NOT_FOUND: FactErrorKind.NO_TARGET, NO_PERMISSION: FactErrorKind.DENIED}
_Reader = Callable[[Nvml, Any], Any]
_READERS: dict[str, _Reader] = {
    "utilization_gpu_percent": lambda nvml, handle: int(nvml.call("nvmlDeviceGetUtilizationRates", handle).gpu),
    "memory_used_bytes": lambda nvml, handle: memory_bytes(nvml, handle)[2],
    "power_w": lambda nvml, handle: int(nvml.call("nvmlDeviceGetPowerUsage", handle)) * 1e-3,
    "sm_clock_mhz": lambda nvml, handle: int(nvml.call("nvmlDeviceGetClockInfo", handle, _CLOCK_SM)),
    "temperature_c": temperature_c,
    "clock_event_bits": clock_event_bits,
}
COLUMNS = ("t_ns", "gpu", *_READERS)


@dataclass(slots=True)
class _Device:
    """What the sampler keeps of one GPU; `handle` None once it is lost, `skip` what it does not support."""

    handle: Any
    skip: set[str] = field(default_factory=set)


class GpuSampler:
    """Samples every GPU of this host from :meth:`start` to :meth:`stop`, on the clock the load is measured with.

    At most `max_rows` rows are kept: a full table loses every second moment and the pace halves, so that a soak of
    hours costs no more memory than a minute. Usable as a context manager.
    """

    def __init__(
        self,
        *,
        interval_s: float = MIN_INTERVAL_S,
        max_rows: int = 20_000,
        clock: Callable[[], int] = time.monotonic_ns,
        source: str = "NVML",
    ) -> None:
        self._interval_s = max(interval_s, MIN_INTERVAL_S)
        self._max_rows = max(max_rows, 2)
        self._clock = clock
        self._source = source
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self._uuids: list[str] = []
        self._rows: list[tuple[Any, ...]] = []
        self._missed = 0
        self._asked: int | None = None
        self._ended: dict[str, str] = {}
        self._error: NvmlCallError | None = None

    def start(self) -> None:
        """Begins sampling; returns once the first moment is read or NVML refused."""
        if self._thread is not None:
            raise RuntimeError("a GpuSampler starts once")
        self._thread = threading.Thread(target=self._run, name="inferaudit-gpu-sampler", daemon=True)
        self._thread.start()
        self._ready.wait(_STOP_S)

    def stop(self) -> Fact:
        """Ends sampling; fact ``load.gpu_samples``. A second call gives the same."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)
            if self._thread.is_alive() and self._asked is not None:  # in the kernel, where nothing can interrupt it
                self._ended.setdefault(self._uuids[self._asked], f"the driver did not answer within {_STOP_S:g} s")
        if self._error is not None:
            kind = _ERROR_KINDS.get(self._error.code, FactErrorKind.FAILED)
            return Fact(error=FactError(kind, f"GPUs could not be sampled: {self._error}", self._source))
        rows = list(self._rows)  # a driver that hangs leaves the thread behind; what it read stays true
        if not rows:
            return Fact(error=FactError(FactErrorKind.FAILED, "the driver gave no GPU reading", self._source))
        columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
        return Fact(
            value=GpuSamples(
                uuids=tuple(self._uuids),
                interval_ms=round(self._interval_s * 1e3, 3),
                missed=self._missed,
                ended=dict(self._ended),
                **columns,
            )
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            with nvml_session() as nvml:
                devices = self._open(nvml)
                while devices and not self._stop.is_set():
                    started = time.monotonic()
                    self._sample(nvml, devices)
                    self._ready.set()
                    if all(device.handle is None for device in devices):
                        return
                    self._stop.wait(max(0.0, self._interval_s - (time.monotonic() - started)))
        except NvmlCallError as error:
            if not self._rows:
                self._error = error
        finally:
            self._ready.set()

    def _open(self, nvml: Nvml) -> list[_Device]:
        devices = []
        for index in range(int(nvml.call("nvmlDeviceGetCount"))):
            name = f"index-{index}"
            try:
                handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
                name = printable(nvml.call("nvmlDeviceGetUUID", handle))
            except NvmlCallError as error:
                handle, self._ended[name] = None, str(error)
            self._uuids.append(name)
            devices.append(_Device(handle))
        return devices

    def _sample(self, nvml: Nvml, devices: list[_Device]) -> None:
        """One moment of all GPUs; the readings of one GPU are some microseconds apart and share one stamp."""
        for index, device in enumerate(devices):
            if device.handle is None:
                continue
            stamp, values = self._clock(), []
            self._asked = index
            try:
                values = [self._read(nvml, device, name, read) for name, read in _READERS.items()]
            except NvmlCallError as error:
                device.handle, self._ended[self._uuids[index]] = None, str(error)
                continue
            self._rows.append((stamp, index, *values))
        self._asked = None
        if len(self._rows) > self._max_rows:
            self._thin_out()

    def _read(self, nvml: Nvml, device: _Device, name: str, read: _Reader) -> Any:
        if name in device.skip:
            return None
        try:
            return read(nvml, device.handle)
        except NvmlCallError as error:
            if error.lost:
                raise
            if error.code in (NOT_SUPPORTED, FUNCTION_NOT_FOUND):
                device.skip.add(name)  # will not come, so it is not asked for again
            else:
                self._missed += 1
            return None

    def _thin_out(self) -> None:
        """Keeps every second row of each GPU and halves the pace."""
        seen: dict[int, int] = {}
        kept = []
        for row in self._rows:
            turn = seen[row[1]] = seen.get(row[1], -1) + 1
            if turn % 2 == 0:
                kept.append(row)
        self._rows = kept
        self._interval_s *= 2
