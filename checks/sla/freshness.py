from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="The deployed model is fresh enough",
    severity=Severity.MEDIUM,
    needs=("policy", "workload"),
    remediation="State the model revision's date in the pod template (annotation `inferaudit.dev/model-date`); "
    "when it is old, check the training pipeline.",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def freshness(snapshot: Snapshot) -> Iterator[Judgement]:
    """A stale model answers fast and wrong; the pod's age says nothing about the model's."""
    yield from judge_metrics(snapshot, ("freshness",))
