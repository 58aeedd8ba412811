from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, passed, unknown


@check(
    title="The stage of maturity is known",
    severity=Severity.LOW,
    needs=("process.report",),
    remediation="Settle the rows that the finding names, by the checks behind them or by an attestation.",
    references=("https://sre.google/sre-book/evolving-sre-engagement-model/",),
    tags=("never-fails", "layer:change"),
)
def maturity(snapshot: Snapshot) -> Iterator[Judgement]:
    """Each stage stands on the one before: alerts help nobody where no request is answered.

    The report computes the stage from the rows that are settled, and names what the next one still lacks.
    """
    card = snapshot.fact("process.report")["scorecard"]
    upcoming = card["maturity_next"] or {}
    lacks = [row["row"] for row in upcoming.get("lacks") or ()]
    seen = Evidence("scorecard.maturity", card["maturity"], "1 to 4")
    rest = f"; stage {upcoming['stage']} lacks {', '.join(lacks)}" if upcoming else ""
    if card["maturity"] is None:
        yield unknown(None, f"no stage is reached as far as was seen{rest}", seen)
    else:
        yield passed(None, f"stage {card['maturity']}: {card['maturity_title']}{rest}", seen)
