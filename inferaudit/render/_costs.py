"""The cost as text: figures, list prices, hosted prices and savings; what was not computed says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.escape import line
from inferaudit.render._document import Document, quantity, rows, section

_FIGURES = (
    ("per_million_usd", "per million requests"),
    ("per_request_usd", "per request"),
    ("effective_per_request_usd", "per request at real utilisation"),
    ("per_good_request_usd", "per request that meets every objective"),
    ("per_1000_tokens_usd", "per 1,000 tokens out"),
    ("per_1000_input_tokens_usd", "per 1,000 tokens in"),
    ("monthly_usd", "per month (730 h)"),
)
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A price elsewhere: who asks it, for what, what the same traffic would cost, and how old the figure is."""

    seller: str
    price: str
    per_million: str
    note: str
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class LeverRow:
    """A way to save: by how much and by which arithmetic, or what is missing to tell."""

    title: str
    saving: str
    arithmetic: str
    note: str
    known: bool
    counted: bool


def cost_figures(document: Document) -> tuple[tuple[str, str], ...]:
    """The figures that the report holds, each with its label; empty when no cost was computed."""
    if document.cost.get("per_million_usd") is None:
        return ()
    return tuple((label, quantity(document.cost.get(key), "usd")) for key, label in _FIGURES)


def cost_inputs(document: Document) -> str:
    """What the cost was computed from, in one line."""
    given = section(document.cost.get("inputs"))
    known = [f"{key.replace('_', ' ')} {quantity(value, None)}" for key, value in given.items() if value is not None]
    price = section(document.cost.get("price"))
    if price:
        known.append(f"the price of {price.get('cloud')} as of {price.get('date')}")
    return line(", ".join(known), 600)


def list_prices(document: Document) -> tuple[PriceRow, ...]:
    """What the same GPUs cost elsewhere."""
    return tuple(
        PriceRow(
            line(" ".join(str(p[k]) for k in ("cloud", "region") if p.get(k)), 60),
            f"{quantity(p.get('usd'), 'usd')} a GPU-hour",
            quantity(p.get("per_million_usd"), "usd"),
            line(", ".join(str(p[k]) for k in ("gpu", "kind", "instance") if p.get(k)), 120),
            _date(p),
            str(p.get("source") or ""),
        )
        for p in rows(document.cost.get("list_prices"))[:_SHOWN]
    )


def hosted_prices(document: Document) -> tuple[PriceRow, ...]:
    """What the same traffic costs where others host the model."""
    found = []
    for p in rows(document.cost.get("hosted"))[:_SHOWN]:
        share = p.get("break_even_utilisation")
        note = "not measured"
        if isinstance(share, int | float):
            own = f"own GPUs are cheaper above {quantity(share, 'ratio')} of the measured rate"
            note = own if share <= 1 else f"own GPUs cost {share:.3g} times as much even at the full rate"
        price = f"{quantity(p.get('input_usd'), 'usd')} in, {quantity(p.get('output_usd'), 'usd')} out a million tokens"
        found.append(
            PriceRow(
                line(str(p.get("provider") or "–"), 60),
                price,
                quantity(p.get("per_million_usd"), "usd"),
                note,
                _date(p),
                str(p.get("source") or ""),
            )
        )
    return tuple(found)


def lever_rows(document: Document) -> tuple[LeverRow, ...]:
    """The ways to save, the largest first."""
    found = []
    for lever in rows(section(document.cost.get("savings")).get("levers"))[:_SHOWN]:
        saving, known = lever.get("saving"), isinstance(lever.get("saving"), int | float)
        note = str(lever.get("condition") or "") if known else f"takes {lever.get('missing')}"
        found.append(
            LeverRow(
                line(str(lever.get("title") or lever.get("id") or "–"), 120),
                quantity(saving, "ratio") if known else "not computed",
                line(str(lever.get("arithmetic") or lever.get("formula") or ""), 300),
                line(note, 300),
                known,
                lever.get("counted") is not False,
            )
        )
    return tuple(found)


def together(document: Document) -> str:
    """What all levers save together; empty where none was computed."""
    savings = section(document.cost.get("savings"))
    if not isinstance(savings.get("saving"), int | float):
        return ""
    after = savings.get("monthly_usd")
    left = f": {quantity(after, 'usd')} a month instead of {quantity(document.cost.get('monthly_usd'), 'usd')}"
    assumed = str(savings.get("assumption") or "")
    return line(
        f"Together {quantity(savings['saving'], 'ratio')}, for levers multiply{left if after is not None else ''}. "
        f"Assumed: {assumed}.",
        400,
    )


def cpu_line(document: Document) -> str:
    """How a CPU node compares; empty where none was given."""
    cpu = section(document.cost.get("cpu"))
    if not cpu:
        return ""
    ratio = cpu.get("ratio_to_gpu")
    beside = f", {ratio:.3g} times the GPUs’" if isinstance(ratio, int | float) else ""
    return f"On a CPU node: {quantity(cpu.get('per_million_usd'), 'usd')} per million requests{beside}."


def _date(price: Mapping[str, Any]) -> str:
    if not price.get("date"):
        return "given in the policy"
    age = price.get("age_days")
    return line(f"{price['date']}{f', {age} days old' if isinstance(age, int) and age > 0 else ''}", 60)
