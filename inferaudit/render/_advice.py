"""Advice, decisions and governance as text, bounded, for every format that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.escape import line
from inferaudit.render._document import Document, quantity, rows, section, value_text

_UNITS = ("ms", "s", "1/s", "ratio", "usd")
_STATUSES = {"keep": "pass", "change": "review", "answered": "pass"}
PARTS = ("components", "priorities", "risks", "stages")


@dataclass(frozen=True, slots=True)
class AdviceRow:
    """A piece of advice or an answer; `style` is the outcome whose colour it wears."""

    title: str
    status: str
    style: str
    text: str
    basis: tuple[str, ...]
    missing: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the governance: its rows as (name, owner, given, missing, review); None where the policy has none."""

    name: str
    rows: tuple[tuple[str, str, str, str, str], ...] | None


def advice_rows(document: Document) -> tuple[AdviceRow, ...]:
    """Every piece of advice, in the report's order."""
    return tuple(_row(r, r.get("advice"), r.get("title")) for r in document.advice[:40])


def decision_rows(document: Document) -> tuple[AdviceRow, ...]:
    """The four questions with their answers."""
    return tuple(_row(r, r.get("answer") or "no answer", r.get("question")) for r in document.decisions[:20])


def governance_parts(document: Document, shown: int = 50) -> tuple[Part, ...]:
    """Components, priorities, risks and stages as the policy gives them."""
    found = []
    for name in PARTS:
        entries = document.governance.get(name)
        kept = tuple(_entry(e) for e in rows(entries)[:shown]) if isinstance(entries, list | tuple) else None
        found.append(Part(name, kept))
    return tuple(found)


def kpi_line(document: Document) -> str:
    """The KPIs with their targets; empty where the policy names none."""
    given = rows(document.governance.get("kpis"))[:20]
    return line("; ".join(f"{k.get('name')}: {k.get('target') or 'no target'}" for k in given), 600)


def _row(row: Mapping[str, Any], text: Any, title: Any) -> AdviceRow:
    status = str(row.get("status") or "unknown")
    return AdviceRow(
        line(str(title or row.get("id") or "–"), 120),
        line(status, 20),
        _STATUSES.get(status, "unknown"),
        line(str(text or "–"), 600),
        tuple(_figure(f) for f in rows(row.get("basis"))[:20]),
        line(str(row.get("missing") or ""), 300),
    )


def _figure(figure: Mapping[str, Any]) -> str:
    value, unit = figure.get("value"), figure.get("unit")
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = quantity(value, unit if unit in _UNITS else None) + (f" {unit}" if unit and unit not in _UNITS else "")
    else:
        shown = value_text(value)
    return line(f"{figure.get('name')}: {shown} ({figure.get('source')})", 240)


def _entry(entry: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    given = "; ".join(f"{k}: {v}" for k, v in section(entry.get("fields")).items() if k != "owner")
    lacks = ", ".join(str(name) for name in entry.get("missing") or () if isinstance(name, str))
    age = entry.get("review_age_days")
    review = str(entry.get("review") or "–") + (f", {age} days ago" if isinstance(age, int) and age >= 0 else "")
    return (
        line(str(entry.get("name") or "–"), 120),
        line(str(entry.get("owner") or "–"), 120),
        line(given or "–", 600),
        line(lacks or "nothing", 300),
        line(review, 120),
    )
