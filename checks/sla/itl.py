from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="ITL objectives hold under load",
    severity=Severity.HIGH,
    needs=("policy", "load.result", "load.records"),
    remediation="Lower the batch (for example vLLM's --max-num-seqs), add KV cache or replicas.",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def itl(snapshot: Snapshot) -> Iterator[Judgement]:
    """The gap between tokens is the reading speed that users feel; its tail shows preemptions and too large batches.

    Judged over the raw records of the sustained stage; met only when the whole confidence interval meets the target.
    """
    yield from judge_metrics(snapshot, ("itl",))
