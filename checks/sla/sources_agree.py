from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Outcome, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.policy import Policy
from inferaudit.sla import judge_objectives

_SERIES = {
    "e2e_p50": "latency_p50",
    "e2e_p99": "latency_p99",
    "ttft_p99": "ttft_p99",
    "itl_p99": "itl_p99",
    "error_rate": "error_rate",
}
_SCALE = {"seconds": 1000.0, "ratio": 1.0}  # to the objective's unit: milliseconds, or a share


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
    series = {found.name: found for found in snapshot.fact("prometheus.series")}
    compared = False
    for judged in judge_objectives(snapshot, [o for o in policy.objectives if o.dimension in _SERIES]):
        objective = judged.objective
        other = series.get(_SERIES[objective.dimension])
        if other is None or other.value is None or judged.outcome not in (Outcome.PASS, Outcome.FAIL):
            continue
        compared = True
        value = other.value * _SCALE.get(other.unit, 1.0)
        kept = value <= objective.target if objective.at_most else value >= objective.target
        words = {True: "holds", False: "is broken"}
        unit = objective.unit
        said = (
            f"{objective.dimension}: {words[judged.outcome is Outcome.PASS]} in the load test ({judged.message}), "
            f"{words[kept]} in Prometheus ({value:.4g} {unit} over {other.window_s / 60:g} min)"
        )
        seen = Evidence(
            f"prometheus.series.{other.name}", round(value, 6), f"as the load test, target {objective.target:g}"
        )
        agree = kept == (judged.outcome is Outcome.PASS)
        yield (passed if agree else failed)(judged.subject, said, seen, key=objective.dimension)
    if not compared:
        yield not_applicable(None, "no objective is decided by both the load test and Prometheus")
