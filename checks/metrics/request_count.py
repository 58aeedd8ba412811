from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_concept


@check(
    title="Requests are counted",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.concepts"),
    optional=("prometheus.series",),
    remediation="Export a request counter, or scrape the gateway that has one.",
    references=("https://sre.google/sre-book/monitoring-distributed-systems/",),
)
def request_count(snapshot: Snapshot) -> Iterator[Judgement]:
    """Availability, error ratio and throughput all divide by the number of requests."""
    yield from judge_concept(snapshot, "requests", "the number of requests", series="throughput")
