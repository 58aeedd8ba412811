"""Objectives as judgements: what the checks of the group ``sla`` share."""

from __future__ import annotations

from collections.abc import Iterator

from inferaudit.api import failed, not_applicable, passed, unknown
from inferaudit.model import Evidence, Judgement, Outcome, Snapshot
from inferaudit.policy import Policy
from inferaudit.sla import ObjectiveResult, judge_objectives

# Long-term promises: who measured load and set no objective at all is asked for those of the load first.
_NEEDS_NO_LOAD = frozenset(("availability", "freshness"))
_MAKE = {Outcome.PASS: passed, Outcome.FAIL: failed, Outcome.UNKNOWN: unknown}


def judge_metrics(snapshot: Snapshot, metrics: tuple[str, ...]) -> Iterator[Judgement]:
    """One judgement for each objective of the policy on one of `metrics`.

    Without any objective at all the answer is ``unknown``, explained by ``process-slo-defined``; where others are set
    and none on these metrics, the question was not asked.
    """
    policy = Policy.model_validate(snapshot.fact("policy"))
    if not policy.objectives and not _NEEDS_NO_LOAD.issuperset(metrics):
        yield unknown(None, "no target: give --slo, or slo: in the policy", cause=("process-slo-defined", "slo"))
        return
    chosen = [o for o in policy.objectives if o.metric in metrics]
    if not chosen:
        yield not_applicable(None, f"the policy sets no objective on {', '.join(metrics)}")
        return
    for result in judge_objectives(snapshot, chosen):
        yield _MAKE[result.outcome](result.subject, result.message, _evidence(result))


def _evidence(result: ObjectiveResult) -> Evidence:
    o = result.objective
    observed = {
        "value": result.observed,
        "interval": list(result.interval),
        "samples": result.samples,
        "window": result.window,
        "unit": o.unit,
    }
    return Evidence(f"{result.source}.{o.dimension}", observed, f"{'<=' if o.at_most else '>='} {o.target:g} {o.unit}")
