"""Samplers beside the load: GPUs, the server's own metrics, whatever is given, once a second on one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PERIOD_S = 1.0
_MAX_SAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class Sampler:
    """`read` returns one sample (plain JSON data); what it raises is kept as that sample's error text."""

    name: str
    read: Callable[[], Any]


class Sampling:
    """Reads every sampler once a second from `start` to `stop`."""

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self._samplers = samplers
        self._series: dict[str, list[list[Any]]] = {sampler.name: [] for sampler in samplers}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; nothing happens without samplers."""
        if self._samplers:
            self._thread = threading.Thread(target=self._read, name="samplers", daemon=True)
            self._thread.start()

    def stop(self) -> dict[str, list[list[Any]]]:
        """End, and give each series as [[ns, value], …]."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
        return self._series

    def _read(self) -> None:
        while True:
            for sampler in self._samplers:
                series = self._series[sampler.name]
                if len(series) < _MAX_SAMPLES:
                    try:
                        value = sampler.read()
                    except Exception as error:  # a sampler must not end the load; its failure is the sample
                        value = {"error": str(error)}
                    series.append([time.time_ns(), value])
            if self._stop.wait(PERIOD_S):
                return
