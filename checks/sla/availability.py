from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="The availability objective holds",
    severity=Severity.MEDIUM,
    needs=("policy", "prometheus.series"),
    remediation="Give --prometheus URL; below the target, find what spent the error budget before launching more.",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def availability(snapshot: Snapshot) -> Iterator[Judgement]:
    """Availability is the promise users remember, and load alone cannot show thirty days of it."""
    yield from judge_metrics(snapshot, ("availability",))
