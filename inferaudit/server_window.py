"""What a server counted between two looks at its metrics page: histograms and counters by meaning. Pure.

Times come out in seconds, whatever unit the runtime exports. A series that is on the second page alone began at 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from inferaudit.exposition import MOST, MetricFamily, MetricSample, find, samples, total
from inferaudit.facts.load import ServerReading
from inferaudit.runtime_registry import MetricName, Runtime, runtimes

_SECONDS: Mapping[str, float] = {"seconds": 1.0, "milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
_ROUTE_LABELS = ("handler", "endpoint", "path", "route")
_MODEL_LABELS = ("model_name", "model")
_NOT_OURS = re.compile(r"metrics|health|/ready|/live|/ping|none$")
_START = "process_start_time_seconds"
Ours: TypeAlias = Callable[[MetricSample], bool]


def window_readings(
    before: Sequence[MetricFamily],
    after: Sequence[MetricFamily],
    known: Iterable[Runtime],
    *,
    model: str = "",
    route: str = "",
) -> tuple[list[ServerReading], str]:
    """What each concept counted in between, and why nothing can be read ("" where it can).

    Only what concerns `model` and `route` counts where the series are labelled with them.
    """
    started = total(before, _START), total(after, _START)
    if None not in started and started[0] != started[1]:
        return [], "the two pages are of different processes: the server restarted, or several replicas answer in turn"
    readings: list[ServerReading] = []
    taken: set[str] = set()
    for profile in known:
        for concept, names in profile.metrics.items():
            if concept in taken:
                continue
            name = next((n for n in names if find(after, n.name) is not None and n.type != "gauge"), None)
            if name is None:
                continue
            taken.add(concept)
            wire = _wire(name)[0]
            if any(s.value is None for page in (before, after) for s in samples(page, wire)):
                continue  # no number: what was counted cannot be told
            reading = _reading(concept, name, before, after, model, route)
            if reading is None:
                said = f"{name.name} went down between the two pages"
                return [], f"{said}: the server restarted, or another replica answered"
            readings.append(reading)
    return readings, ""


def profile_of_page(families: Sequence[MetricFamily]) -> list[Runtime]:
    """The runtimes whose metric names are on the page: most hits first, then fewest others; generic ones last."""
    matched = []
    for profile in runtimes().values():
        names = {name.name for known in profile.metrics.values() for name in known}
        hits = sum(find(families, name) is not None for name in names)
        if hits:
            matched.append((profile.generic, -hits, len(names), profile.name, profile))
    return [profile for *_, profile in sorted(matched, key=lambda row: row[:4])]


def _reading(
    concept: str,
    name: MetricName,
    before: Sequence[MetricFamily],
    after: Sequence[MetricFamily],
    model: str,
    route: str,
) -> ServerReading | None:
    """The difference of one metric; None where it went down, which no counter does."""
    scale = _SECONDS.get(name.unit, 1.0)
    unit = "seconds" if name.unit in _SECONDS else name.unit
    wire = _wire(name)
    # What is ours is decided on the second page and holds for both: a label's first value may appear in between.
    ours = _ours([s for sample in wire for s in samples(after, sample)], name, model, route)
    if name.type == "counter":
        change = _change(before, after, wire[0], ours)
        if change is None or change < 0:
            return None
        return ServerReading(concept=concept, metric=name.name, type=name.type, unit=unit, total=change * scale)
    count, whole = (_change(before, after, sample, ours) for sample in wire[:2])
    if count is None or count < 0 or (whole is not None and whole < 0):
        return None
    return ServerReading(
        concept=concept,
        metric=name.name,
        type=name.type,
        unit=unit,
        count=count,
        total=None if whole is None else whole * scale,
        buckets=tuple((bound * scale, n) for bound, n in _bucket_changes(before, after, wire[2], ours)),
    )


def _wire(name: MetricName) -> list[str]:
    return [name.name] if name.type == "counter" else [f"{name.name}{end}" for end in ("_count", "_sum", "_bucket")]


def _change(before: Sequence[MetricFamily], after: Sequence[MetricFamily], sample: str, ours: Ours) -> float | None:
    new, old = ([s.value for s in samples(page, sample) if ours(s)] for page in (after, before))
    if not new:
        return 0.0 if sample == sample.removesuffix("_sum") else None
    counted, earlier = ([value for value in page if value is not None] for page in (new, old))
    if len(counted) < len(new) or len(earlier) < len(old):
        return None
    return math.fsum(counted) - math.fsum(earlier)


def _bucket_changes(
    before: Sequence[MetricFamily], after: Sequence[MetricFamily], sample: str, ours: Ours
) -> list[tuple[float, float]]:
    """(finite upper bound, requests at or below it in between), ascending."""
    counts: dict[float, float] = {}
    for sign, page in ((1.0, after), (-1.0, before)):
        for found in filter(ours, samples(page, sample)):
            try:
                bound = float(found.labels.get("le", "inf"))
            except ValueError:
                continue
            if abs(bound) <= MOST and found.value is not None:
                counts[bound] = counts.get(bound, 0.0) + sign * found.value
    return sorted(counts.items())


def _ours(found: Iterable[MetricSample], name: MetricName, model: str, route: str) -> Ours:
    """Which samples count: those that `select` keeps, of our model and our route where a label names them."""
    seen = list(found)
    exact: dict[str, str] = {}
    others: list[str] = []
    for labels, wanted in ((_MODEL_LABELS, model), (_ROUTE_LABELS, route)):
        label = next((label for label in labels if any(label in s.labels for s in seen)), None)
        if label is None:
            continue
        if wanted and any(s.labels.get(label) == wanted for s in seen):
            exact[label] = wanted
        elif label in _ROUTE_LABELS:
            others.append(label)

    def ours(sample: MetricSample) -> bool:
        labels = sample.labels
        return (
            all(_selected(labels.get(label, ""), want) for label, want in name.select.items())
            and all(labels.get(label) == want for label, want in exact.items())
            and not any(_NOT_OURS.search(labels.get(label, "")) for label in others)
        )

    return ours


def _selected(value: str, pattern: str) -> bool:
    if pattern.startswith("!"):
        return re.fullmatch(pattern[1:], value) is None
    return re.fullmatch(pattern, value) is not None


def bucket_percentile(reading: ServerReading, p: float) -> tuple[float, float | None] | None:
    """The two bucket bounds (s) between which the p-th percentile lies; the upper is None beyond the last bucket."""
    if not reading.count or not reading.buckets:
        return None
    wanted = reading.count * p / 100
    low = 0.0
    for bound, below in reading.buckets:
        if below >= wanted - 1e-9:
            return low, bound
        low = bound
    return low, None
