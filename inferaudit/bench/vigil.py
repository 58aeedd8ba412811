"""Waiting awake for a request that is due soon, where that takes the core from nobody (Linux).

A core that sleeps is late to wake: by tens of microseconds, and by milliseconds in a virtual machine whose host has
lent the core to others meanwhile. So the last millisecond before a request of an open loop is waited out awake.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

if sys.platform == "linux":
    import resource

Events: TypeAlias = list[tuple[int, int]]

AWAKE_NS = 1_000_000
_WANTED = 10  # so many times between two looks that the core was taken from us: others need it
_CGROUPS = Path("/sys/fs/cgroup")


class Vigil:
    """`ns` is how long before its time something due is waited for awake; 0: not at all."""

    __slots__ = ("_taken", "ns", "wanted")

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted and sys.platform == "linux"
        self.ns = AWAKE_NS if self.wanted else 0
        self._taken = _taken()

    def learn(self) -> None:
        """Asked a few times a second: sleep until the next time where others wanted the core as well."""
        before, self._taken = self._taken, _taken()
        self.ns = AWAKE_NS if self.wanted and self._taken - before < _WANTED else 0

    @staticmethod
    def wait(poll: Callable[[float], Events], until: int) -> tuple[Events, int]:
        """Whatever happens before `until` (monotonic ns), and the CPU time (ns) that went into waiting."""
        began, now = time.thread_time_ns(), time.monotonic_ns
        events = poll(0)
        while not events and now() < until:
            events = poll(0)
        return events, time.thread_time_ns() - began


def may_stay_awake(workers: int, cgroups: Path = _CGROUPS, mine: Path = Path("/proc/self/cgroup")) -> bool:
    """Has the machine a core left for others, and may all be used all the time? A quota would be spent on waiting."""
    cores = float(os.cpu_count() or 1)
    return min([cores, *_quotas(cgroups, mine)]) >= workers + 1


def _quotas(cgroups: Path, mine: Path) -> Iterator[float]:
    """The CPU quotas on this process, in cores (cgroup v2's cpu.max, v1's cpu.cfs_quota_us)."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = mine.read_text().splitlines()
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups
        place = Path(path.lstrip("/"))
        for folder in (root / part for part in (place, *place.parents)):
            with contextlib.suppress(OSError, ValueError):
                if controllers:
                    quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
                else:
                    quota, period = (folder / "cpu.max").read_text().split()
                if float(quota) > 0:  # "max" is no number, -1 no limit
                    yield float(quota) / float(period)


def _taken() -> int:
    """How often this thread lost the core to another (its involuntary context switches)."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw if sys.platform == "linux" else 0
