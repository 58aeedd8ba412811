from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="TPOT objectives hold under load",
    severity=Severity.HIGH,
    needs=("policy", "load.result", "load.records"),
    remediation="Lower the batch, use a faster GPU or quantised weights, or add replicas.",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def tpot(snapshot: Snapshot) -> Iterator[Judgement]:
    """Time per output token decides how long an answer takes once it has begun.

    Judged over the raw records of the sustained stage; met only when the whole confidence interval meets the target.
    """
    yield from judge_metrics(snapshot, ("tpot",))
