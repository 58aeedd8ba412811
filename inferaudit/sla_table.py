"""The report's SLA table: every objective with what each source says of it, the load test beside Prometheus. Pure.

The first figure of a row is the one that decides. What the other source says stands beside it, and `disagreement` is
the finding (``sla-sources-agree``) that tells the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inferaudit.benchmark import judged_stage, stage_outcomes
from inferaudit.errors import MissingFactError
from inferaudit.facts.metrics import SeriesResult
from inferaudit.latency import error_rate_bounds
from inferaudit.model import Finding, Outcome, Snapshot
from inferaudit.policy import Policy
from inferaudit.sla import ObjectiveResult, judge_objectives
from inferaudit.slo import KNOWN, TEMPLATE, Objective, parse_objective
from inferaudit.units import format_duration

# Objective → the question to Prometheus that asks for the same thing.
QUESTIONS: Mapping[str, str] = {
    "e2e_p50": "latency_p50",
    "e2e_p95": "latency_p95",
    "e2e_p99": "latency_p99",
    "ttft_p99": "ttft_p99",
    "itl_p99": "itl_p99",
    "tpot_p99": "tpot_p99",
    "error_rate": "error_rate",
    "availability": "availability",
    "throughput": "throughput",
    "token_throughput": "token_throughput",
}
_ARRIVED = frozenset(("throughput", "token_throughput"))
_SCALE = {"seconds": 1000.0}  # to the objective's unit, milliseconds
_AGREE = "sla-sources-agree"


@dataclass(frozen=True, slots=True)
class Source:
    """What one source says of an objective, in the objective's unit; `value` None = not known, for `reason`.

    `window` is how much time the figure covers, `samples` how many requests or gaps (None = not told).
    """

    source: str
    value: float | None = None
    interval: list[float | None] | None = None
    samples: int | None = None
    window: str | None = None
    outcome: str = Outcome.UNKNOWN.value
    reason: str | None = None


def sla_section(snapshot: Snapshot, policy: Policy, findings: Sequence[Finding]) -> dict[str, Any]:
    """The report's ``sla``: every objective, and the usual ones nobody set as ``unknown: no target``."""
    disagreements = {f.subject: f.fingerprint for f in findings if f.check == _AGREE and f.outcome is Outcome.FAIL}
    rows = []
    for objective in policy.objectives:
        result = _judged(snapshot, objective)
        sources = [asdict(source) for source in sources_of(snapshot, result)]
        rows.append({**_row(result), "sources": sources, "disagreement": disagreements.get(result.subject)})
    set_ = {o.dimension for o in policy.objectives}
    metrics = {o.metric for o in policy.objectives}
    rows += [_no_target(name) for name in KNOWN if name not in set_ and name.split("_p")[0] not in metrics]
    budget = next((r for r in rows if r["dimension"] == "availability"), None)
    return {"objectives": rows, "error_budget": _error_budget(budget)}


def sources_of(snapshot: Snapshot, result: ObjectiveResult) -> list[Source]:
    """What the load test, then Prometheus, says of an objective; of the model's age only the workload's label."""
    own = _own(result)
    match result.source:
        case "label":
            return [own]
        case "prometheus":
            return [_success_under_load(snapshot), own]
    return [own, prometheus_source(snapshot, result.objective)]


def prometheus_source(snapshot: Snapshot, objective: Objective) -> Source:
    """What Prometheus says of an objective; no interval and no count, for it keeps neither."""
    name = QUESTIONS.get(objective.dimension)
    if name is None:
        return Source("prometheus", reason=f"Prometheus is not asked for {objective.dimension}")
    try:
        found = next((s for s in snapshot.fact("prometheus.series") if s.name == name), None)
    except MissingFactError as error:
        return Source("prometheus", reason=error.reason)
    if found is None or found.value is None or not math.isfinite(found.value):
        return Source("prometheus", reason=(found.reason if found else "") or "Prometheus did not say")
    value = found.value * _SCALE.get(found.unit, 1.0)
    kept = value <= objective.target if objective.at_most else value >= objective.target
    if not kept and objective.metric in _ARRIVED:
        why = "this is what was asked of the service, not what it could serve"
        return Source("prometheus", value, window=_covered(found), reason=why)
    outcome = Outcome.PASS if kept else Outcome.FAIL
    return Source("prometheus", value, window=_covered(found), outcome=outcome.value)


def _judged(snapshot: Snapshot, objective: Objective) -> ObjectiveResult:
    try:
        return judge_objectives(snapshot, [objective])[0]
    except MissingFactError as error:
        source = "prometheus" if objective.metric == "availability" else "load"
        source = "label" if objective.metric == "freshness" else source
        return ObjectiveResult(objective, Outcome.UNKNOWN, error.reason, source=source)


def _own(result: ObjectiveResult) -> Source:
    """The figure that decides the row."""
    interval = list(result.interval) if None not in result.interval else None
    why = None if result.outcome in (Outcome.PASS, Outcome.FAIL) else result.message
    return Source(
        result.source, result.observed, interval, result.samples, result.window, result.outcome.value, why
    )  # fmt: skip


def _success_under_load(snapshot: Snapshot) -> Source:
    """The share of the load's requests that succeeded: it stands beside 30 days and decides nothing about them."""
    try:
        result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    except MissingFactError as error:
        return Source("load", reason=error.reason)
    stage = judged_stage(result)
    points = stage_outcomes(records, stage) if stage else []
    if stage is None or not points:
        return Source("load", samples=0, reason="no request was finished")
    bad = sum(failed for _, failed in points)
    bounds = error_rate_bounds(bad, len(points))
    interval: list[float | None] | None = [1 - bounds[1], 1 - bounds[0]] if bounds else None
    window = format_duration((stage.end_ns - stage.start_ns) / 1e9)
    why = f"{window} of load tell nothing about 30 days"
    return Source("load", 1 - bad / len(points), interval, len(points), window, reason=why)


def _covered(found: SeriesResult) -> str:
    return format_duration(found.window_s if found.covered_s is None else min(found.covered_s, found.window_s))


def _row(result: ObjectiveResult) -> dict[str, Any]:
    o = result.objective
    return {
        "dimension": o.dimension,
        "target": o.target,
        "at_most": o.at_most,
        "unit": o.unit,
        "observed": result.observed,
        "interval": list(result.interval) if None not in result.interval else None,
        "samples": result.samples,
        "window": result.window,
        "source": result.source,
        "outcome": result.outcome.value,
        "message": result.message,
        "consequence": o.consequence,
    }


def _no_target(name: str) -> dict[str, Any]:
    sample = parse_objective(name, TEMPLATE.get(name, "1"))
    row = _row(ObjectiveResult(sample, Outcome.UNKNOWN, "no target: give --slo, or slo: in the policy", source=""))
    return {**row, "target": None, "source": None, "sources": None, "disagreement": None}


def _error_budget(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """Minutes of the 30-day budget: allowed, spent and left; None without an availability objective."""
    if row is None or row["target"] is None:
        return None
    allowed = (1 - row["target"]) * 30 * 24 * 60
    spent = None if row["observed"] is None else (1 - row["observed"]) * 30 * 24 * 60
    left = None if spent is None else allowed - spent
    return {"window_days": 30, "allowed_minutes": allowed, "spent_minutes": spent, "left_minutes": left}
