from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_concept


@check(
    title="Errors are counted",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.concepts"),
    optional=("prometheus.series",),
    remediation="Export an error counter by status, or scrape the gateway that has one.",
)
def errors(snapshot: Snapshot) -> Iterator[Judgement]:
    """An error ratio that cannot be computed cannot be alerted on."""
    yield from judge_concept(snapshot, "errors", "errors", series="error_rate")
