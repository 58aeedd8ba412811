from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Outcome, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.policy import Policy
from inferaudit.sla import judge_objectives
from inferaudit.sla_table import QUESTIONS, prometheus_source
from inferaudit.units import plain

# Rates are not compared: Prometheus tells what arrived; and no load test lasts as long as an availability.
_COMPARED = frozenset(QUESTIONS) - {"availability", "throughput", "token_throughput"}


@check(
    title="The load test and Prometheus say the same of an objective",
    severity=Severity.MEDIUM,
    needs=("policy", "load.result", "load.records", "prometheus.series"),
    remediation="Find out which is right before launch: another mix of requests in production, a histogram whose "
    "buckets or start differ, errors that a gateway hides, or a load test that reached a cache.",
    references=("https://sre.google/workbook/implementing-slos/",),
    tags=("layer:outcome",),
)
def sources_agree(snapshot: Snapshot) -> Iterator[Judgement]:
    """An objective that holds in the test and is broken in production, or the other way round, is not known to hold.

    Compared are the rows that both decide: what the load measured with its interval, and Prometheus over its window.
    """
    policy = Policy.model_validate(snapshot.fact("policy"))
    compared = False
    for judged in judge_objectives(snapshot, [o for o in policy.objectives if o.dimension in _COMPARED]):
        objective = judged.objective
        other = prometheus_source(snapshot, objective)
        if other.value is None or judged.outcome not in (Outcome.PASS, Outcome.FAIL):
            continue
        compared = True
        kept = other.outcome == Outcome.PASS.value
        words = {True: "holds", False: "is broken"}
        said = (
            f"{objective.dimension}: {words[judged.outcome is Outcome.PASS]} in the load test ({judged.message}), "
            f"{words[kept]} in Prometheus ({plain(other.value)} {objective.unit} over {other.window})"
        )
        name = QUESTIONS[objective.dimension]
        seen = Evidence(
            f"prometheus.series.{name}", round(other.value, 6), f"as the load test, target {objective.target:g}"
        )
        agree = kept == (judged.outcome is Outcome.PASS)
        yield (passed if agree else failed)(judged.subject, said, seen, key=objective.dimension)
    if not compared:
        yield not_applicable(None, "no objective is decided by both the load test and Prometheus")
