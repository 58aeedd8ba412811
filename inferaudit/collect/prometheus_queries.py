"""The SLA's questions in PromQL, under the metric names that are there. Pure but for the one function that asks.

An answer that mixes several services would be worse than none: where more than one job exports a metric and nothing
says which is meant, the value is None and the reason names them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from inferaudit.collect.http_client import Scrubber
from inferaudit.errors import CollectError
from inferaudit.facts.metrics import SeriesResult
from inferaudit.runtime_registry import MetricName, Runtime, runtimes

DAYS_30, MINUTES_15, MINUTES_5 = 2_592_000.0, 900.0, 300.0
_SECONDS = {"seconds": 1.0, "milliseconds": 1e-3, "microseconds": 1e-6}
_QUANTILES = (
    ("latency_p50", "request_duration", 0.5),
    ("latency_p95", "request_duration", 0.95),
    ("latency_p99", "request_duration", 0.99),
    ("ttft_p99", "ttft", 0.99),
    ("itl_p99", "itl", 0.99),
    ("tpot_p99", "tpot", 0.99),
)
Ask = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `query` "" = it cannot be asked, for `reason`; `metric` selects what its jobs are counted on."""

    name: str
    query: str
    window_s: float
    unit: str
    metric: str = ""
    reason: str = ""


def questions(names: set[str], namespace: str = "") -> list[Question]:
    """The SLA's questions for the metric names that Prometheus has, about `namespace` alone where it is given."""
    return [
        _errors("availability", DAYS_30, names, namespace, good=True),
        _errors("error_rate", MINUTES_15, names, namespace, good=False),
        *(_quantile(name, concept, q, names, namespace) for name, concept, q in _QUANTILES),
        _rate("throughput", "requests", "requests/s", names, namespace),
        _rate("token_throughput", "generated_tokens", "tokens/s", names, namespace),
        _waiting(names, namespace),
    ]


def answer(question: Question, ask: Ask, scrub: Scrubber) -> SeriesResult:
    """What Prometheus answers; None with the reason when it does not."""

    def result(value: float | None, reason: str = "", series: int = 0, covered: float | None = None) -> SeriesResult:
        return SeriesResult(
            name=question.name, query=question.query, window_s=question.window_s, unit=question.unit, value=value,
            reason=reason, series=series, covered_s=covered,
        )  # fmt: skip

    if not question.query:
        return result(None, question.reason)
    try:
        jobs = _vector(ask, f"count by (job) ({question.metric})")
        if len(jobs) > 1:
            listed = ", ".join(sorted(scrub(str(row[0].get("job", "")), 60) for row in jobs)[:5])
            return result(None, f"{len(jobs)} jobs export {question.metric}: {listed}", len(jobs))
        rows = _vector(ask, question.query)
        series = int(sum(value for _, value in jobs))
        if not rows or math.isnan(rows[0][1]):
            return result(None, "there were no requests in the window", series)
        step = min(3600.0, question.window_s / 60)
        points = f"count_over_time((sum({question.metric}))[{int(question.window_s)}s:{int(step)}s])"
        steps = _vector(ask, points)
        covered = min(question.window_s, steps[0][1] * step) if steps else 0.0
        return result(rows[0][1], "", series, covered)
    except CollectError as error:
        return result(None, str(error))


def _vector(ask: Ask, query: str) -> list[tuple[dict[str, str], float]]:
    data = ask("/api/v1/query?" + urlencode({"query": query}))
    if not isinstance(data, dict) or data.get("resultType") != "vector":
        raise CollectError("the query did not answer a vector")
    return [(row["metric"], float(row["value"][1])) for row in data["result"]]


