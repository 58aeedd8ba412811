"""XID events as the driver announces them, for as long as one watches.

The watch runs in a daemon thread, ends within one wait of being told to, and outlives a GPU that is lost meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from inferaudit.collect.nvml_readings import printable
from inferaudit.collect.nvml_session import TIMEOUT, Nvml, NvmlCallError, nvml_session
from inferaudit.facts.gpu import XidEvent, XidWatch
from inferaudit.model import Fact, FactError, FactErrorKind

_EVENT_XID = 0x8  # nvml.h, nvmlEventTypeXidCriticalError
_WAIT_MS = 20
_MAX_EVENTS = 1000
_STOP_S = 5.0


class XidWatcher:
    """Collects XID events from entering the ``with`` block until :meth:`fact` is asked.

    Registering for events is a matter of this process alone and changes nothing on the GPU.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inferaudit-xid", daemon=True)
        self._events: list[XidEvent] = []
        self._truncated = False
        self._gpus = 0
        self._error: str | None = None
        self._started_ns = self._ended_ns = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(_STOP_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(_STOP_S)

    def fact(self, source: str, *, at_least_s: float = 0.0) -> Fact:
        """Ends the watch, once it has lasted `at_least_s`; the events, or why there was no watch."""
        if self._started_ns:
            left_s = at_least_s - (self._clock() - self._started_ns) / 1e9
            self._stop.wait(max(0.0, min(left_s, at_least_s)))
        self._stop.set()
        self._thread.join(_STOP_S)
        if self._error is not None or not self._gpus:
            reason = self._error or "the driver did not accept a watch for XID events"
            return Fact(error=FactError(FactErrorKind.FAILED, f"XID events could not be watched: {reason}", source))
        ended_ns = self._ended_ns or self._clock()
        return Fact(
            value=XidWatch(
                window_s=round((ended_ns - self._started_ns) / 1e9, 3),
                gpus=self._gpus,
                events=tuple(self._events),
                truncated=self._truncated,
            )
        )

    def _run(self) -> None:
        try:
            with nvml_session() as nvml:
                self._watch(nvml)
        except NvmlCallError as error:
            self._error = str(error)
        finally:
            self._ended_ns = self._clock()
            self._ready.set()

    def _watch(self, nvml: Nvml) -> None:
        event_set = nvml.call("nvmlEventSetCreate")
        try:
            self._register(nvml, event_set)
            if self._gpus:
                self._started_ns = self._clock()
                self._ready.set()
                self._wait(nvml, event_set)
        finally:
            nvml.call("nvmlEventSetFree", event_set)

    def _register(self, nvml: Nvml, event_set: Any) -> None:
        refused = "the driver shows no GPU"
        for index in range(int(nvml.call("nvmlDeviceGetCount"))):
            try:
                handle = nvml.call("nvmlDeviceGetHandleByIndex", index)
                nvml.call("nvmlDeviceRegisterEvents", handle, _EVENT_XID, event_set)
                self._gpus += 1
            except NvmlCallError as error:  # one lost GPU must not blind the watch over the others
                refused = str(error)
        if not self._gpus:
            self._error = refused

    def _wait(self, nvml: Nvml, event_set: Any) -> None:
        stopping = False
        while not (stopping and self._truncated):
            try:
                # One look after the stop as well, so that what is queued is not left behind.
                event = nvml.call("nvmlEventSetWait", event_set, 0 if stopping else _WAIT_MS)
            except NvmlCallError as error:
                if error.code != TIMEOUT:
                    self._error = str(error)
                if stopping or self._error is not None:
                    return
                stopping = self._stop.is_set()
                continue
            self._note(nvml, event)
            stopping = stopping or self._stop.is_set()

    def _note(self, nvml: Nvml, event: Any) -> None:
        if not int(event.eventType) & _EVENT_XID:
            return
        if len(self._events) >= _MAX_EVENTS:
            self._truncated = True
            return
        try:
            uuid: str | None = printable(nvml.call("nvmlDeviceGetUUID", event.device))
        except NvmlCallError:
            uuid = None  # a GPU that is gone tells its XID and not its name
        offset_ms = (self._clock() - self._started_ns) / 1e6
        self._events.append(XidEvent(xid=int(event.eventData), gpu=uuid, offset_ms=round(offset_ms, 3)))
