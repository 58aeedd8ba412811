"""What the client can say of itself: how late it read, how busy it was, what held it up."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from inferaudit.bench.work import LAG_SHIFT, LoopReport
from inferaudit.facts.load import ClientReport


def client_report(reports: Sequence[LoopReport], lost: int) -> ClientReport:
    """One report of all workers."""
    lags = reports[0].lags if len(reports) == 1 else list(map(sum, zip(*(r.lags for r in reports), strict=True)))
    beyond = max((r.lag_max for r in reports), default=0)
    wall = sum(max(1, r.ended - r.started) for r in reports)
    return ClientReport(
        lag_p50_ns=_quantile(lags, 0.5),
        lag_p99_ns=_quantile(lags, 0.99),
        lag_max_ns=beyond or _quantile(lags, 1.0),
        reads_stamped=sum(lags),
        reads_unstamped=sum(r.unstamped for r in reports),
        blocked_sends=sum(r.blocked_sends for r in reports),
        connections_stale=sum(r.stale for r in reports),
        connections_opened=sum(r.opened for r in reports),
        waited_for_connection=max((r.waited for r in reports), default=0),
        cpu_share=sum(r.cpu_ns for r in reports) / wall if wall else None,
        clock_step_ns=max((r.step_ns for r in reports), key=abs, default=0),
        workers=len(reports) + lost,
        workers_lost=lost,
    )


def _quantile(lags: Sequence[int], share: float) -> int | None:
    """The upper edge of the histogram's step in which this share of the reads is reached."""
    seen = list(accumulate(lags))
    return (bisect_left(seen, max(1, share * seen[-1])) + 1) << LAG_SHIFT if seen and seen[-1] else None
