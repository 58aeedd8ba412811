"""When requests are due: a pure function of the stage and the seed. No clock, no I/O.

Offsets are integer nanoseconds from the start of the stage. The same stage and seed give the same offsets in every
process, so that each worker computes the whole schedule and takes its share: request i belongs to worker i mod n.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import count, islice, repeat, takewhile

from inferaudit.errors import UsageError
from inferaudit.plan import StagePlan

NS = 1_000_000_000
_LATEST_S = 1e11  # seconds since the epoch are less, milliseconds are more


def arrivals(stage: StagePlan, seed: int, trace: Sequence[int] = ()) -> Iterator[int]:
    """The due times of an open loop, ascending; bounded by the stage's requests and duration."""
    rate = stage.rate
    if stage.arrival == "trace":
        offsets: Iterator[int] = _trace(trace, rate)
    elif not rate or rate <= 0:
        raise UsageError(f"stage {stage.name}: an open loop needs a rate above 0")
    elif stage.arrival == "constant":
        offsets = (round(i * NS / rate) for i in count())
    elif stage.arrival == "poisson":
        offsets = _poisson(rate, random.Random(f"{seed}:{stage.name}:arrivals"))  # noqa: S311  # reproducible on purpose
    else:
        offsets = _bursts(rate, burst_size(rate, stage.burst))
    if stage.requests is not None:
        offsets = islice(offsets, stage.requests)
    limit = None if stage.duration_s is None else round(stage.duration_s * NS)
    for offset in offsets:
        if limit is not None and offset >= limit:
            return
        yield offset


def share(offsets: Iterator[int], worker: int, workers: int) -> Iterator[tuple[int, int]]:
    """(request number, due time) of the requests that belong to one worker."""
    return islice(enumerate(offsets), worker, None, workers)


def split(total: int, worker: int, workers: int) -> int:
    """This worker's part of `total` streams; the parts add up to it."""
    return total // workers + (worker < total % workers)


def numbers(total: int | None, streams: int, worker: int, workers: int) -> Iterator[int]:
    """The request numbers of a closed loop that belong to one worker: request i to stream i mod `streams`, stream s to
    worker s mod n. A worker without a stream has none."""
    if workers == 1:
        return islice(count(), total)
    own = range(worker, streams, workers)
    if not own:
        return iter(())
    mine = (base + stream for base in count(0, streams) for stream in own)
    return mine if total is None else takewhile(total.__gt__, mine)


def expected_requests(stage: StagePlan, trace: Sequence[int] = ()) -> int | None:
    """How many requests an open loop will have (the mean, for Poisson); None where it depends on the answers."""
    if stage.arrival == "trace" and stage.concurrency is None and trace:
        return sum(1 for _ in arrivals(stage, 0, trace))
    if stage.rate is None or stage.duration_s is None:
        return stage.requests
    by_time = round(stage.rate * stage.duration_s)
    if stage.arrival == "burst":  # a burst that has begun is sent whole
        size = burst_size(stage.rate, stage.burst)
        by_time = math.ceil(round(stage.duration_s * stage.rate / size, 6)) * size
    return by_time if stage.requests is None else min(by_time, stage.requests)


def burst_size(rate: float, burst: int) -> int:
    """Requests in a burst; where the stage does not say, one second's worth."""
    return burst or max(1, round(rate))


def parse_trace(text: str, name: str) -> tuple[int, ...]:
    """Due times in seconds, one a line (the first column of a CSV, a header is passed over), as offsets in ns."""
    times: list[float] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        first = line.split(",")[0].strip()
        if not first or first.startswith("#"):
            continue
        try:
            time = float(first)
        except ValueError:
            if times or number > 1:
                raise UsageError(f"{name}:{number}: {first[:40]!r} is not a time in seconds") from None
            continue
        if not abs(time) < _LATEST_S:  # nor is NaN
            raise UsageError(f"{name}:{number}: {first[:40]!r} is not a time in seconds")
        times.append(time)
    if not times:
        raise UsageError(f"{name} holds no arrival times")
    start = min(times)
    return tuple(sorted(round((t - start) * NS) for t in times))


def _poisson(rate: float, rng: random.Random) -> Iterator[int]:
    now = 0.0
    while True:
        now += rng.expovariate(rate)
        yield round(now * NS)


def _bursts(rate: float, size: int) -> Iterator[int]:
    for number in count():
        yield from repeat(round(number * size * NS / rate), size)


def _trace(trace: Sequence[int], rate: float | None) -> Iterator[int]:
    """The trace as recorded, or stretched to a mean rate."""
    if not trace:
        raise UsageError("arrival trace needs a trace file (--trace FILE)")
    if not rate or trace[-1] == 0:
        return iter(trace)
    scale = (len(trace) * NS / rate) / trace[-1]
    return (round(offset * scale) for offset in trace)
