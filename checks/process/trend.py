from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    Judgement,
    Phase,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    unknown,
)
from inferaudit.governance import slug
from inferaudit.trend import comparable, trends


@check(
    title="Key figures do not get worse from run to run",
    severity=Severity.MEDIUM,
    needs=("process.history",),
    phase=Phase.AFTER,
    remediation=(
        "Compare the newest report with the last good one (`inferaudit diff OLD NEW`) and take back what changed "
        "between them."
    ),
    references=("https://sre.google/workbook/monitoring/",),
    tags=("layer:economics",),
)
def trend(snapshot: Snapshot, *, window: int = 8, tolerance: float = 0.05) -> Iterator[Judgement]:
    """A service that loses two percent with each release passes every audit until it fails one.

    Tokens per second, GPU utilisation, P95 and cost per token are looked at over the last runs like this one: of the
    same service, model, GPUs and load.
    Worse means: so steady an order is rare by chance, and the figure moved by more than the tolerance.
    """
    runs = comparable(snapshot.fact("process.history"))
    found = trends(runs, window=window, tolerance=tolerance)
    if not any(figure.runs for figure in found):
        yield unknown(None, "no run like this one measured anything; store runs under load with --store")
        return
    for figure in found:
        subject = f"trend/{slug(figure.figure)}"
        seen = Evidence(f"history.{figure.figure}", {"first": figure.first, "last": figure.last, "runs": figure.runs})
        if not figure.runs:
            yield not_applicable(subject, f"{figure.title}: no stored run measured it")
        elif figure.direction == "unknown" or figure.change is None:
            yield unknown(subject, f"{figure.title}: {figure.reason}", seen)
        elif figure.direction == "worse":
            yield failed(subject, f"{figure.title} got worse by {abs(figure.change):.0%} over {figure.runs} runs", seen)
        else:
            yield passed(subject, f"{figure.title} is {figure.direction} over {figure.runs} runs", seen)
