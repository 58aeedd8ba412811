from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.governance import measured
from inferaudit.slo import TEMPLATE, parse_objectives

_ASPECTS = {
    "latency": ({"ttft", "itl", "tpot", "e2e"}, "ttft_p99=500ms"),
    "errors": ({"error_rate", "availability"}, "error_rate=0.1%"),
    "throughput": ({"throughput", "token_throughput", "goodput"}, "throughput=20/s"),
}


@check(
    title="Objectives cover latency, errors and throughput",
    severity=Severity.LOW,
    needs=("policy",),
    remediation=(
        "Add the missing objective to `slo:`, for example `slo: {ttft_p99: 500ms, error_rate: 0.1%, throughput: 20/s}`."
    ),
    references=("https://sre.google/workbook/implementing-slos/",),
    tags=("layer:change",),
)
def slo_complete(snapshot: Snapshot) -> Iterator[Judgement]:
    """A service that is fast because it refuses half of its requests meets a latency objective.

    Latency, errors and throughput each hide the other two; a launch is judged by all three.
    """
    policy = snapshot.fact("policy")
    slo = TEMPLATE if policy.get("slo") == "template" else policy.get("slo") or {}
    metrics = {objective.metric for objective in parse_objectives(slo)}
    if not metrics and not measured(policy):
        yield not_applicable("slo", "nothing in scope is measured against an objective")
        return
    if not metrics:
        yield unknown("slo", "no target: give --slo, or slo: in the policy", cause=("process-slo-defined", "slo"))
        return
    for aspect, (known, example) in _ASPECTS.items():
        seen = Evidence("policy slo", sorted(slo), f"an objective on {aspect}, for example {example}")
        if metrics & known:
            yield passed(f"slo/{aspect}", f"{aspect} has an objective", seen)
        else:
            yield failed(f"slo/{aspect}", f"no objective on {aspect}", seen)
