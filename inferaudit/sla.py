"""Service level objectives judged over raw request records. Pure.

Only the sustained stage counts (or the only measured one): never warm-up, burst or overload. A percentile is that of
the worst rolling 5 minutes, the error rate that of the worst rolling 15; a shorter run prints the window it had. A
target is met when the whole confidence interval meets it and broken when the whole interval breaks it; else it is
unknown. A client that was its own bottleneck makes its latencies unknown, never a pass or a fail, unless they are out
of reach of what it may have done to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from inferaudit.benchmark import (
    answer_gaps,
    benchmark_section,
    judged_stage,
    row_values,
    stage_answers,
    stage_outcomes,
    stage_section,
)
from inferaudit.errors import MissingFactError
from inferaudit.gpu_series import gpu_series
from inferaudit.latency import (
    Window,
    decide,
    error_rate_bounds,
    percentile_bounds,
    required_samples,
    table_percentile,
    table_percentile_bounds,
    worst_error_rate,
    worst_percentile,
)
from inferaudit.merged_reads import decide_merged
from inferaudit.model import Outcome, Snapshot
from inferaudit.policy import Policy
from inferaudit.slo import Objective
from inferaudit.stats import batch_means_bounds
from inferaudit.sustained import FEWEST, Sustained, sustained
from inferaudit.units import amount, format_duration, plain

_S = 1_000_000_000
LATENCY_WINDOW_NS = 300 * _S
ERROR_WINDOW_NS = 900 * _S
_NEAR = 0.9  # of the asked rate: so much of it Poisson arrivals may have come to
# What the client measured of itself → the objectives it then cannot decide. A count of errors is true all the same.
_RATES = frozenset(("throughput", "goodput", "token_throughput"))
_FALSIFIED = {
    "latency_ms": _RATES | {"ttft", "itl", "tpot", "e2e"},
    "itl_ms": frozenset({"itl"}),
    "ttft_ms": frozenset({"ttft", "tpot"}),
    "request_rate": _RATES,
}
_OUTCOMES = {"pass": Outcome.PASS, "fail": Outcome.FAIL, "undecided": Outcome.UNKNOWN}


@dataclass(frozen=True, slots=True)
class ObjectiveResult:
    """What was observed of one objective; `observed` and `interval` in the objective's unit, None = not measured."""

    objective: Objective
    outcome: Outcome
    message: str
    observed: float | None = None
    interval: tuple[float | None, float | None] = (None, None)
    samples: int | None = None
    window: str | None = None
    source: str = "load"

    @property
    def subject(self) -> str:
        """How findings name it."""
        return f"slo/{self.objective.dimension}"


def benchmark_of(snapshot: Snapshot, policy: Policy) -> dict[str, Any] | None:
    """The report's ``benchmark``; None when no load was measured."""
    try:
        result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    except MissingFactError:
        return None
    section = benchmark_section(result, records, {o.dimension: o.target for o in policy.objectives})
    if snapshot.error("load.gpu_samples") is None:
        gpus = None if snapshot.error("nvml.gpus") else snapshot.fact("nvml.gpus")
        section["series"]["gpu"] = gpu_series(snapshot.fact("load.gpu_samples"), result.started_ns, gpus)
    return section


def judge_objectives(snapshot: Snapshot, objectives: Sequence[Objective]) -> list[ObjectiveResult]:
    """Every objective that load can decide, judged; raises MissingFactError when no load was measured."""
    return [_judge(snapshot, objective) for objective in objectives]


def _judge(snapshot: Snapshot, objective: Objective) -> ObjectiveResult:
    if objective.metric in _FROM_ELSEWHERE:
        return _FROM_ELSEWHERE[objective.metric](snapshot, objective)
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage = judged_stage(result)
    if stage is None:
        why = "the load had no sustained stage and not exactly one other"
        return ObjectiveResult(objective, Outcome.UNKNOWN, why)
    return judge_in_stage(result, records, stage, objective)


