"""The latency budget as text: each part of a request with who measured it, and what stayed unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inferaudit.escape import line
from inferaudit.render._document import Document, quantity, rows, section

PARTS = {
    "dns": "name lookup",
    "tcp": "TCP connect",
    "tls": "TLS",
    "client": "waiting in the client",
    "network": "network and proxies",
    "queue": "queue",
    "preprocess": "preprocessing and tokenising",
    "prefill": "prefill",
    "decode": "decode",
    "inference": "inference",
    "postprocess": "postprocessing",
    "network_out": "network out",
    "unexplained": "not explained",
}


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A part: the mean it adds to a request, its percentiles, who says so. `share` is of the largest, 0 to 1."""

    name: str
    mean: str
    spread: str
    source: str
    share: float
    known: bool


def budget_rows(document: Document) -> tuple[BudgetRow, ...]:
    """The parts in the order in which a request meets them; empty without a measured budget."""
    found = _budget(document)
    parts = rows(found.get("parts"))[:20]
    rest = {"part": "unexplained", "per_request_ms": found.get("unexplained_ms"), "source": "whole − the parts"}
    told = [*parts, rest] if (_number(found.get("unexplained_ms")) or 0.0) > 0 else parts
    top = max((v for p in told if (v := _number(p.get("per_request_ms"))) is not None), default=0.0)
    return tuple(_row(part, top) for part in told)


def budget_summary(document: Document) -> str:
    """The sum beside the whole, and the largest part with its advice; empty without a measured budget."""
    found = _budget(document)
    if not found:
        return ""
    largest = PARTS.get(str(found.get("largest")), str(found.get("largest")))
    said = (
        f"The parts add up to {quantity(found.get('sum_ms'), 'ms')} of {quantity(found.get('whole_ms'), 'ms')} a mean "
        f"request. The largest is {largest}: {found.get('advice')}."
    )
    reason = found.get("server")
    return line(f"{said} The server's own parts are unknown: {reason}." if reason else said, 600)


def _row(part: Any, top: float) -> BudgetRow:
    name = str(part.get("part"))
    mean, p50, p99 = (_number(part.get(key)) for key in ("per_request_ms", "p50_ms", "p99_ms"))
    spread = ", ".join(f"{p} {quantity(v, 'ms')}" for p, v in (("p50", p50), ("p99", p99)) if v is not None)
    if mean is None:
        why = line(str(part.get("reason") or "not measured"), 200)
        return BudgetRow(PARTS.get(name, line(name, 40)), "unknown", "", why, 0.0, known=False)
    share = min(max(mean / top, 0.0), 1.0) if top > 0 else 0.0
    source = line(str(part.get("source") or ""), 120)
    return BudgetRow(PARTS.get(name, line(name, 40)), quantity(mean, "ms"), spread, source, share, known=True)


def _budget(document: Document) -> Any:
    return section(document.benchmark.get("latency_budget"))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
