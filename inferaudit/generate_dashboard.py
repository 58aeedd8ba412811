"""A Grafana dashboard for a service under its runtime's own metric names. Pure; JSON by the json module.

Panels follow the four golden signals, then tokens and cache, then the GPUs. A panel without a metric is left out, and
the text panel at the top says so: an empty panel reads as "nothing happens".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inferaudit import __version__
from inferaudit.escape import line, markdown, web_link
from inferaudit.generate_slo import error_budget
from inferaudit.generators import (
    DCGM,
    GPU,
    SECONDS,
    Service,
    by,
    error_ratio,
    errors_metric,
    gpu_series,
    identity,
    mean,
    metric,
    quantile,
    rate,
    selector,
)
from inferaudit.rules_file import objective_text
from inferaudit.runtime_registry import MetricConcept, MetricName

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_GRAFANA_UNITS = {"seconds": "s", "milliseconds": "ms", "microseconds": "µs"}
_LATENCIES: tuple[tuple[MetricConcept, str, str], ...] = (
    ("request_duration", "Latency", "e2e"),
    ("ttft", "Time to first token", "ttft"),
    ("itl", "Inter-token latency", "itl"),
    ("tpot", "Time per output token", "tpot"),
    ("queue_time", "Time in the queue", ""),
)
_GAUGES: tuple[tuple[MetricConcept, str], ...] = (("waiting", "waiting"), ("running", "running"))
_TOKENS: tuple[tuple[MetricConcept, str], ...] = (("prompt_tokens", "in"), ("generated_tokens", "out"))
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph. `queries` are (expression, legend); `limit` is the objective, drawn as a line, in the unit shown."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    limit: float | None = None
    description: str = ""


def dashboard(service: Service) -> str:
    """The dashboard as JSON, ready for Grafana's import or its provisioning folder."""
    found = list(_panels(service))
    panels = [p for p in found if isinstance(p, Panel)]
    left_out = [p for p in found if isinstance(p, str)]
    name = line(service.name) or line(service.runtime.title)
    document = {
        # Grafana limits it to 40 characters; the same service gets the same dashboard again.
        "uid": "inferaudit-" + hashlib.sha256(f"{service.runtime.name}/{service.name}".encode()).hexdigest()[:12],
        "title": f"Inference: {name}",
        "description": f"Written by inferaudit {__version__} for {line(service.runtime.title)}.",
        "tags": ["inference", service.runtime.name],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": _links(service),
        "annotations": {"list": []},
        "templating": {"list": [_datasource_variable()]},
        "panels": [_text(service, left_out), *(_graph(n, panel) for n, panel in enumerate(panels))],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _panels(service: Service) -> Iterator[Panel | str]:
    targets = {objective.dimension: objective.target for objective in service.objectives}
    requests = metric(service, "requests", "counter")
    if requests is not None:
        labels = identity(requests)
        yield Panel("Requests", "reqps", ((rate(service, requests, labels, "5m"), _legend(requests)),),
                    targets.get("throughput"))  # fmt: skip
    else:
        yield "requests"
    ratio = error_ratio(service, "5m")
    budget, source = error_budget(service)
    if ratio:
        yield Panel("Error ratio", "percentunit", ((ratio, _legend_of(*_ratio_labels(service))),), budget,
                    f"The line is the error budget, {source}.")  # fmt: skip
        month = f"1 - ({error_ratio(service, '30d')}) / {budget:g}"
        yield Panel("Error budget left (30 days)", "percentunit", ((month, _legend_of(*_ratio_labels(service))),), 0.0)
    else:
        yield "error ratio and error budget"
    for concept, title, objective in _LATENCIES:
        yield _latency(service, concept, title, objective)
    yield _gauges(service)
    yield from _tokens(service)
    cache = metric(service, "kv_cache_usage", "gauge")
    if cache is not None and cache.unit == "ratio":
        expr = f"max {by(identity(cache))} ({selector(service, cache.name, cache.select)})"
        yield Panel("KV cache in use", "percentunit", ((expr, _legend(cache)),), 0.95)
    else:
        yield "KV cache in use"
    yield from _gpus(service)


def _latency(service: Service, concept: MetricConcept, title: str, objective: str) -> Panel | str:
    targets = {o.dimension: o.target for o in service.objectives}
    histogram = metric(service, concept, "histogram")
    if histogram is not None:
        # Grafana draws the line in the unit of the metric.
        limit = targets.get(f"{objective}_p99")
        limit = None if limit is None else limit / 1e3 / SECONDS.get(histogram.unit, 1.0)
        queries = tuple(
            (quantile(service, histogram, q), f"P{q * 100:g} {_legend(histogram)}") for q in (0.5, 0.95, 0.99)
        )
        return Panel(title, _GRAFANA_UNITS.get(histogram.unit, "short"), queries, limit, histogram.note)
    total = metric(service, concept, "counter")
    expr = mean(service, total) if total is not None else ""
    if total is None or not expr:
        return title.lower()
    return Panel(f"{title} (mean)", _GRAFANA_UNITS.get(total.unit, "short"), ((expr, _legend(total)),), None,
                 "The runtime exports no histogram; the tail is not seen here.")  # fmt: skip


def _gauges(service: Service) -> Panel | str:
    found = [
        (word, m)
        for concept, word in _GAUGES
        if (m := metric(service, concept, "gauge")) is not None and m.unit == "requests"
    ]
    if not found:
        return "waiting and running requests"
    queries = tuple(
        (f"sum {by(identity(m))} ({selector(service, m.name, m.select)})", f"{word} {_legend(m)}") for word, m in found
    )
    return Panel("Requests waiting and running", "short", queries)


def _tokens(service: Service) -> Iterator[Panel | str]:
    queries = []
    for concept, word in _TOKENS:
        found = metric(service, concept, "counter", "histogram")
        if found is not None:
            suffix = "_sum" if found.type == "histogram" else ""
            queries.append((rate(service, found, identity(found), "5m", suffix), f"{word} {_legend(found)}"))
    yield Panel("Tokens per second", "short", tuple(queries)) if queries else "tokens per second"
    hits, asked = (metric(service, c, "counter") for c in ("prefix_cache_hits", "prefix_cache_queries"))
    preemptions = metric(service, "preemptions", "counter")
    if hits is not None and asked is not None and hits.unit == asked.unit == "tokens" and not asked.note:
        labels = identity(hits, asked)
        expr = f"{rate(service, hits, labels, '5m')}\n/\n{rate(service, asked, labels, '5m')}"
        yield Panel("Prefix cache hit rate", "percentunit", ((expr, _legend_of(*labels)),))
    if preemptions is not None:
        expr = rate(service, preemptions, identity(preemptions), "5m")
        yield Panel("Preemptions per second", "short", ((expr, _legend(preemptions)),))


def _gpus(service: Service) -> Iterator[Panel | str]:
    if not service.gpus:
        yield "GPUs"
        return
    legend = "{{Hostname}} {{gpu}}"

    def of(what: str) -> str:
        return f"max {by(GPU)} ({gpu_series(service, DCGM[what])})"

    used, free = of("memory_used"), of("memory_free")
    note = "Engines that preallocate are always full here: look at the KV cache."
    yield Panel("GPU utilisation", "percent", ((of("utilization"), legend),))
    yield Panel("GPU memory", "percentunit", ((f"{used} / ({used} + {free})", legend),), None, note)
    yield Panel("GPU temperature", "celsius", ((of("temperature"), legend),))
    yield Panel("GPU power", "watt", ((of("power"), legend),))
    yield Panel("Last XID of each GPU", "short", ((of("xid"), legend),), None, "0 = none.")


def _ratio_labels(service: Service) -> tuple[str, ...]:
    found = errors_metric(service)
    return identity(found) if found is not None else ()


def _legend(name: MetricName) -> str:
    return _legend_of(*identity(name))


def _legend_of(*labels: str) -> str:
    """Grafana writes labels that are absent as nothing."""
    return " ".join(f"{{{{{label}}}}}" for label in labels[1:])


def _graph(number: int, panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
    custom = {"fillOpacity": 5, "thresholdsStyle": {"mode": "line" if panel.limit is not None else "off"}}
    return {
        "id": number + 2,
        "type": "timeseries",
        "title": panel.title,
        "description": line(panel.description),
        "datasource": _DATASOURCE,
        "gridPos": {
            "x": number % _COLUMNS * _WIDTH, "y": 4 + number // _COLUMNS * _HEIGHT, "w": _WIDTH, "h": _HEIGHT,
        },
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": _DATASOURCE, "expr": expr, "legendFormat": legend}
            for n, (expr, legend) in enumerate(panel.queries)
        ],
    }  # fmt: skip


def _text(service: Service, left_out: list[str]) -> dict[str, Any]:
    objectives = "; ".join(objective_text(o) for o in service.objectives) or "none set"
    said = [f"**{markdown(service.name or service.runtime.title)}** on {markdown(service.runtime.title)}."]
    said.append(f"Objectives: {objectives}.")
    if left_out:
        said.append(f"Not exported by this runtime, hence no panel: {', '.join(left_out)}.")
    return {
        "id": 1,
        "type": "text",
        "title": "",
        "gridPos": {"x": 0, "y": 0, "w": 24, "h": 4},
        # A dollar sign would begin a variable.
        "options": {"mode": "markdown", "content": "\n\n".join(said).replace("$", "&#36;")},
    }


def _links(service: Service) -> list[dict[str, Any]]:
    address = web_link(service.runbook)
    return [{"title": "Runbook", "type": "link", "url": address, "targetBlank": True}] if address else []


def _datasource_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}
