from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.policy import Policy


@check(
    title="Histogram buckets are fine enough around the objectives",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.concepts", "policy"),
    remediation="Set buckets around the objective (vLLM: `--custom-histogram-buckets`), or judge it at the gateway.",
    references=("https://prometheus.io/docs/practices/histograms/#errors-of-quantile-estimation",),
)
def buckets(snapshot: Snapshot, *, max_factor: float = 2.0) -> Iterator[Judgement]:
    """A quantile is interpolated inside one bucket.

    With a first bucket of 300 ms every faster request looks like 150 ms, and a 100 ms objective can be neither kept
    nor broken.
    """
    subject = snapshot.fact("endpoint.target").subject
    by_concept = {c.concept: c for c in snapshot.fact("endpoint.concepts") if c.bounds and c.unit in _MILLISECONDS}
    asked = 0
    for objective in Policy.model_validate(snapshot.fact("policy")).objectives:
        concept = by_concept.get(_CONCEPTS.get(objective.metric, ""))
        if concept is None or objective.unit != "ms" or objective.percentile is None:
            continue
        asked += 1
        bounds = [bound * _MILLISECONDS[concept.unit] for bound in concept.bounds]
        below = [b for b in bounds if b <= objective.target]
        above = [b for b in bounds if b >= objective.target]
        near = {"below": below[-1] if below else None, "above": above[0] if above else None}
        seen = Evidence(f"{concept.name} buckets (ms)", near, f"bounds within a factor {max_factor:g}")
        fine = below and above and above[0] <= max(below[-1], 1e-9) * max_factor
        if fine or objective.target in bounds:
            yield passed(
                subject, f"{concept.name} has buckets around {objective.target:g} ms", seen, key=objective.dimension
            )
        else:
            yield failed(
                subject, f"{concept.name} cannot resolve {objective.target:g} ms", seen, key=objective.dimension
            )
    if not asked:
        yield not_applicable(subject, "no latency objective has a histogram on the server's page")


_CONCEPTS = {"e2e": "request_duration", "latency": "request_duration", "ttft": "ttft", "itl": "itl", "tpot": "tpot"}
_MILLISECONDS = {"seconds": 1e3, "milliseconds": 1.0, "microseconds": 1e-3}
