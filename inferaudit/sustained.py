"""What rate a stage sustained, and how sure that is. Pure.

In a closed loop the rate is what came back a second, with the interval of batch means. In an open loop the load is
imposed: a service that keeps up answers exactly what came in, and the tail of the last answers, which the plain rate
counts as time in which nothing more was offered, says nothing against it. It keeps up when what is unfinished does
not pile up while requests still arrive, and is worked off at the end in about the time that the first answers took.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from inferaudit.latency import mean_in_flight
from inferaudit.stats import batch_means_bounds

FEWEST = 30  # answers; fewer give no interval, and so no verdict
_SLICES = 10
_LATE = 0.9  # drained at less than this share of what came in: the service was working off a backlog
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One request of a stage: when it was due and ended (ns), and what it counts (0 where it counts for nothing)."""

    due_ns: int
    end_ns: int
    weight: float


@dataclass(frozen=True, slots=True)
class Sustained:
    """A rate a second with its interval (None where there are too few answers to tell).

    `offered` is what came in a second, None in a closed loop; `long_enough` is False for an open loop that lasted so
    little beside its first latencies that a backlog could not be told from the latencies themselves.
    """

    rate: float
    low: float | None
    high: float | None
    samples: int
    offered: float | None = None
    kept_up: bool = True
    long_enough: bool = True


def sustained(answers: Sequence[Answer], *, open_loop: bool) -> Sustained | None:
    """The rate of the weights; None where no time passed."""
    by_due = sorted(answers, key=lambda a: a.due_ns)
    if len(by_due) < 2:
        return None
    return _imposed(by_due) if open_loop else _free(by_due)


def _free(answers: Sequence[Answer]) -> Sustained | None:
    first, last = answers[0].due_ns, max(a.end_ns for a in answers)
    if last <= first:
        return None
    total, counted = sum(a.weight for a in answers), sum(a.weight > 0 for a in answers)
    slices = _sliced([(a.end_ns, a.weight) for a in answers], first, last)
    rate = total * _NS / (last - first)
    low, high = (batch_means_bounds(slices) if len(answers) >= FEWEST else None) or (None, None)
    return Sustained(rate, low, high, counted)


def _imposed(answers: Sequence[Answer]) -> Sustained | None:
    n, first, due = len(answers), answers[0].due_ns, answers[-1].due_ns
    if due <= first:
        return None
    arriving = (due - first) * n / (n - 1)  # the last request has a gap of its own
    offered = round(n * _NS / arriving, 6)  # a schedule in whole nanoseconds misses its rate by less than that
    early = [a.end_ns - a.due_ns for a in answers[: max(10, n // 10)]]
    drained = n * _NS / max(max(a.end_ns for a in answers) - first - median(early) + arriving / n, 1)
    kept_up = drained >= _LATE * offered and not _piles_up(answers, first + max(early), due)
    share = sum(a.weight for a in answers) / n
    rate = share * (offered if kept_up else min(drained, offered))
    low = high = None
    if n >= FEWEST:
        low, high = rate, rate  # what came in is no sample of anything; only what each answer counts varies
        if len({a.weight for a in answers}) > 1:
            bounds = batch_means_bounds(_sliced([(a.due_ns, a.weight) for a in answers], first, due))
            reach = (bounds[1] - bounds[0]) / 2 if bounds else 0.0
            low, high = rate - reach, rate + reach
    counted = sum(a.weight > 0 for a in answers)
    return Sustained(rate, low, high, counted, offered, kept_up, due - first >= 5 * median(early))


def _piles_up(answers: Sequence[Answer], start: int, end: int) -> bool:
    """Are there more unfinished requests at the end than at the beginning, beyond chance and 2 % of what came in?

    In a service with room their number m varies by about √m.
    """
    tenth = (end - start) // 10
    if tenth <= 0:
        return False
    spans = [(a.due_ns, a.end_ns) for a in answers]
    before, after = mean_in_flight(spans, start, start + tenth) or 0.0, mean_in_flight(spans, end - tenth, end) or 0.0
    return after - before > max(4 * math.sqrt(max(before, 1.0)), 0.02 * len(answers))


def _sliced(points: Sequence[tuple[int, float]], first: int, last: int) -> list[float]:
    """The rate a second in each of even slices of the time from `first` to `last`."""
    edges = [first + (last - first) * k // _SLICES for k in range(_SLICES + 1)]
    sums = [0.0] * _SLICES
    for moment, weight in points:
        sums[min((moment - first) * _SLICES // max(last - first, 1), _SLICES - 1)] += weight
    return [total * _NS / (b - a) for total, (a, b) in zip(sums, pairwise(edges), strict=True) if b > a]
