"""The audit as metrics in the text exposition format, for a Pushgateway or node_exporter's textfile folder.

What was not measured has no sample: an absent series alerts with ``absent()``, a zero would not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from inferaudit.escape import prometheus_label
from inferaudit.model import Outcome, Report, Severity, Verdict
from inferaudit.render._document import Document, read, rows, section, standing
from inferaudit.render._options import Options

_Sample = tuple[Mapping[str, str], Any]
_FIGURES = {"latency_ms": "e2e", "ttft_ms": "ttft", "itl_ms": "itl", "tpot_ms": "tpot"}
_QUANTILES = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99", "p99.9": "0.999"}


def render(report: Report, *, options: Options) -> str:
    """Gauges named ``inferaudit_*`` in base units (seconds, ratios, dollars), each with the service as a label."""
    document = read(report)
    service = {"service": str(document.service.get("name") or document.target.get("workload") or "")}
    lines: list[str] = []
    for name, help_text, samples in _families(document):
        known = [(labels, number) for labels, value in samples if (number := _number(value)) is not None]
        if known:
            lines += [f"# HELP inferaudit_{name} {help_text}", f"# TYPE inferaudit_{name} gauge"]
            lines += [f"inferaudit_{name}{_labels({**service, **labels})} {number}" for labels, number in known]
    return "\n".join(lines) + "\n"


def _families(document: Document) -> Iterable[tuple[str, str, list[_Sample]]]:
    target, benchmark = document.target, document.benchmark
    info = {key: str(target.get(key) or "") for key in ("context", "namespace", "workload", "url", "model")}
    yield "info", "What was audited, and what the verdict covers.", [({**info, "scope": ",".join(document.scope)}, 1)]
    yield (
        "verdict",
        "1 for the verdict that was given.",
        [({"verdict": verdict.value}, int(document.verdict is verdict)) for verdict in Verdict],
    )
    yield "collected_timestamp_seconds", "When the facts were collected.", [({}, _timestamp(document.collected_at))]
    yield "duration_seconds", "How long the collection took.", [({}, document.duration_s)]
    yield (
        "findings",
        "Findings by outcome, those explained by another left out.",
        [({"outcome": key}, value) for key, value in document.summary.items()],
    )
    counts = Counter((f.severity, f.outcome) for f in standing(document) if f.gates)
    yield (
        "blocking_findings",
        "Findings that keep the verdict from GO.",
        [
            ({"severity": severity.value, "outcome": outcome.value}, counts[severity, outcome])
            for severity in Severity
            for outcome in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW)
        ],
    )
    yield "checks_examined", "Checks that could tell.", [({}, document.coverage.get("examined"))]
    yield "checks_unknown", "Checks that could not.", [({}, document.coverage.get("unknown"))]
    yield "score_ratio", "The worst layer of the scorecard.", [({}, document.scorecard.get("score"))]
    yield (
        "layer_score_ratio",
        "Each layer of the scorecard.",
        [
            ({"layer": str(name)}, section(layer).get("score"))
            for name, layer in section(document.scorecard.get("layers")).items()
        ],
    )
    yield from _objectives(document)
    yield (
        "latency_seconds",
        "Measured latency of the judged stage.",
        [
            ({"metric": metric, "quantile": quantile}, _scaled(section(benchmark.get(key)).get(name), 1e-3))
            for key, metric in _FIGURES.items()
            for name, quantile in _QUANTILES.items()
        ],
    )
    yield (
        "requests_per_second",
        "Successful requests a second in the judged stage.",
        [({}, benchmark.get("request_rate"))],
    )
    yield "tokens_per_second", "Output tokens a second in the judged stage.", [({}, benchmark.get("token_rate"))]
    yield "goodput_per_second", "Requests a second that met every objective.", [({}, benchmark.get("goodput"))]
    yield "cost_per_million_requests_usd", "Cost of a million requests.", [({}, document.cost.get("per_million_usd"))]
    yield "cost_monthly_usd", "Cost of a month of 730 hours.", [({}, document.cost.get("monthly_usd"))]


def _objectives(document: Document) -> Iterable[tuple[str, str, list[_Sample]]]:
    every = {str(r["dimension"]): r for r in rows(document.sla.get("objectives")) if r.get("dimension")}
    for name, key, text in (
        ("objective_target", "target", "An objective's target."),
        ("objective_observed", "observed", "What was measured of an objective."),
    ):
        yield (
            name,
            f"{text} In seconds, ratios or per second by its unit.",
            [
                (
                    {"objective": dimension, "unit": "s" if row.get("unit") == "ms" else str(row.get("unit") or "")},
                    _scaled(row.get(key), 1e-3 if row.get("unit") == "ms" else 1),
                )
                for dimension, row in every.items()
            ],
        )
    yield (
        "objective_met",
        "1 met, 0 broken; no sample where it is unknown.",
        [
            ({"objective": dimension}, {"pass": 1, "fail": 0}.get(str(row.get("outcome"))))
            for dimension, row in every.items()
        ],
    )


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{prometheus_label(value)}"' for name, value in labels.items()) + "}"


def _number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return repr(float(value)) if math.isfinite(value) else None
    except OverflowError:
        return None


def _scaled(value: Any, factor: float) -> Any:
    return value * factor if isinstance(value, int | float) and not isinstance(value, bool) else None


def _timestamp(text: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
