"""Metrics pages: Prometheus text and OpenMetrics into typed families, with the names as they stand on the wire.

The parsing is prometheus_client's; this adds bounds, one error of our own, and the wire names, which that parser loses
for counters without ``_total``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from inferaudit.errors import CollectError

MAX_FAMILIES = 2_000
MAX_SAMPLES = 50_000
MOST = 1e200  # nothing measured is larger; sums and changes of units stay finite
_SUFFIXES = ("_bucket", "_count", "_sum", "_created", "_total", "_info")


class MetricSample(msgspec.Struct, frozen=True):
    """One line of a metrics page. `value` None = NaN, infinite, or beyond ±1e200, which no sum bears."""

    name: str
    labels: dict[str, str]
    value: float | None


class MetricFamily(msgspec.Struct, frozen=True):
    """A metric with its samples. `name` as in its TYPE line (or of its samples); `type` lower case, ``untyped`` too."""

    name: str
    type: str
    help: str
    samples: list[MetricSample]


def parse_exposition(text: str, content_type: str = "") -> list[MetricFamily]:
    """The families of a metrics page; :class:`CollectError` says why a page is none.

    A page beyond :data:`MAX_FAMILIES` or :data:`MAX_SAMPLES` is an error too, never a page that was silently cut.
    """
    declared = {m[1] for m in re.finditer(r"^# TYPE (\S+) ", text, re.MULTILINE)}
    written = {m[1] for m in re.finditer(r"^([\w:]+_total)\b", text, re.MULTILINE)}
    families: list[MetricFamily] = []
    total = 0
    try:
        for parsed in _parser(content_type)(text):
            family = _family(parsed, declared, written)
            total += len(family.samples)
            families.append(family)
            if len(families) > MAX_FAMILIES or total > MAX_SAMPLES:
                raise CollectError(f"the metrics page has more than {MAX_FAMILIES} families or {MAX_SAMPLES} samples")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise CollectError(f"the answer is no Prometheus metrics page: {_short(error)}") from error
    return families


def find(families: Iterable[MetricFamily], name: str) -> MetricFamily | None:
    """The family that carries `name`: its own name, a sample's, or either with or without ``_total``."""
    wanted = {name, name.removesuffix("_total"), f"{name}_total"}
    base = next((name.removesuffix(s) for s in _SUFFIXES if name.endswith(s)), name)
    for family in families:
        if family.name in wanted:
            return family
        if family.name == base and any(sample.name == name for sample in family.samples):
            return family
    return None


def samples(families: Iterable[MetricFamily], name: str) -> Iterator[MetricSample]:
    """Every sample called `name` (or `name` with ``_total``)."""
    for family in families:
        for sample in family.samples:
            if sample.name in (name, f"{name}_total"):
                yield sample


def total(families: Sequence[MetricFamily], name: str, **select: str) -> float | None:
    """The sum over all samples called `name` whose labels match `select` (patterns); None where there is none."""
    found = [
        s.value
        for s in samples(families, name)
        if s.value is not None and all(re.fullmatch(p, s.labels.get(k, "")) for k, p in select.items())
    ]
    return math.fsum(found) if found else None


def buckets(family: MetricFamily) -> list[float]:
    """The finite upper bounds of a histogram, ascending; [] for anything else."""
    bounds = {s.labels["le"] for s in family.samples if s.name.endswith("_bucket") and "le" in s.labels}
    values = []
    for bound in bounds:
        try:
            values.append(float(bound))
        except ValueError:
            continue
    return sorted(v for v in values if abs(v) <= MOST)


def _parser(content_type: str) -> Any:
    if "openmetrics" in content_type:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

        return openmetrics
    from prometheus_client.parser import text_string_to_metric_families as prometheus

    return prometheus


def _family(parsed: Any, declared: set[str], written: set[str]) -> MetricFamily:
    name, kind = str(parsed.name), str(parsed.type)
    # The parser strips _total from a counter's name and adds it to samples that have none; undo what was not there.
    invented = kind == "counter" and name in declared and f"{name}_total" not in declared | written
    wire = name if name in declared or kind != "counter" else f"{name}_total"
    rows = [
        MetricSample(s.name.removesuffix("_total") if invented else s.name, dict(s.labels), _finite(s.value))
        for s in parsed.samples
    ]
    return MetricFamily(wire, "untyped" if kind in ("unknown", "untyped") else kind, str(parsed.documentation), rows)


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if abs(number) <= MOST else None


def _short(error: Exception) -> str:
    text = "".join(c if c.isprintable() else " " for c in str(error))
    return text[:160] or type(error).__name__
