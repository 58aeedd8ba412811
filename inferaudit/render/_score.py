"""The scorecard and the maturity as every format says them."""

from __future__ import annotations

from inferaudit.escape import line
from inferaudit.render._document import Document, quantity, rows, section

_MOST = 12


def layer_rows(document: Document) -> list[tuple[str, float | None]]:
    """(layer, its score 0 to 1 or None), in the report's order."""
    out = []
    for name, layer in section(document.scorecard.get("layers")).items():
        score = section(layer).get("score")
        known = min(max(float(score), 0.0), 1.0) if isinstance(score, int | float) else None
        out.append((str(section(layer).get("title") or name), known))
    return out


def score_line(document: Document) -> str:
    """The worst layer and its score in one sentence; empty where there is no scorecard."""
    layers = layer_rows(document)
    if not layers:
        return ""
    if document.scorecard.get("score") is not None:
        return f"{quantity(document.scorecard['score'], 'ratio')}: the score is the worst layer's."
    unknown = " and ".join(line(title, 60) for title, score in layers if score is None) or "a layer"
    return f"Not measured, for nothing is known of {unknown}: the score is the worst layer's."


def maturity_line(document: Document) -> str:
    """The stage in one sentence, and which one comes next; empty where it is not known."""
    stage = document.scorecard.get("maturity")
    if stage is None:
        return ""
    title, next_ = document.scorecard.get("maturity_title"), section(document.scorecard.get("maturity_next"))
    said = f"Maturity {line(str(stage), 20)} of 4{f': {line(str(title), 200)}' if title else ''}."
    if not next_:
        return said
    stage, title = line(str(next_.get("stage")), 20), line(str(next_.get("title") or "–"), 200)
    return f"{said} For stage {stage} ({title}) it lacks:"


def maturity_lacks(document: Document) -> list[tuple[str, str, str]]:
    """(status, row, why) of what the next stage takes and nobody showed yet, and a last one that counts the rest."""
    lacks = rows(section(document.scorecard.get("maturity_next")).get("lacks"))
    shown = [
        (
            str(row.get("status") or "unknown"),
            line(str(row.get("title") or row.get("row") or "–"), 300),
            line(str(row.get("message") or ""), 300),
        )
        for row in lacks[:_MOST]
    ]
    return [*shown, ("unknown", f"and {len(lacks) - _MOST} more", "")] if len(lacks) > _MOST else shown
