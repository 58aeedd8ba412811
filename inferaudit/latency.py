"""Latency figures: the one percentile, its interval, and what may be concluded from it.

Values are integer nanoseconds (or any integer unit: the functions do not care); `Summary.in_ms` converts once, at
the edge. No data is None, never 0.

**The percentile.** Sorted ascending, x₁ ≤ … ≤ xₙ, the p-th percentile is x at rank ⌈p·n/100⌉ (nearest rank, the
inverse of the empirical distribution function; numpy's `method="inverted_cdf"`). It is always a latency that some
request really had, and it is the definition for which the binomial order-statistic interval holds exactly.
"""

import bisect
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from itertools import count as counting
from typing import Any, Literal

from inferaudit.binomial import proportion_bounds, quantile_ranks, trials_without_hit

PERCENTILES: dict[str, float] = {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "p99.9": 99.9}
CONFIDENCE = 0.95
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

CountTable = Sequence[Sequence[int]]
"""[[value, count], …] with ascending, distinct values: exact, and small however long the run."""

Bounds = tuple[int | None, int | None]
"""Lower and upper confidence bound; a side is None where there are too few samples to give it."""

Decision = Literal["pass", "fail", "undecided"]


@dataclass(frozen=True)
class Summary:
    """Count, mean, percentiles and their intervals of one quantity, in nanoseconds; None where nothing was measured."""

    count: int
    mean: float | None
    percentiles: Mapping[str, int | None]
    max: int | None
    bounds: Mapping[str, Bounds]

    def in_ms(self) -> dict[str, Any]:
        """As in the report: milliseconds, `interval` [low, high] or null when either side lacks samples."""
        return {
            "count": self.count,
            "mean": _ms(self.mean),
            **{name: _ms(value) for name, value in self.percentiles.items()},
            "max": _ms(self.max),
            "interval": {
                name: None if low is None or high is None else [_ms(low), _ms(high)]
                for name, (low, high) in self.bounds.items()
            },
        }


@dataclass(frozen=True)
class Window:
    """The worst rolling window: its figure and the slice `[first:last]` of the time-ordered points it covers.

    `start_ns` to `end_ns` is the window that was really looked at: shorter than asked for when the run was.
    """

    value: float
    start_ns: int
    end_ns: int
    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first


