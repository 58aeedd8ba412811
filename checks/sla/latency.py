from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="End-to-end latency objectives hold under load",
    severity=Severity.HIGH,
    needs=("policy", "load.result", "load.records"),
    remediation="Scale out, shorten answers, or tune batching; the report's latency budget names the largest part.",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def latency(snapshot: Snapshot) -> Iterator[Judgement]:
    """The whole answer is what a caller waits for; its tail is what breaks callers with timeouts.

    Judged over the raw records of the sustained stage; met only when the whole confidence interval meets the target.
    """
    yield from judge_metrics(snapshot, ("e2e",))
