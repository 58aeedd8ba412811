from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, passed, unknown


@check(
    title="The scorecard has all four layers",
    severity=Severity.LOW,
    needs=("process.report",),
    remediation="Let the audit see what the layer that the finding names is made of: load (--load), cost (--hourly).",
    references=("https://research.google/pubs/the-ml-test-score-a-rubric-for-ml-production-readiness/",),
    tags=("never-fails", "layer:change"),
)
def scorecard(snapshot: Snapshot) -> Iterator[Judgement]:
    """Reliability is what an audit sees first. A service can be reliable, dear, and of no use to anybody.

    The four scores are the report's own, by the weakest of which the service is judged; a layer of which nothing was
    seen has none, and no mean hides it.
    """
    card = snapshot.fact("process.report")["scorecard"]
    scores = {layer["title"]: layer["score"] for layer in card["layers"].values()}
    missing = sorted(title for title, score in scores.items() if score is None)
    seen = Evidence("scorecard.layers", scores, "a score in each of the four")
    if missing:
        yield unknown(None, f"nothing was seen of {' and '.join(missing)}", seen)
    else:
        worst = min(sorted(scores), key=lambda title: scores[title])
        yield passed(None, f"judged by {worst}, {scores[worst]:.2f} of 1", seen)
