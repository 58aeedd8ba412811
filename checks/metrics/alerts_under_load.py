from collections.abc import Iterator
from typing import Any

from inferaudit.api import (
    Evidence,
    Judgement,
    Outcome,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    unknown,
)
from inferaudit.policy import Policy
from inferaudit.sla import judge_in_stage

_CONCERNS = {"ttft": "latency", "itl": "latency", "tpot": "latency", "e2e": "latency", "error_rate": "errors"}
_TOLD_BY = {"latency": {"latency"}, "errors": {"errors", "burn_rate"}}  # a long queue is a cause: said beside, no more
_ABSENT = {"latency": "observability-alert-latency", "errors": "observability-alert-errors"}


@check(
    title="The alerts speak when the load test breaks an objective",
    severity=Severity.MEDIUM,
    needs=("policy", "load.result", "load.records", "prometheus.load_alerts"),
    optional=("workload",),
    remediation="Lower the threshold to the objective, take the metric from where users wait (the gateway, where the "
    "queue is in front of the server), and shorten the window; `inferaudit generate alerts` writes such rules.",
    references=("https://sre.google/workbook/alerting-on-slos/",),
)
def alerts_under_load(snapshot: Snapshot) -> Iterator[Judgement]:
    """An alert that is silent while users wait is found out by the users.

    Each stage of the load that broke an objective on latency or errors is a rehearsal: the expressions of the alerts
    about the service are evaluated by Prometheus over it. One that held for a while and not for its ``for`` would have
    fired had it gone on; so would one that speaks with its window cut to the stage's length. A silence counts where
    the stage was long enough beside the scrape interval.
    """
    policy = Policy.model_validate(snapshot.fact("policy"))
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    rows = snapshot.fact("prometheus.load_alerts")
    objectives = [o for o in policy.objectives if o.metric in _CONCERNS]
    if not objectives:
        yield unknown(None, "no target: give --slo, or slo: in the policy", cause=("process-slo-defined", "slo"))
        return
    broken: dict[str, dict[str, str]] = {}  # concern → stage → what broke
    for stage in result.stages:
        if not stage.scheduled or stage.name not in records.stages:
            continue
        for judged in (judge_in_stage(result, records, stage, objective) for objective in objectives):
            if judged.outcome is Outcome.FAIL:
                told = broken.setdefault(_CONCERNS[judged.objective.metric], {})
                told.setdefault(stage.name, judged.message)
    if not broken:
        spoke = sorted({row.name for row in rows if row.held_s is not None})
        seen = Evidence("prometheus.load_alerts[].held_s", spoke or None, "an objective broken under load")
        yield not_applicable(None, "no stage of the load surely broke an objective: no alert was called for", seen)
        return
    for concern, stages in sorted(broken.items()):
        yield _judge(snapshot, concern, stages, [row for row in rows if row.stage in stages])


def _judge(snapshot: Snapshot, concern: str, stages: dict[str, str], rows: list[Any]) -> Judgement:
    """Whether an alert on `concern` spoke in one of the `stages` that broke it."""
    subject = "endpoint/prometheus"
    mine = [row for row in rows if _TOLD_BY[concern].intersection(row.watches)]
    named = ", ".join(stages)
    broke = f"{next(iter(stages.values()))} ({named})"
    shown = {f"{row.name} in {row.stage}": _said(row) for row in mine[:20]}
    seen = Evidence("prometheus.load_alerts[].held_s", shown or None, f"an alert on {concern} that speaks in {named}")
    if not mine:
        cause = None
        if snapshot.error("workload") is None and snapshot.fact("workload") is not None:
            cause = (_ABSENT[concern], snapshot.fact("workload").subject)
        text = f"{broke}: Prometheus has loaded no alert on {concern} that could have said so"
        return failed(subject, text, seen, key=concern, cause=cause)
    speaking = list(dict.fromkeys(f"{row.name} {_said(row)}" for row in mine if _spoke(row)))
    silent = list(dict.fromkeys(row.name for row in mine if not any(_spoke(r) for r in mine if r.name == row.name)))
    if speaking:
        text = f"{broke}: {'; '.join(speaking[:4])}"
        text += f"; silent: {', '.join(silent[:6])}" if silent else ""
        return passed(subject, text, seen, key=concern)
    open_ = [f"{row.name}: {row.reason}" for row in mine if row.if_lasting is None]
    if open_:
        text = f"{broke}: no alert on {concern} spoke, and {len(open_)} could not have yet: {open_[0]}"
        return unknown(subject, text, seen, key=concern)
    other = sorted({row.name for row in rows if row not in mine and _spoke(row)})
    text = f"{broke}, and the alerts on {concern} stayed silent: {', '.join(silent[:6])}"
    text += f" (only {', '.join(other[:3])} spoke)" if other else ""
    return failed(subject, text, seen, key=concern)


def _spoke(row: Any) -> bool:
    return row.held_s is not None or row.if_lasting is True


def _said(row: Any) -> str:
    """What one alert said in one stage."""
    if row.held_s is not None and row.held_s >= row.for_s:
        return f"would have fired (true for {row.held_s:g} s)"
    if row.held_s is not None:
        return f"was true for {row.held_s:g} s and fires after {row.for_s:g} s"
    if row.if_lasting:
        return f"would fire if it lasted (it looks back {row.lookback_s:g} s)"
    return row.reason or "silent"
