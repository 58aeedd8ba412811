from collections.abc import Iterator

from inferaudit.api import Judgement, Severity, Snapshot, check
from inferaudit.slo_judgements import judge_metrics


@check(
    title="The error rate objective holds under load",
    severity=Severity.CRITICAL,
    needs=("policy", "load.result", "load.records"),
    remediation="Look at the error classes of the benchmark section, mend the cause, and run the load again.",
    references=("https://sre.google/sre-book/service-level-objectives/",),
    tags=("layer:outcome",),
)
def error_rate(snapshot: Snapshot) -> Iterator[Judgement]:
    """Errors under the expected load are an outage at launch, however fast the successes are.

    Judged over the raw records of the sustained stage; met only when the whole confidence interval meets the target.
    """
    yield from judge_metrics(snapshot, ("error_rate",))