def judge_in_stage(result: Any, records: Any, stage: Any, objective: Objective) -> ObjectiveResult:
    """An objective that load decides, over one stage of it, whichever."""
    judge: Callable[..., ObjectiveResult] = _LOAD_JUDGES.get(objective.metric, _latency)
    judged = judge(result, records, stage, objective)
    if judged.outcome in (Outcome.PASS, Outcome.FAIL):
        client = stage_section(result, records, stage, {})["client"]
        wrong = [figure for figure in client["falsifies"] if objective.metric in _FALSIFIED.get(figure, ())]
        # A first token that was read with the next has the stamp of the later one: it can only seem later than it was.
        too_late_at_worst = wrong == ["ttft_ms"] and objective.metric == "ttft" and judged.outcome is Outcome.PASS
        if wrong == ["itl_ms"] and (despite := _despite_late_reads(result, records, stage, judged)):
            return despite
        if wrong and not too_late_at_worst:
            why = "; ".join(client["reasons"])
            said = f"{judged.message}; but the client was the bottleneck, so this is not the service's figure: {why}"
            return replace(judged, outcome=Outcome.UNKNOWN, message=said)
    return judged


def _despite_late_reads(result: Any, records: Any, stage: Any, judged: ObjectiveResult) -> ObjectiveResult | None:
    """`judged`, where it holds for every way in which a late client can have merged the gaps; else None."""
    objective = judged.objective
    if objective.percentile is None or stage.client.reads_unstamped:  # then a stamp may be the client's own lateness
        return None
    table = records.itl_us.get(stage.name) or ()
    firsts = [value // 1000 + 1 for _, value in row_values(result, records, stage, "ttft")]
    decision, fewest, most = decide_merged(table, firsts, objective.percentile, objective.target * 1e3)
    if _OUTCOMES[decision] is not judged.outcome:
        return None
    worst = f"at most {most}" if judged.outcome is Outcome.PASS else f"at least {fewest}"
    said = f"the client read late, which merges tokens; however it did, {worst} of {judged.samples} gaps were above it"
    return replace(judged, message=f"{judged.message}; {said}")


def _latency(result: Any, records: Any, stage: Any, objective: Objective) -> ObjectiveResult:
    """A percentile or mean of TTFT, ITL, TPOT or E2E."""
    if objective.metric == "itl":
        return _itl(result, records, stage, objective)
    points = row_values(result, records, stage, objective.metric)
    if not points:
        return ObjectiveResult(objective, Outcome.UNKNOWN, _why_none(result, objective), samples=0)
    if objective.percentile is None:
        low, high = _mean_bounds([value / 1e6 for _, value in points])
        mean = sum(v for _, v in points) / len(points) / 1e6
        return _decided(objective, mean, low, high, len(points), _span(points))
    worst = worst_percentile(points, objective.percentile, LATENCY_WINDOW_NS)
    assert worst is not None  # noqa: S101  # there are points
    inside = sorted(value for _, value in points[worst.first : worst.last])
    low, high = percentile_bounds(inside, objective.percentile)
    return _decided(objective, worst.value / 1e6, _ms(low), _ms(high), len(inside), _window(worst))


def _itl(result: Any, records: Any, stage: Any, objective: Objective) -> ObjectiveResult:
    table = records.itl_us.get(stage.name) or ()
    count = sum(row[1] for row in table)
    if not count:
        return ObjectiveResult(objective, Outcome.UNKNOWN, "no gap between tokens was measured", samples=0)
    if objective.percentile is None:
        mean = sum(v * n for v, n in table) / count / 1e3
        parts = answer_gaps(records, stage)
        gaps = sum(n for _, n in parts)
        # The table knows which events held several tokens, the answers do not: theirs is the spread, its the mean.
        scale = mean * gaps / total if (total := sum(ms for ms, _ in parts)) else 1.0
        low, high = (None if b is None else b * scale for b in _ratio_bounds(parts))
        return _decided(objective, mean, low, high, count, "the whole stage")
    low, high = table_percentile_bounds(table, objective.percentile)
    observed = table_percentile(table, objective.percentile)
    assert observed is not None  # noqa: S101  # the table is not empty
    bounds = tuple(None if b is None else b / 1e3 for b in (low, high))
    return _decided(objective, observed / 1e3, bounds[0], bounds[1], count, "the whole stage")


def _mean_bounds(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The interval of the mean of values in the order of time, by batch means; (None, None) for too few."""
    return _ratio_bounds([(value, 1) for value in values])


def _ratio_bounds(parts: Sequence[tuple[float, int]]) -> tuple[float | None, float | None]:
    """The interval of a sum over a count, (sum, count) of each answer in the order of time, by batch means."""
    if len(parts) < FEWEST:
        return None, None
    edges = [len(parts) * k // 10 for k in range(11)]
    batches = [parts[a:b] for a, b in pairwise(edges)]
    means = [sum(total for total, _ in batch) / sum(n for _, n in batch) for batch in batches]
    return batch_means_bounds(means) or (None, None)


def _decided(
    objective: Objective, observed: float, low: float | None, high: float | None, samples: int, window: str
) -> ObjectiveResult:
    outcome = _OUTCOMES[decide(objective.target, low, high, at_most=objective.at_most)]
    sign = "≤" if objective.at_most else "≥"
    told, target = (amount(value, objective.unit) for value in (observed, objective.target))
    text = f"{objective.dimension} {told}, target {sign} {target}"
    if outcome is Outcome.UNKNOWN:
        needed = required_samples(objective.percentile) if objective.percentile else FEWEST
        if samples < needed:
            text += f"; {samples} samples are too few to tell, an interval takes {needed}"
        else:
            text += "; the confidence interval holds the target: more samples would decide"
    return ObjectiveResult(objective, outcome, text, observed, (low, high), samples, window)


def _error_rate(result: Any, records: Any, stage: Any, objective: Objective) -> ObjectiveResult:
    points = stage_outcomes(records, stage)
    if not points:
        return ObjectiveResult(objective, Outcome.UNKNOWN, "no request was finished", samples=0)
    worst = worst_error_rate(points, ERROR_WINDOW_NS)
    assert worst is not None  # noqa: S101  # there are points
    inside = points[worst.first : worst.last]
    bad = sum(failed for _, failed in inside)
    bounds = error_rate_bounds(bad, len(inside))
    low, high = bounds if bounds else (None, None)
    outcome = _OUTCOMES[decide(objective.target, low, high)]
    text = f"{bad} of {len(inside)} requests failed ({bad / len(inside):.3%}), target ≤ {objective.target:.3%}"
    if bad:
        text += f" ({_classes(records, stage)} in the stage)"
    if outcome is Outcome.UNKNOWN:
        needed = _clean_requests(objective.target)
        text += f"; not enough requests to tell: below {objective.target:.3%} takes {needed} without an error"
    return ObjectiveResult(objective, outcome, text, bad / len(inside), (low, high), len(inside), _window(worst))


def _classes(records: Any, stage: Any) -> str:
    """The stage's errors by class, most frequent first: ``http_5xx 12, reset_in_body 3``."""
    errors = records.columns["error"]
    rows = records.stage_rows(stage.name)
    counts = Counter(name for i in rows if (name := records.errors[errors[i]]) and name != "cancelled")
    return ", ".join(f"{name} {count}" for name, count in counts.most_common(4))


def _clean_requests(rate: float) -> int:
    from inferaudit.binomial import trials_without_hit

    return trials_without_hit(rate) if 0 < rate < 1 else 1


def _rate(result: Any, records: Any, stage: Any, objective: Objective) -> ObjectiveResult:
    """Throughput, goodput or tokens per second that the stage sustained, at the rate it was asked."""
    section = stage_section(result, records, stage, result.slo)
    key = {"throughput": "request_rate", "goodput": "goodput", "token_throughput": "token_rate"}[objective.metric]
    window = format_duration((stage.end_ns - stage.start_ns) / _S)
    held = sustained(stage_answers(result, records, stage, objective.metric), open_loop=stage.concurrency is None)
    if section[key] is None or held is None:
        return ObjectiveResult(objective, Outcome.UNKNOWN, "not measured", samples=0, window=window)
    asked = _as_asked(held, stage)
    outcome = _OUTCOMES[decide(objective.target, asked.low, asked.high, at_most=False)]
    text = f"{amount(held.rate, objective.unit)}, target ≥ {amount(objective.target, objective.unit)}"
    if outcome is Outcome.PASS and held.rate < objective.target:
        text += (
            f"; it kept up with Poisson arrivals of {plain(stage.rate)}/s, of which {plain(held.offered or 0)}/s came"
        )
    elif held.low is None:
        text += f"; {held.samples} answers are too few to tell a rate, it takes {FEWEST}"
    elif outcome is Outcome.UNKNOWN:
        text += "; the confidence interval holds the target: a longer run would decide"
    elif outcome is Outcome.FAIL and held.offered is not None:
        outcome, why = _not_reached(held, objective)
        text += why
    return ObjectiveResult(objective, outcome, text, held.rate, (held.low, held.high), held.samples, window)


def _as_asked(held: Sustained, stage: Any) -> Sustained:
    """Poisson arrivals vary by chance, and the schedule is ours: who kept up is judged at the rate of the stage.

    Only so far as chance reaches: of arrivals that came to much less, nobody knows what more would have done.
    """
    offered = held.offered or 0.0
    if stage.arrival != "poisson" or not held.kept_up or not _NEAR * (stage.rate or 0) <= offered < (stage.rate or 0):
        return held
    low, high = (None if v is None else round(v * stage.rate / offered, 6) for v in (held.low, held.high))
    return replace(held, low=low, high=high)


def _not_reached(held: Sustained, objective: Objective) -> tuple[Outcome, str]:
    """An open loop below its target: was it the service, or was no more offered, or not for long enough?"""
    if not held.kept_up and held.long_enough:
        return Outcome.FAIL, f"; requests piled up at {plain(held.offered or 0)}/s"
    if not held.kept_up:
        return Outcome.UNKNOWN, "; the run was too short beside its latencies to tell a backlog: raise load.duration"
    # What keeps up has made every token it was asked for; more requests a second would tell whether it can make more.
    asked_for_less = objective.metric == "token_throughput" or (held.offered or 0) < objective.target
    if asked_for_less:
        offered = plain(held.offered or 0)
        why = f"; no more was offered ({offered} requests/s), so the service may do more: raise load.rate"
        return Outcome.UNKNOWN, why
    return Outcome.FAIL, ""


def _availability(snapshot: Snapshot, objective: Objective) -> ObjectiveResult:
    """From Prometheus over 30 days; load alone cannot tell it, its figure stands beside."""
    series = {s.name: s for s in snapshot.fact("prometheus.series")}.get("availability")
    if series is None or series.value is None:
        why = series.reason if series else "Prometheus was not asked for it"
        return ObjectiveResult(objective, Outcome.UNKNOWN, f"availability over 30 days: {why}", source="prometheus")
    covered = series.covered_s
    window = format_duration(min(covered or series.window_s, series.window_s))
    text = f"availability {series.value:.4%} over {window}, target ≥ {objective.target:.4%}"
    if covered is not None and covered < 0.9 * series.window_s:
        text += f"; the data reach back {window} of {format_duration(series.window_s)}"
        return ObjectiveResult(objective, Outcome.UNKNOWN, text, series.value, window=window, source="prometheus")
    outcome = Outcome.PASS if series.value >= objective.target else Outcome.FAIL
    return ObjectiveResult(objective, outcome, text, series.value, window=window, source="prometheus")


def _freshness(snapshot: Snapshot, objective: Objective) -> ObjectiveResult:
    why = "the age of the deployed model's revision is not stated by a label (inferaudit.dev/model-date) or a registry"
    workload = snapshot.fact("workload")
    metadata = (workload.template.get("metadata") or {}) if workload else {}
    stated = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}.get("inferaudit.dev/model-date")
    if not stated:
        return ObjectiveResult(objective, Outcome.UNKNOWN, why, source="label")
    from datetime import UTC, datetime

    try:
        made = datetime.fromisoformat(str(stated))
    except ValueError:
        text = f"inferaudit.dev/model-date is {stated!r}, which is no ISO date"
        return ObjectiveResult(objective, Outcome.UNKNOWN, text, source="label")
    made = made if made.tzinfo else made.replace(tzinfo=UTC)
    age = (datetime.fromisoformat(snapshot.collected_at) - made).total_seconds()
    outcome = Outcome.PASS if age <= objective.target else Outcome.FAIL
    text = f"the model is {format_duration(age)} old, target ≤ {format_duration(objective.target)}"
    return ObjectiveResult(objective, outcome, text, age, samples=1, window="now", source="label")


_LOAD_JUDGES: dict[str, Callable[..., ObjectiveResult]] = {
    "error_rate": _error_rate,
    "throughput": _rate,
    "goodput": _rate,
    "token_throughput": _rate,
}
_FROM_ELSEWHERE: dict[str, Callable[[Snapshot, Objective], ObjectiveResult]] = {
    "availability": _availability,
    "freshness": _freshness,
}


def _why_none(result: Any, objective: Objective) -> str:
    if objective.metric in ("ttft", "itl", "tpot") and not result.stream:
        return f"{objective.metric} needs a streamed answer, and the load was not streamed"
    return f"no successful request has a {objective.metric}"


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ns / 1e6


def _window(window: Window) -> str:
    return format_duration((window.end_ns - window.start_ns) / _S)


def _span(points: Sequence[tuple[int, int]]) -> str:
    return format_duration((points[-1][0] - points[0][0]) / _S)
