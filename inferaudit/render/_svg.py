"""Small line charts as inline SVG, drawn by ziaplot: no script, colours and fonts from the page's CSS.

ziaplot places frame, grid, ticks and lines; what an audit asks of a chart beyond that is said here: round ticks, room
for the names of marks, a gap that stays a gap, series that differ by dash as well as by colour, the summary in words.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET  # written here, never parsed
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ziaplot
from markupsafe import Markup, escape

WIDTH, HEIGHT = 560, 300
_STYLE = """
Graph { color: none; edge_color: var(--muted); edge_width: 1; }
Graph.GridX { color: none; }
Graph.GridY { color: var(--line); stroke: -; stroke_width: 1; }
Graph.TickX { color: var(--muted); font_size: 13; height: 4; margin: 3; stroke_width: 1; pad: 0; }
Graph.TickY { color: var(--muted); font_size: 13; height: 0; margin: 6; stroke_width: 1; pad: 0; }
Text { font_size: 13; }
"""


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
    across = _Scale.over([p for p, _ in points] + [m.x for m in marks if m.x is not None], x, room=0)
    # Room above the highest point, for the names of marks.
    up = _Scale.over([p for _, p in points] + [m.y for m in marks if m.y is not None], y, room=0.12)
    graph = ziaplot.Graph().size(WIDTH, HEIGHT).css(_STYLE)
    graph.xrange(across(across.low), across(across.high)).yrange(up(up.low), up(up.high))
    graph.xticks([across(t) for t in across.ticks], _named(across, x))
    graph.yticks([up(t) for t in up.ticks], [_tick(t, y) for t in up.ticks])
    for part in (
        *(part for number, line in enumerate(lines) for part in _line(line, number, across, up)),
        *(part for number, mark in enumerate(marks) for part in _mark(mark, number, across, up)),
    ):
        graph.add(part)
    legend = _legend(lines) if len(lines) > 1 else Markup("")
    # The axes' names stand in HTML: they wrap on a narrow page, and never lie over a tick.
    named = [Markup('<p class="axis {}">{}</p>').format(side, axis.label) for side, axis in (("y", y), ("x", x))]
    return Markup("").join((named[0], _inline(graph, f"{title}. {summary}"), named[1], legend))


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
    """The range of an axis; called, a value's place on it, which is the value itself or its logarithm."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], axis: Axis, *, room: float) -> _Scale:
        """A scale that holds all `values`; a linear one begins at 0 unless they go below."""
        log = axis.log and min(values) > 0
        low = min(values) if log else min(0.0, *values)
        high = axis.top if axis.top is not None else max(values)
        if not high > low:
            high = low * 10 if log and low else low + 1
        if not log and axis.top is None:
            low, high = low, high + (high - low) * room
        ticks = log_ticks(low, high) if log else nice_ticks(low, high)
        return cls(low, high, log, tuple(t for t in ticks if low <= t <= high))

    def __call__(self, value: float) -> float:
        inside = min(max(value, self.low), self.high)
        return math.log10(inside) if self.log else inside

    def share(self, value: float) -> float:
        """How far along the axis a value lies, 0 to 1."""
        return (self(value) - self(self.low)) / (self(self.high) - self(self.low))


def _finite(*values: float) -> bool:
    return all(math.isfinite(v) for v in values)


def _tick(value: float, axis: Axis) -> str:
    return f"{value * 100:.3g} %" if axis.percent else short_number(value)


def _named(scale: _Scale, axis: Axis) -> list[str]:
    """The ticks' names; those that would touch the one before stay empty."""
    names, shown = [], -1.0
    for tick in scale.ticks:
        fits = scale.share(tick) - shown > 0.09
        names.append(_tick(tick, axis) if fits else "")
        shown = scale.share(tick) if fits else shown
    return names


def _line(line: Line, number: int, across: _Scale, up: _Scale) -> Iterator[ziaplot.PolyLine]:
    runs: list[list[tuple[float, float]]] = [[]]
    for px, py in line.points:
        if py is None or not _finite(px, py):
            runs.append([])
        else:
            runs[-1].append((across(px), up(py)))
    style = f"s{number % 6}"
    for run in runs:
        if len(run) > 1:
            yield _path(run, f"line {style}")
        # A lone point between two gaps is a line of no length, which round caps show as a dot.
        for point in run if line.dots or len(run) == 1 else ():
            yield _path([point, point], f"dot {style}")


def _path(points: Sequence[tuple[float, float]], style: str) -> ziaplot.PolyLine:
    path = ziaplot.PolyLine([x for x, _ in points], [y for _, y in points])
    path.svg.set("class", style)
    return path


def _mark(mark: Mark, number: int, across: _Scale, up: _Scale) -> Iterator[ziaplot.PolyLine | ziaplot.Text]:
    low_x, high_x, low_y, high_y = across(across.low), across(across.high), up(up.low), up(up.high)
    if mark.x is not None:
        at, left = across(mark.x), across.share(mark.x) > 0.5
        yield _path([(at, low_y), (at, high_y)], "mark")
        aside = (high_x - low_x) * (-0.01 if left else 0.01)
        height = high_y - (high_y - low_y) * (0.03 + 0.07 * (number % 3))
        yield _note(at + aside, height, mark.name, "right" if left else "left", "top")
    elif mark.y is not None:
        at, over = up(mark.y), up.share(mark.y) < 0.9
        yield _path([(low_x, at), (high_x, at)], "mark")
        gap = (high_y - low_y) * (0.02 if over else -0.02)
        yield _note(high_x, at + gap, mark.name, "right", "bottom" if over else "top")


def _note(x: float, y: float, text: str, side: str, edge: str) -> ziaplot.Text:
    note = ziaplot.Text(x, y, text, halign=side, valign=edge)
    note.svg.set("class", "note")
    return note


def _inline(graph: ziaplot.Graph, label: str) -> Markup:
    """The picture as part of a page: it scales, has a name, and holds no id that another picture has too."""
    # Both would follow what else is installed (ziafont); the same report must give the same bytes everywhere.
    ziaplot.config.text = "text"
    ziaplot.config.precision = 1
    root = graph.svgxml()
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    # Room for half a tick's name at the right end, and above the highest.
    root.attrib |= {"class": "chart", "role": "img", "aria-label": label, "viewBox": f"0 -8 {WIDTH + 20} {HEIGHT + 8}"}
    for part in list(root):
        if part.tag == "defs" or part.get("width") == "100%":
            root.remove(part)  # clip paths, which ranges that hold every point do not need, and the background
        elif part.tag == "path" and "class" not in part.attrib:
            part.set("fill", "none")
    for part in root.iter():
        ours = ("stroke", "stroke-width") if part.tag == "path" and "class" in part.attrib else ()
        for name in ("clip-path", "font-family", *ours):
            part.attrib.pop(name, None)
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  # escaped by the writer


def _legend(lines: Sequence[Line]) -> Markup:
    keys = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 28 8" aria-hidden="true"><path class="line s{}" d="M0 4H28"/></svg>{}</li>'
        ).format(number % 6, escape(line.name))
        for number, line in enumerate(lines)
    )
    return Markup('<ul class="legend">{}</ul>').format(keys)
