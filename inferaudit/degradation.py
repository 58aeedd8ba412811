"""What a watch over the loss of one replica shows: errors, latency before and after, the last error. Pure.

An empty percentile is None. Times in seconds from the deletion, latencies in milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from inferaudit.facts.reach import ChaosRequest, Degradation
from inferaudit.latency import percentile


@dataclass(frozen=True, slots=True)
class Loss:
    """`sent` and `errors` count from the deletion on; `worst` names the error most met. `last_error_s` None = none."""

    sent: int
    errors: int
    worst: str
    last_error_s: float | None
    p50_before_ms: float | None
    p50_ms: float | None
    max_ms: float | None

    @property
    def ratio(self) -> float | None:
        """Share of the requests that failed; None where none was sent."""
        return self.errors / self.sent if self.sent else None


def loss(seen: Degradation) -> Loss:
    """The watch in figures."""
    before = [r for r in seen.requests if r.at_s < 0]
    after = [r for r in seen.requests if r.at_s >= 0]
    failed = [r for r in after if r.error]
    kinds = Counter(str(r.error) for r in failed)
    return Loss(
        sent=len(after),
        errors=len(failed),
        worst=kinds.most_common(1)[0][0] if kinds else "",
        last_error_s=max((r.at_s for r in failed), default=None),
        p50_before_ms=_median(before),
        p50_ms=_median(after),
        max_ms=max((r.ms for r in after if r.error is None and r.ms is not None), default=None),
    )


def _median(requests: Sequence[ChaosRequest]) -> float | None:
    times = sorted(round(r.ms * 1e6) for r in requests if r.error is None and r.ms is not None)
    middle = percentile(times, 50)
    return None if middle is None else middle / 1e6
