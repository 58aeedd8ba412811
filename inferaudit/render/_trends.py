"""How the key figures move from run to run: rows, charts by model, and what each kind of run reached last."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from inferaudit.escape import line
from inferaudit.render._charts import Chart
from inferaudit.render._document import Document, quantity, rows
from inferaudit.render._svg import Axis, Line, line_chart
from inferaudit.units import plain

_STYLES = {"worse": "fail", "better": "pass", "steady": "pass"}
_UNITS = {"share": "ratio", "USD": "usd", "1/s": "1/s", "ms": "ms", "tokens/s": "tokens/s"}
# Figure → the chart's title, its unit in words, and by how much a value is multiplied for it.
_DRAWN = {
    "token_rate": ("Tokens per second", "tokens per second", 1.0),
    "gpu_utilisation": ("GPU utilisation", "share of time busy", 1.0),
    "e2e_p95_ms": ("P95 latency", "milliseconds", 1.0),
    "per_1000_tokens_usd": ("Cost per million tokens out", "USD", 1000.0),
}
KIND_FIGURES = ("tokens/s", "GPU busy", "P95", "a million tokens out")  # in the order of _DRAWN
_SERIES = 6
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class TrendRow:
    """A figure's trend in words; `style` is the pill's."""

    title: str
    direction: str
    style: str
    moved: str


@dataclass(frozen=True, slots=True)
class KindRow:
    """Runs of one model, on the same GPUs, under the same load: how many, and what the last of them reached."""

    model: str
    gpus: str
    load: str
    runs: int
    cells: tuple[str, ...]


def trend_rows(document: Document) -> tuple[TrendRow, ...]:
    """Every figure that some comparable run measured; empty without a history."""
    found = []
    for row in rows(document.trends.get("figures")):
        if not row.get("runs"):
            continue
        direction = str(row.get("direction") or "unknown")
        unit = _UNITS.get(str(row.get("unit")))
        change, p_value = _number(row.get("change")), _number(row.get("p_value"))
        moved = f"{quantity(row.get('first'), unit)} → {quantity(row.get('last'), unit)} over {row.get('runs')} runs"
        if change is not None and p_value is not None:
            moved = f"{moved}, {change:+.0%} (by chance: {p_value:.2g})"
        elif row.get("reason"):
            moved = f"{quantity(row.get('last'), unit)}; {row['reason']}"
        title = line(str(row.get("title") or row.get("figure") or "–"), 80)
        found.append(TrendRow(title, line(direction, 20), _STYLES.get(direction, "unknown"), line(moved, 300)))
    return tuple(found)


def trend_sentence(document: Document) -> str:
    """Of which runs the trends are; empty without a history."""
    if not document.trends:
        return ""
    count, alike = len(rows(document.trends.get("runs"))), document.trends.get("comparable")
    of_them = f"{alike} like this one: same model, GPUs and load" if isinstance(alike, int) else "not compared"
    return f"{count} run{'s' * (count != 1)} of this service, {of_them}."


def kind_rows(document: Document) -> tuple[KindRow, ...]:
    """What each model reached last, the newest kind of run first."""
    kinds = _kinds(document)
    return tuple(
        KindRow(
            line(str(model or "no model named"), 120),
            line(str(gpus or "–"), 120),
            line(str(load or "no load"), 60),
            len(runs),
            tuple(_last(runs, figure) for figure in _DRAWN),
        )
        for (model, gpus, load), runs in list(reversed(kinds.items()))[:20]
    )


def trend_charts(document: Document) -> tuple[Chart, ...]:
    """A chart a figure, a line a kind of run; those that fewer than two runs measured are left out."""
    measured = [(key, runs) for key, runs in reversed(_kinds(document).items()) if _draws(runs)]
    shown = measured[:_SERIES]
    if not shown:
        return ()
    end = max(_day(run) for _, runs in measured for run in runs)
    names = _names([key for key, _ in shown])
    charts = []
    for figure, (title, unit, factor) in _DRAWN.items():
        lines = [
            Line(names[key], tuple((_day(r) - end, _times(r.get(figure), factor)) for r in runs), dots=True)
            for key, runs in shown
            if any(_number(r.get(figure)) is not None for r in runs)
        ]
        if sum(y is not None for each in lines for _, y in each.points) < 2:
            continue
        left = f" {len(measured) - len(shown)} more kinds of run are not drawn." if len(measured) > len(shown) else ""
        summary = f"{_ends(lines)}{left}"
        y = Axis(unit, top=1.0, percent=True) if figure == "gpu_utilisation" else Axis(unit)
        svg = line_chart(title, summary, lines, Axis("days before the newest run"), y)
        charts.append(Chart(f"trend-{figure.replace('_', '-')}", title, summary, svg or Markup("")))
    return tuple(charts)


def _kinds(document: Document) -> dict[tuple[Any, Any, Any], list[Mapping[str, Any]]]:
    """Runs by model, GPUs and load, the kind that ran last at the end."""
    found: dict[tuple[Any, Any, Any], list[Mapping[str, Any]]] = {}
    for run in rows(document.trends.get("runs")):
        key = tuple(str(run[k]) if run.get(k) else None for k in ("model", "gpus", "profile"))
        found[(key[0], key[1], key[2])] = [*found.pop((key[0], key[1], key[2]), []), run]
    return found


def _draws(runs: Sequence[Mapping[str, Any]]) -> bool:
    return any(_number(run.get(figure)) is not None for run in runs for figure in _DRAWN)


def _names(keys: Sequence[tuple[Any, Any, Any]]) -> dict[tuple[Any, Any, Any], str]:
    """The model, and what else tells two lines apart."""
    differs = [len({key[i] for key in keys}) > 1 for i in (1, 2)]
    return {
        key: line(", ".join(str(part or "–") for part, on in zip(key, (True, *differs), strict=True) if on), 120)
        for key in keys
    }


def _ends(lines: Sequence[Line]) -> str:
    said = []
    for each in lines:
        values = [y for _, y in each.points if y is not None]
        said.append(f"{each.name}: {plain(values[0])}" + (f" → {plain(values[-1])}" if len(values) > 1 else ""))
    return line("; ".join(said), 400) + "."


def _last(runs: Sequence[Mapping[str, Any]], figure: str) -> str:
    unit = {"gpu_utilisation": "ratio", "e2e_p95_ms": "ms", "per_1000_tokens_usd": "usd", "token_rate": "tokens/s"}
    value = next((n for run in reversed(runs) if (n := _number(run.get(figure))) is not None), None)
    return quantity(_times(value, _DRAWN[figure][2]), unit[figure])


def _day(run: Mapping[str, Any]) -> float:
    """Days since 1970; a time that cannot be read counts as the first."""
    try:
        at = dt.datetime.fromisoformat(str(run.get("collected_at")))
    except ValueError:
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp() / _DAY_S


def _times(value: Any, factor: float) -> float | None:
    number = _number(value)
    return None if number is None else number * factor


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None
