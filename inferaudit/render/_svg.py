"""Small line charts as inline SVG: no script, no style of their own, colours and fonts from the page's CSS.

The chart libraries that were looked at (pygal, matplotlib's SVG back end) write their own style sheet and script into
every picture, which a strict content policy forbids and dark mode cannot reach, and they join the two sides of a gap;
here a gap stays a gap. Series differ by dash as well as by colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 30, 46


@dataclass(frozen=True, slots=True)
class Line:
    """A series of (x, y); a None y is a gap."""

    name: str
    points: tuple[tuple[float, float | None], ...]
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A straight line across the chart: at an x (vertical) or at a y (horizontal)."""

    name: str
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis shows; `top` fixes its end (1 for a share)."""

    label: str
    log: bool = False
    top: float | None = None
    percent: bool = False


def line_chart(title: str, summary: str, lines: Sequence[Line], x: Axis, y: Axis, marks: Sequence[Mark] = ()) -> Markup:
    """The chart with its axes, ticks and legend; `summary` says in words what it shows. Empty without any point."""
    points = [(px, py) for line in lines for px, py in line.points if py is not None and _finite(px, py)]
    if not points:
        return Markup("")
    to_x = _Scale.over([p for p, _ in points] + [m.x for m in marks if m.x is not None], x, _LEFT, WIDTH - _RIGHT, 0)
    # Room above the highest point, for the names of marks.
    to_y = _Scale.over(
        [p for _, p in points] + [m.y for m in marks if m.y is not None], y, HEIGHT - _BOTTOM, _TOP, 0.12
    )
    parts = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, HEIGHT, f"{title}. {summary}"
        ),
        *_axes(to_x, to_y, x, y),
        *(part for number, line in enumerate(lines) for part in _line(line, number, to_x, to_y)),
        *(part for number, mark in enumerate(marks) for part in _mark(mark, number, to_x, to_y)),
        Markup("</svg>"),
        _legend(lines) if len(lines) > 1 else Markup(""),
    ]
    return Markup("").join(parts)


def nice_ticks(low: float, high: float, count: int = 6) -> tuple[float, ...]:
    """Round numbers (1, 2, 5 times a power of ten) from `low` to `high`, about `count` of them."""
    if not high > low:
        return (low,)
    raw = (high - low) / max(count - 1, 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(round(i * step, 12) for i in range(first, last + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten from `low` to `high`, with 2 and 5 between where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(decades) <= 4 else (1,)
    ticks = [f * 10.0**d for d in decades for f in factors]
    return tuple(t for t in ticks if low * 0.999999 <= t <= high * 1.000001) or (low, high)


def short_number(value: float) -> str:
    """A tick's text: at most four characters and a factor."""
    for factor, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * (10 if sign == "k" else 1):
            return f"{value / factor:.3g}{sign}"
    return f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class _Scale:
    """Data to picture along one axis."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], axis: Axis, start: float, end: float, room: float) -> _Scale:
        """A scale that holds all `values`; a linear one begins at 0 unless they go below."""
        log = axis.log and min(values) > 0
        low = min(values) if log else min(0.0, *values)
        high = axis.top if axis.top is not None else max(values)
        if not high > low:
            high = low * 10 if log and low else low + 1
        if not log and axis.top is None:
            low, high = low, high + (high - low) * room
        ticks = log_ticks(low, high) if log else nice_ticks(low, high)
        return cls(low, high, start, end, log, ticks)

    def __call__(self, value: float) -> float:
        if self.log:
            share = (math.log(max(value, self.low)) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)


def _finite(*values: float) -> bool:
    return all(math.isfinite(v) for v in values)


def _text(x: float, y: float, text: str, anchor: str = "middle", css: str = "tick") -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}" class="{}">{}</text>').format(x, y, anchor, css, text)


def _axes(to_x: _Scale, to_y: _Scale, x: Axis, y: Axis) -> list[Markup]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for tick in to_y.ticks:
        at = to_y(tick)
        parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, at, right))
        parts.append(_text(_LEFT - 6, at + 4, _tick(tick, y), "end"))
    shown = -1e9
    for tick in to_x.ticks:
        at = to_x(tick)
        parts.append(Markup('<path class="axis" d="M{} {}v4"/>').format(at, bottom))
        if at - shown > 44:
            parts.append(_text(at, bottom + 18, _tick(tick, x)))
            shown = at
    parts.append(Markup('<path class="axis" d="M{} {}V{}H{}"/>').format(_LEFT, _TOP, bottom, right))
    parts.append(_text((_LEFT + right) / 2, HEIGHT - 8, x.label, css="label"))
    parts.append(_text(2, 14, y.label, "start", "label"))
    return parts


def _tick(value: float, axis: Axis) -> str:
    return f"{value * 100:.3g} %" if axis.percent else short_number(value)


def _line(line: Line, number: int, to_x: _Scale, to_y: _Scale) -> list[Markup]:
    runs: list[list[tuple[float, float]]] = [[]]
    for px, py in line.points:
        if py is None or not _finite(px, py):
            runs.append([])
        else:
            runs[-1].append((to_x(px), to_y(py)))
    # A lone point between two gaps is a line of no length, which round caps show as a dot.
    path = "".join(
        "M" + "L".join(f"{at_x:g} {at_y:g}" for at_x, at_y in run) + ("h0" if len(run) == 1 else "")
        for run in runs
        if run
    )
    dots = [
        Markup('<circle class="s{}" cx="{}" cy="{}" r="3.5"/>').format(number % 6, at_x, at_y)
        for run in runs
        for at_x, at_y in run
        if line.dots
    ]
    lone = " lone" if runs and all(len(run) < 2 for run in runs) else ""
    return [Markup('<path class="line s{}{}" d="{}"/>').format(number % 6, lone, path), *dots]


def _mark(mark: Mark, number: int, to_x: _Scale, to_y: _Scale) -> list[Markup]:
    if mark.x is not None:
        at = to_x(mark.x)
        left = at > (WIDTH + _LEFT) / 2
        return [
            Markup('<path class="mark" d="M{} {}V{}"/>').format(at, _TOP, HEIGHT - _BOTTOM),
            _text(
                at - 5 if left else at + 5, _TOP + 12 + 16 * (number % 3), mark.name, "end" if left else "start", "note"
            ),
        ]
    if mark.y is None:
        return []
    at = to_y(mark.y)
    return [
        Markup('<path class="mark" d="M{} {}H{}"/>').format(_LEFT, at, WIDTH - _RIGHT),
        _text(WIDTH - _RIGHT - 2, at - 5 if at > _TOP + 20 else at + 15, mark.name, "end", "note"),
    ]


def _legend(lines: Sequence[Line]) -> Markup:
    keys = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 28 8" aria-hidden="true"><path class="line s{}" d="M0 4H28"/></svg>{}</li>'
        ).format(number % 6, escape(line.name))
        for number, line in enumerate(lines)
    )
    return Markup('<ul class="legend">{}</ul>').format(keys)
