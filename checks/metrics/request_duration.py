from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_concept


@check(
    title="Request duration is a histogram",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.concepts"),
    optional=("prometheus.series",),
    remediation="Export a histogram of request durations, or scrape the gateway that has one.",
    references=("https://prometheus.io/docs/practices/histograms/",),
)
def request_duration(snapshot: Snapshot) -> Iterator[Judgement]:
    """A P99 objective needs a histogram: sums and counters give a mean, and a mean hides the tail."""
    yield from judge_concept(
        snapshot, "request_duration", "request durations", types=("histogram", "gaugehistogram"), series="latency_p99"
    )
