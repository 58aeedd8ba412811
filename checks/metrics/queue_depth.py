from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.endpoint_judgements import judge_concept


@check(
    title="The queue's depth is measured",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.concepts"),
    optional=("prometheus.series",),
    remediation="Export the number of waiting requests; it is the signal to scale on.",
)
def queue_depth(snapshot: Snapshot) -> Iterator[Judgement]:
    """The queue grows before the latency does: it is the first sign of overload and the best signal to scale on."""
    yield from judge_concept(snapshot, "waiting", "waiting requests", series="waiting")
