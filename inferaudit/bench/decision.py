"""Stop when it is known: objectives held against what was measured so far, at looks that are few and accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from inferaudit.latency import CONFIDENCE, decide, error_rate_bounds, look_confidence, table_percentile_bounds
from inferaudit.plan import LoadPlan
from inferaudit.slo import Objective, parse_objective

_KEEP_BITS = 11  # live values are rounded up by less than 0.1 %: a live pass is never too generous
_GROWTH = 1.25  # look again when there is a quarter more: each look costs confidence
_FIRST_LOOK = 50
_FOR_A_RATE = 400  # answers: what comes in of Poisson arrivals then varies by 5 %

Tallies = dict[str, Counter[int]]
"""Per metric (ttft, itl, tpot, e2e) how often each rounded value (ns) came; `requests` counts by 0 ok, 1 failed."""


def objectives(plan: LoadPlan) -> tuple[Objective, ...]:
    """The plan's objectives with their targets, which the plan holds in `slo.Objective`'s own units."""
    return tuple(replace(parse_objective(name, 1), target=target) for name, target in plan.slo.items())


def rounded_up(value: int) -> int:
    """`value` to 11 significant bits, never below it."""
    shift = max(0, value.bit_length() - _KEEP_BITS)
    return ((value + (1 << shift) - 1) >> shift) << shift


class Watch:
    """Collects tallies of one stage and says, when asked, whether every objective is decided."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = [
            o for o in objectives if o.percentile is not None or o.metric in ("error_rate", "availability")
        ]
        self.tallies: Tallies = {}
        self.looks = 0
        self.decided: dict[str, str] = {}
        # A rate is judged after the stage, whatever is decided before: it must have lasted long enough for one.
        self._next = (
            _FOR_A_RATE if any(o.metric.endswith(("throughput", "goodput")) for o in objectives) else _FIRST_LOOK
        )

    def add(self, fresh: Mapping[str, Mapping[int, int]]) -> None:
        """Take in what came since the last call."""
        for name, counts in fresh.items():
            self.tallies.setdefault(name, Counter()).update(counts)

    def look(self) -> bool:
        """Look at the data if there is enough more of it; True when every objective is decided (and there is one)."""
        seen = sum(self.tallies.get("requests", Counter()).values())
        if not self.objectives or seen < self._next:
            return False
        self._next = int(seen * _GROWTH) + 1
        self.looks += 1
        confidence = look_confidence(self.looks, CONFIDENCE)
        self.decided = {o.dimension: self._one(o, confidence) for o in self.objectives}
        return "undecided" not in self.decided.values()

    def _one(self, objective: Objective, confidence: float) -> str:
        if objective.metric in ("error_rate", "availability"):
            requests = self.tallies.get("requests", Counter())
            bounds = error_rate_bounds(requests[1], sum(requests.values()), confidence)
            limit = objective.target if objective.metric == "error_rate" else 1 - objective.target
            return "undecided" if bounds is None else decide(limit, *bounds)
        assert objective.percentile is not None  # noqa: S101  # chosen so above
        table = sorted(self.tallies.get(objective.metric, Counter()).items())
        low, high = table_percentile_bounds(table, objective.percentile, confidence)
        return decide(objective.target * 1e6, low, high)
