"""The charts of a benchmark, each drawn only where its series exists, each with what it shows in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from inferaudit.escape import line as one_line
from inferaudit.load_stages import MIXED, REPEAT
from inferaudit.render._document import Document, quantity, rows, section
from inferaudit.render._svg import Axis, Line, Mark, line_chart
from inferaudit.units import plain

METRICS = {"ttft_ms": "TTFT", "latency_ms": "E2E", "itl_ms": "ITL"}
PARTS = {
    "dns": "name lookup",
    "connect": "connect",
    "connect_tls": "connect and TLS",
    "client": "waiting in the client",
    "wait": "until the first token or byte",
    "stream": "streaming tokens",
    "receive": "receiving the answer",
    "end": "closing the answer",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, or the reason why there is none."""

    id: str
    title: str
    summary: str
    svg: Markup

    @property
    def measured(self) -> bool:
        """False where there was nothing to draw."""
        return bool(self.svg)


def charts(document: Document) -> tuple[Chart, ...]:
    """All charts in reading order; those without data say "not measured"."""
    series = section(document.benchmark.get("series"))
    return (
        _cdf(document, rows(series.get("cdf"))),
        _timeline(document, rows(series.get("timeline"))),
        _throughput(document),
        _gpu(rows(series.get("gpu"))),
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the latency budget, in ms; None where it was not measured. `share` is the median's of the largest."""

    name: str
    p50: float | None
    p99: float | None
    share: float


def budget(document: Document) -> tuple[Part, ...]:
    """Where the time of a request goes, in the order in which a request meets the parts."""
    parts = rows(section(document.benchmark.get("series")).get("budget"))[:40]
    largest = max((v for p in parts if (v := _number(p.get("p50_ms"))) is not None), default=0.0)
    return tuple(
        Part(
            PARTS.get(str(p.get("part")), one_line(str(p.get("part") or "–"))),
            (median := _number(p.get("p50_ms"))),
            _number(p.get("p99_ms")),
            min(max(median / largest, 0.0), 1.0) if median is not None and largest > 0 else 0.0,
        )
        for p in parts
    )


def _cdf(document: Document, points: Sequence[Mapping[str, Any]]) -> Chart:
    title = "How long requests took"
    lines = []
    for metric, name in (("ttft", "first token"), ("e2e", "whole answer")):
        pairs = tuple(
            (ms, _number(p.get("share"))) for p in points if (ms := _number(p.get(f"{metric}_ms"))) is not None
        )
        if pairs:
            lines.append((metric, Line(name, pairs)))
    marks = []
    for row in rows(document.sla.get("objectives")):
        metric, target = str(row.get("dimension") or "").partition("_")[0], _number(row.get("target"))
        if row.get("unit") == "ms" and target and metric in dict(lines):
            marks.append(Mark(one_line(f"{row['dimension']} ≤ {quantity(target, 'ms')}", 60), x=target))
    said = "; ".join(filter(None, (_tail(document, key, name) for key, name in METRICS.items())))
    summary = f"Share of requests answered within a time. {said}." if said else ""
    svg = line_chart(title, summary, [line for _, line in lines], Axis("milliseconds (logarithmic)", log=True),
                     Axis("share of requests", top=1.0, percent=True), marks[:4])  # fmt: skip
    return Chart("cdf", title, summary, svg)


def _tail(document: Document, key: str, name: str) -> str:
    figures = section(document.benchmark.get(key))
    if figures.get("p99") is None:
        return ""
    return f"{name} p50 {quantity(figures.get('p50'), 'ms')}, p99 {quantity(figures['p99'], 'ms')}"


def _timeline(document: Document, points: Sequence[Mapping[str, Any]]) -> Chart:
    title = "Latency over time"
    lines = [
        Line(name, _pairs(points, "t_s", key))
        for name, key in (("p99", "p99_ms"), ("p50", "p50_ms"))
        if any(_number(p.get(key)) is not None for p in points)
    ]
    stages = list(dict.fromkeys(str(p["stage"]) for p in points if p.get("stage")))
    starts = {s: next((_number(p.get("t_s")) for p in points if str(p.get("stage")) == s), None) for s in stages[:6]}
    marks = [Mark(one_line(s), x=at) for s, at in starts.items() if at]
    errors = sum(n for p in points if (n := _number(p.get("errors"))))
    summary = (
        f"Percentiles by moment of the run; stages: {', '.join(map(one_line, stages)) or 'one'}; {errors:g} errors."
    )
    svg = line_chart(title, summary, lines, Axis("seconds since the start"), Axis("milliseconds"), marks)
    return Chart("timeline", title, summary, svg)


def _throughput(document: Document) -> Chart:
    title = "Throughput as load rises"
    knee = section(document.benchmark.get("knee"))
    steps = _steps(rows(document.benchmark.get("stages")), rows(knee.get("probes")))
    if steps is None:
        return Chart("throughput", title, "", Markup(""))
    label, by_rate, points = steps
    marks = []
    if (rate := _number(knee.get("rate"))) is not None:
        name = f"knee: {plain(rate, 3)}/s"
        marks.append(Mark(name, x=rate) if by_rate else Mark(name, y=rate))
    summary = f"Requests answered per second at {len(points)} loads; most: {plain(max(y for _, y in points), 3)}/s. "
    if knee:
        found = f"at {plain(rate, 3)}/s" if rate is not None else "not found"
        summary += f"Knee {found}: the highest rate at which {one_line(str(knee.get('criterion') or 'it keeps up'))}."
    else:
        summary += "The knee was not searched for."
    svg = line_chart(title, summary, [Line("answered", tuple(points), dots=True)],
                     Axis(label), Axis("requests per second"), marks)  # fmt: skip
    return Chart("throughput", title, summary, svg)


def _steps(
    stages: Sequence[Mapping[str, Any]], probes: Sequence[Mapping[str, Any]]
) -> tuple[str, bool, list[tuple[float, float]]] | None:
    """Label, whether x is a rate, and points of the load that was varied; None where only one load was tried.

    Stages of other prompts than the rest lie on no line with them, and what was not measured on none.
    """
    stages = [row for row in stages if row.get("measured") and row.get("name") not in (MIXED, REPEAT)]
    for label, rows_, key, reached in (
        ("concurrent requests", stages, "concurrency", "request_rate"),
        ("requests offered per second", stages, "rate", "request_rate"),
        ("requests offered per second", probes, "rate", "achieved"),
    ):
        points = sorted(
            (x, y) for r in rows_ if (x := _number(r.get(key))) and (y := _number(r.get(reached))) is not None
        )
        if len({x for x, _ in points}) > 1:
            return label, key == "rate", points
    return None


_SHARES = ("busy", "memory in use", "power of its limit")


def _gpu(samples: Sequence[Mapping[str, Any]]) -> Chart:
    title = "GPUs during the load"
    series: dict[tuple[str, str], list[tuple[float, float | None]]] = {}
    throttled: dict[str, list[str]] = {}
    for sample in samples:
        at = _number(sample.get("t_s"))
        value = sample.get("value", sample)
        readings = rows(value) or ((value,) if isinstance(value, Mapping) else ())
        for number, reading in enumerate(readings if at is not None else ()):
            gpu = one_line(str(reading.get("gpu") or reading.get("uuid") or f"GPU {number}"), 40)
            for name, y in zip(_SHARES, _gpu_shares(reading), strict=True):
                series.setdefault((gpu, name), []).append((at or 0.0, y))
            for why in reading.get("throttled") or ():
                throttled.setdefault(one_line(str(why), 40), []).append(gpu)
    seen = {key: pairs for key, pairs in series.items() if any(y is not None for _, y in pairs)}
    count = len({gpu for gpu, _ in seen})
    lines = [Line(f"{name}, {gpu}", tuple(pairs)) for (gpu, name), pairs in seen.items()]
    if count > 2:  # more lines than an eye can follow: the extremes tell which GPUs to look at
        lines = [line for name in _SHARES for line in _extremes(name, [v for (_, n), v in seen.items() if n == name])]
    shown = f"Share of time busy, of memory in use and of the power limit, by moment of the run, {count} GPU"
    summary = f"{shown}{'s' * (count != 1)}. {_held_down(throttled, samples)}" if lines else ""
    svg = line_chart(title, summary, lines, Axis("seconds since the start"), Axis("share", top=1.0, percent=True))
    return Chart("gpu", title, summary, svg)


def _gpu_shares(reading: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Busy, memory in use, power of its limit, each 0 to 1."""
    busy, used, total, power, limit = (
        _number(reading.get(k))
        for k in ("utilization_gpu_percent", "memory_used_bytes", "memory_total_bytes", "power_w", "power_limit_w")
    )
    return (
        None if busy is None else busy / 100,
        used / total if used is not None and total else None,
        power / limit if power is not None and limit else None,
    )


def _extremes(name: str, curves: Sequence[Sequence[tuple[float, float | None]]]) -> list[Line]:
    """The lowest and the highest GPU of each moment."""
    by_time: dict[float, list[float]] = {}
    for curve in curves:
        for at, y in curve:
            if y is not None:
                by_time.setdefault(at, []).append(y)
    if not by_time:
        return []
    low = tuple((at, min(values)) for at, values in sorted(by_time.items()))
    high = tuple((at, max(values)) for at, values in sorted(by_time.items()))
    return [Line(f"{name}, least GPU", low), Line(f"{name}, most GPU", high)]


def _held_down(throttled: Mapping[str, Sequence[str]], samples: Sequence[Mapping[str, Any]]) -> str:
    """What held the clocks down, in words; that nothing did is only said where the driver told it."""
    if throttled:
        said = (f"{why} on {', '.join(sorted(set(gpus)))} ({len(gpus)} readings)" for why, gpus in throttled.items())
        return f"Clocks were held down by {'; '.join(said)}."
    told = any(r.get("throttled") is not None for s in samples for r in rows(s.get("value")))
    return "Nothing held the clocks down." if told else "Whether the clocks were held down was not told."


def _pairs(points: Iterable[Mapping[str, Any]], x: str, y: str) -> tuple[tuple[float, float | None], ...]:
    return tuple((at, _number(p.get(y))) for p in points if (at := _number(p.get(x))) is not None)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
