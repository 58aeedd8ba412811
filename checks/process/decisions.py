from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, passed, unknown


@check(
    title="The four questions of a launch are answered",
    severity=Severity.LOW,
    needs=("process.report",),
    remediation="Measure what answers the question (--load sla, --hourly), or write the answer where the finding says.",
    references=("https://sre.google/sre-book/reliable-product-launches/",),
    tags=("never-fails", "layer:change"),
)
def decisions(snapshot: Snapshot) -> Iterator[Judgement]:
    """Which part brings most value, where it spikes and idles, what predicts success, what a change costs: who cannot
    answer decides by taste.

    The answers are the report's appendix: from what was measured, else from the policy.
    """
    rows = snapshot.fact("process.report")["decisions"]
    open_ones = [row for row in rows if row["status"] != "answered"]
    seen = Evidence("decisions", {row["id"]: row["source"] for row in rows}, "an answer to each")
    if open_ones:
        first = open_ones[0]
        text = f"{len(open_ones)} of {len(rows)} are open: {first['question']} It takes {first['missing']}"
        yield unknown(None, text, seen)
    else:
        yield passed(None, f"all {len(rows)} are answered", seen)
