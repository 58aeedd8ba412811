from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="Throughput objectives hold under load",
    severity=Severity.HIGH,
    needs=("policy", "load.result", "load.records"),
    remediation="Scale out, or raise the batch as far as the latency objectives allow.",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def throughput(snapshot: Snapshot) -> Iterator[Judgement]:
    """A service that cannot carry the expected rate queues without bound from the first busy minute.

    Judged over the raw records of the sustained stage; met only when the whole confidence interval meets the target.
    """
    yield from judge_metrics(
        snapshot,
        (
            "throughput",
            "goodput",
            "token_throughput",
        ),
    )