def _errors(name: str, window_s: float, names: set[str], space: str, *, good: bool) -> Question:
    unit, window = "ratio", f"[{int(window_s)}s]"
    for entry in _present(names, "requests", space):
        errors = _first(entry, "errors", names)
        if errors is None:
            continue
        bad = f"(sum(increase({_selector(errors.name, space, errors)}{window})) or vector(0))"
        if errors.select:  # the errors are a part of this very metric, whatever else counts requests
            metric = _selector(errors.name, space)
            all_ = f"sum(increase({metric}{window}))"
        else:
            requests = _first(entry, "requests", names)
            if requests is None:
                continue
            metric = _selector(requests.name, space)
            all_ = f"sum(increase({metric}{window}))"
            if not requests.counts_errors:
                all_ = f"({all_} + {bad})"
        ratio = f"{bad} / ({all_} > 0)"
        return Question(name, f"1 - {ratio}" if good else ratio, window_s, unit, metric)
    return Question(name, "", window_s, unit, reason="no metric that counts requests and errors is known here")


def _quantile(name: str, concept: str, q: float, names: set[str], space: str) -> Question:
    for entry in _present(names, concept, space):
        metric = _first(entry, concept, names)
        if metric is None or metric.type != "histogram" or f"{metric.name}_bucket" not in names:
            continue
        factor = _SECONDS.get(metric.unit, 1.0)
        scale = "" if factor == 1.0 else f" * {factor!r}"
        query = f"histogram_quantile({q}, sum by (le) (rate({_selector(metric.name + '_bucket', space)}[5m]))){scale}"
        return Question(name, query, MINUTES_5, "seconds", _selector(f"{metric.name}_count", space))
    words = concept.replace("_", " ")
    return Question(name, "", MINUTES_5, "seconds", reason=f"no histogram of {words} is known here")


def _rate(name: str, concept: str, unit: str, names: set[str], space: str) -> Question:
    for entry in _present(names, concept, space):
        metric = _first(entry, concept, names)
        if metric is not None and metric.type == "counter":
            query = f"sum(rate({_selector(metric.name, space)}[5m]))"
            return Question(name, query, MINUTES_5, unit, _selector(metric.name, space))
    words = concept.replace("_", " ")
    return Question(name, "", MINUTES_5, unit, reason=f"no metric that counts {words} is known here")


def _waiting(names: set[str], space: str) -> Question:
    for entry in _present(names, "waiting", space):
        metric = _first(entry, "waiting", names)
        if metric is not None and metric.type == "gauge" and metric.unit == "requests":
            query = f"max_over_time((sum({_selector(metric.name, space)}))[15m:])"
            return Question("waiting", query, MINUTES_15, "requests", _selector(metric.name, space))
    return Question("waiting", "", MINUTES_15, "requests", reason="no metric of waiting requests is known here")


def _present(names: set[str], concept: str, namespace: str) -> Iterator[Runtime]:
    """Runtimes one of whose metrics of `concept` is there; named products before generic knowledge.

    Generic names (``http_requests_total``) may be anybody's: they count only within a namespace.
    """
    shared = {m.name for e in runtimes().values() if e.generic for ms in e.metrics.values() for m in ms}
    for entry in sorted(runtimes().values(), key=lambda entry: entry.generic):
        own = [m for ms in entry.metrics.values() for m in ms if m.name not in shared and _there(m, names)]
        if (own or namespace) and _first(entry, concept, names) is not None:
            yield entry


def _first(entry: Runtime, concept: Any, names: set[str]) -> MetricName | None:
    for metric in entry.metrics.get(concept, []):
        if _there(metric, names):
            return metric
    return None


def _there(metric: MetricName, names: set[str]) -> bool:
    return bool({metric.name, f"{metric.name}_bucket", f"{metric.name}_count"} & names)


def _selector(name: str, namespace: str, metric: MetricName | None = None) -> str:
    """A selector that is right for names with colons in front as well."""
    labels = [f'__name__="{name}"', *([f'namespace="{namespace}"'] if namespace else [])]
    for key, value in (metric.select if metric else {}).items():
        labels.append(f'{key}!~"{value[1:]}"' if value.startswith("!") else f'{key}=~"{value}"')
    if name.startswith(":"):
        return "{" + ",".join(labels) + "}"
    return name + ("{" + ",".join(labels[1:]) + "}" if len(labels) > 1 else "")
