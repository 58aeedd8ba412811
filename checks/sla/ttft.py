from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="TTFT objectives hold under load",
    severity=Severity.HIGH,
    needs=("policy", "load.result", "load.records"),
    remediation="Look at the queue first; then scale out, shorten prompts or raise the prefill budget "
    "(for example vLLM's --max-num-batched-tokens).",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def ttft(snapshot: Snapshot) -> Iterator[Judgement]:
    """Time to first token is what a person waits before anything happens on the screen.

    Judged over the raw records of the sustained stage; met only when the whole confidence interval meets the target.
    """
    yield from judge_metrics(snapshot, ("ttft",))
