"""What a run of the loop is given to do, and what it says of itself afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

LAG_SHIFT = 12  # the lag histogram counts in steps of 4 096 ns
LAG_BUCKETS = 65_536  # up to 268 ms; the last bucket holds the rest


@dataclass(slots=True)
class Work:
    """What one run of the loop does: an open loop over `arrivals` (number, offset), or `concurrency` streams.

    `eager` decodes whenever nothing else is to do, for stages that watch their objectives. `patient` lets tokens of
    many streams gather for half a millisecond before they are read. `awake` waits for what is due soon without sleep.
    `gap_ns` lies at least between two requests of a closed loop, all streams together.
    """

    arrivals: Iterator[tuple[int, int]] | None = None
    concurrency: int = 0
    numbers: Iterator[int] | None = None
    duration_ns: int | None = None
    eager: bool = False
    patient: bool = False
    awake: bool = False
    gap_ns: int = 0


@dataclass(slots=True)
class LoopReport:
    """What the loop says of itself. `lags` counts reads by (read time − kernel stamp) >> LAG_SHIFT.

    `issued` counts the requests that were taken from the schedule, `completed` those that came to an end of any kind:
    each becomes one row. `lag_max` is the longest lag (ns) beyond the histogram, 0 when there is none. `cpu_ns` leaves
    out what was waited awake.
    """

    started: int = 0
    ended: int = 0
    lags: list[int] = field(default_factory=list)
    unstamped: int = 0
    blocked_sends: int = 0
    stale: int = 0
    opened: int = 0
    waited: int = 0
    cpu_ns: int = 0
    step_ns: int = 0
    issued: int = 0
    lag_max: int = 0
    completed: int = 0
    failed: int = 0
