from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="TTFT objectives hold under load",
    severity=Severity.HIGH,
    needs=("policy", "load.result", "load.records"),
    remediation="Scale out, shorten prompts or raise the prefill budget (for example vLLM's --max-num-batched-tokens); look at the queue first.",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def ttft(snapshot: Snapshot) -> Iterator[Judgement]:
    """Time to first token is what a person waits before anything happens on the screen.

    Judged over the raw records of the sustained stage: a target is met only when the whole confidence interval meets it.
    """
    yield from judge_metrics(snapshot, ("ttft",))