def rank(count: int, p: float) -> int:
    """Rank (1-based) of the p-th percentile among `count` values; exact, so 99.9 % of 1 000 is 999."""
    numerator, denominator = _ratio(p)
    return max(1, -(-numerator * count // denominator))


def percentile(ordered: Sequence[int], p: float) -> int | None:
    """The p-th percentile (0 < p ≤ 100) of values sorted ascending: the nearest rank; None of nothing."""
    return ordered[rank(len(ordered), p) - 1] if ordered else None


def table_percentile(table: CountTable, p: float) -> int | None:
    """`percentile` of the values a count table stands for."""
    count = sum(row[1] for row in table)
    return _table_at(table)(rank(count, p)) if count else None


def percentile_bounds(ordered: Sequence[int], p: float, confidence: float = CONFIDENCE) -> Bounds:
    """Bounds of the true p-th percentile by binomial order statistics; holds for any distribution."""
    return _bounds(len(ordered), p, confidence, lambda at: ordered[at - 1])


def table_percentile_bounds(table: CountTable, p: float, confidence: float = CONFIDENCE) -> Bounds:
    """`percentile_bounds` of the values a count table stands for."""
    return _bounds(sum(row[1] for row in table), p, confidence, _table_at(table))


def summarise(values: Iterable[int], confidence: float = CONFIDENCE) -> Summary:
    """Everything the report says about one list of integer values, in any order."""
    ordered = sorted(values)
    return _summary(len(ordered), sum(ordered), confidence, lambda at: ordered[at - 1])


def summarise_table(table: CountTable, unit: int = 1, confidence: float = CONFIDENCE) -> Summary:
    """`summarise` of a count table whose values are in `unit` nanoseconds (1 000 for a table in µs)."""
    scaled = [(value * unit, count) for value, count in table if count]
    return _summary(sum(c for _, c in scaled), sum(v * c for v, c in scaled), confidence, _table_at(scaled))


def tabulate(values: Iterable[int], unit: int = 1, most: int | None = None) -> list[list[int]]:
    """A count table of `values`, each rounded to the nearest multiple of `unit` and given in that unit.

    Of more than `most` rows none is made: `coarsened` says how.
    """
    return _table(Counter((v + unit // 2) // unit for v in values), most)


def coarsened(table: CountTable, most: int) -> list[list[int]]:
    """`table` in at most so many rows: where it has more, rounded to the finest step of 1, 2 or 5 × 10ⁿ that does it.

    A million different latencies are no better a picture of a distribution, and a report of some megabytes.
    """
    return _table(Counter({row[0]: row[1] for row in table}), most)


def _table(counts: Counter[int], most: int | None) -> list[list[int]]:
    steps = (digit * 10**power for power in counting() for digit in (1, 2, 5))
    rows = counts
    while most is not None and len(rows) > most:
        step, rows = next(steps), Counter()
        for value, number in counts.items():
            rows[(value + step // 2) // step * step] += number
    return [list(row) for row in sorted(rows.items())]


def merge_tables(tables: Iterable[CountTable]) -> list[list[int]]:
    """One count table of several (stages, workers): exact, in any order of merging."""
    first, *others = [*tables] or [()]
    if not others:
        return [list(row) for row in first]
    total = Counter({row[0]: row[1] for row in first})
    for table in others:
        for value, count in table:
            total[value] += count
    return _table(total, None)


def required_samples(p: float, confidence: float = CONFIDENCE) -> int:
    """The fewest samples that give the p-th percentile an upper bound: a `pass` needs at least these.

    (p/100)ⁿ ≤ (1 − confidence)/2: 72 for P95, 368 for P99, 3 688 for P99.9, at 95 %.
    """
    return trials_without_hit(1 - p / 100, (1 + confidence) / 2)


def look_confidence(look: int, confidence: float = CONFIDENCE) -> float:
    """The confidence to ask at the `look`-th look (from 1) at a growing sample.

    Stopping at the first look that decides gives chance as many tries as there were looks. With shares 6/(π²k²) of
    the allowed error, all looks together are wrong with at most 1 − confidence (union bound).
    """
    return 1 - (1 - confidence) * 6 / (math.pi * look) ** 2


def error_rate_bounds(errors: int, requests: int, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Clopper–Pearson bounds of the true error rate (0 to 1), each one-sided; None without requests.

    No error in 2 995 requests shows less than 0.1 % at 95 %.
    """
    return proportion_bounds(errors, requests, confidence)


def decide(limit: float, low: float | None, high: float | None, *, at_most: bool = True) -> Decision:
    """What an interval says about an objective "at most `limit`" (`at_most=False`: at least).

    `pass` only when the whole interval meets it, `fail` only when the whole interval breaks it; a missing bound
    (too few samples) decides nothing.
    """
    if not at_most:
        limit, low, high = -limit, (None if high is None else -high), (None if low is None else -low)
    if high is not None and high <= limit:
        return "pass"
    return "fail" if low is not None and low > limit else "undecided"


def is_good(observed: Mapping[str, int | None], limits: Mapping[str, int]) -> bool:
    """Does one successful request meet every objective? A figure it lacks is not met."""
    return all((value := observed.get(name)) is not None and value <= limit for name, limit in limits.items())


def rate_per_s(count: int, first_scheduled_ns: int, last_end_ns: int) -> float | None:
    """Events a second over a stage, first scheduled to last end; None where that is no time at all."""
    span = last_end_ns - first_scheduled_ns
    return count * NS_PER_S / span if span > 0 else None


def goodput(
    requests: Iterable[Mapping[str, int | None]], limits: Mapping[str, int], first_scheduled_ns: int, last_end_ns: int
) -> float | None:
    """Requests a second that met every objective; `requests` are the successful ones. None without objectives."""
    if not limits:
        return None
    return rate_per_s(sum(is_good(request, limits) for request in requests), first_scheduled_ns, last_end_ns)


def worst_percentile(points: Sequence[tuple[int, int]], p: float, window_ns: int) -> Window | None:
    """The highest p-th percentile over every rolling window; points are (end time, value), ordered by time.

    Only full windows count: a shorter one at the start would call its slowest request a P99. A run shorter than
    the window is one window. The maximum over many windows leans upwards, never down.
    """
    if not points:
        return None
    if points[0][0] > points[-1][0] - window_ns:
        whole = table_percentile(tabulate(value for _, value in points), p)
        return None if whole is None else Window(whole, points[0][0], points[-1][0], 0, len(points))
    values = sorted({value for _, value in points})
    place = {value: at for at, value in enumerate(values)}
    tree = _RankTree(len(values))
    first, worst = 0, None
    for last, (end, value) in enumerate(points, 1):
        tree.add(place[value], 1)
        while points[first][0] <= end - window_ns:
            tree.add(place[points[first][1]], -1)
            first += 1
        if first:
            figure = values[tree.at(rank(last - first, p))]
            if worst is None or figure > worst.value:
                worst = Window(figure, end - window_ns, end, first, last)
    return worst


def worst_error_rate(points: Sequence[tuple[int, bool]], window_ns: int) -> Window | None:
    """The highest share of failed requests over every rolling window; points are (end time, failed), by time."""
    inside: deque[bool] = deque()
    failed, first, worst = 0, 0, None
    for last, (end, bad) in enumerate(points, 1):
        inside.append(bad)
        failed += bad
        while points[first][0] <= end - window_ns:
            failed -= inside.popleft()
            first += 1
        if (first or last == len(points)) and (worst is None or failed / len(inside) > worst.value):
            start = end - window_ns if first else points[0][0]
            worst = Window(failed / len(inside), start, end, first, last)
    return worst


def mean_in_flight(spans: Iterable[tuple[int, int]], start_ns: int, end_ns: int) -> float | None:
    """Requests in flight on average between two moments, from their (sent, end) spans cut to that time."""
    if end_ns <= start_ns:
        return None
    busy = sum(max(0, min(end, end_ns) - max(start, start_ns)) for start, end in spans)
    return busy / (end_ns - start_ns)


def littles_law_gap(concurrency: float, rate: float, mean_latency_ns: float) -> float:
    """How far a run is from Little's law L = λ·W, as a share of L.

    In a closed loop of `concurrency` streams the rest is time in which a stream had no request out: the client's own
    delay. Much more than a few percent says that the client, not the service, set the throughput.
    """
    return 1 - rate * mean_latency_ns / NS_PER_S / concurrency


def _summary(count: int, total: int, confidence: float, at: Callable[[int], int]) -> Summary:
    return Summary(
        count=count,
        mean=total / count if count else None,
        percentiles={name: at(rank(count, p)) if count else None for name, p in PERCENTILES.items()},
        max=at(count) if count else None,
        bounds={name: _bounds(count, p, confidence, at) for name, p in PERCENTILES.items()},
    )


def _bounds(count: int, p: float, confidence: float, at: Callable[[int], int]) -> Bounds:
    low, high = quantile_ranks(count, p / 100, confidence)
    return (None if low is None else at(low)), (None if high is None else at(high))


def _table_at(table: CountTable) -> Callable[[int], int]:
    upto = list(accumulate(row[1] for row in table))
    return lambda at: table[bisect.bisect_left(upto, at)][0]


@lru_cache(maxsize=64)
def _ratio(p: float) -> tuple[int, int]:
    share = Fraction(str(p)) / 100  # through the text: the float nearest to 99.9 is a little more than 99.9
    if not 0 < share <= 1:
        raise ValueError(f"a percentile lies above 0 and at most at 100, not at {p}")
    return share.as_integer_ratio()


class _RankTree:
    """Counts by place with order statistics in O(log n) (Fenwick 1994): a rolling percentile of a million requests."""

    def __init__(self, size: int) -> None:
        self._counts = [0] * (size + 1)
        self._top = 1 << size.bit_length()

    def add(self, place: int, count: int) -> None:
        at = place + 1
        while at < len(self._counts):
            self._counts[at] += count
            at += at & -at

    def at(self, rank_: int) -> int:
        """The place (from 0) of the value at this rank (from 1)."""
        place, step = 0, self._top
        while step:
            nearer = place + step
            if nearer < len(self._counts) and self._counts[nearer] < rank_:
                place, rank_ = nearer, rank_ - self._counts[nearer]
            step >>= 1
        return place


def _ms(value: float | None) -> float | None:
    return None if value is None else value / NS_PER_MS
