"""The figures of a benchmark as text: one row a latency, one line a rate; what was not measured says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferaudit.escape import line
from inferaudit.render._document import Document, interval_text, quantity, rows, section

PERCENTILES = ("p50", "p90", "p95", "p99", "p99.9", "max")
_LATENCIES = (("ttft_ms", "TTFT"), ("itl_ms", "ITL"), ("tpot_ms", "TPOT"), ("latency_ms", "E2E"))


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """A latency: how many samples, its percentiles in the order of `PERCENTILES`, and the interval of its P99."""

    name: str
    count: str
    cells: tuple[str, ...]
    interval: str


def latency_rows(document: Document) -> tuple[LatencyRow, ...]:
    """The latencies that were measured; empty without a benchmark."""
    found = []
    for key, name in _LATENCIES:
        figures = section(document.benchmark.get(key))
        if not figures.get("count"):
            continue
        cells = tuple(quantity(figures.get(p), "ms") if figures.get(p) is not None else "–" for p in PERCENTILES)
        interval = interval_text(section(figures.get("interval")).get("p99"), "ms")
        found.append(LatencyRow(name, f"{figures['count']}", cells, interval or "too few samples"))
    return tuple(found)


def rate_lines(document: Document) -> tuple[tuple[str, str], ...]:
    """What the load was, what the service reached, and what went wrong; empty without a benchmark."""
    benchmark = document.benchmark
    if not benchmark:
        return ()
    requests, tokens = section(benchmark.get("requests")), section(benchmark.get("tokens"))
    counts = ", ".join(f"{v} {line(str(k), 40)}" for k, v in requests.items() if v is not None)
    errors = "; ".join(_error(name, found) for name, found in section(benchmark.get("errors")).items())
    stage = f", stage {benchmark['judged_stage']}" if benchmark.get("judged_stage") else ""
    return (
        ("load", line(f"profile {benchmark.get('profile') or '–'}{stage}")),
        ("requests", counts or "not measured"),
        ("errors", line(errors) or ("none" if requests.get("failed") == 0 else "not measured")),
        ("request rate", quantity(benchmark.get("request_rate"), "1/s")),
        ("token rate", quantity(benchmark.get("token_rate"), "tokens/s") + _source(tokens)),
        ("goodput", quantity(benchmark.get("goodput"), "1/s")),
        ("first request", quantity(benchmark.get("first_request_ms"), "ms")),
        ("knee", _knee(section(benchmark.get("knee")))),
        ("clock", line(str(benchmark.get("clock") or "not measured"))),
    )


def client_warning(document: Document) -> str:
    """Why these figures are the client's and not the service's; empty when they are the service's."""
    client = section(document.benchmark.get("client"))
    if not client.get("limited"):
        return ""
    reasons = "; ".join(str(r) for r in client.get("reasons") or () if isinstance(r, str))
    advice = f" To do: {client['advice']}." if client.get("advice") else ""
    return line(f"The client was the limit{f': {reasons}' if reasons else ''}.{advice}", 800)


def formulas(document: Document) -> tuple[tuple[str, str], ...]:
    """How the numbers are computed, by name."""
    found = {**section(document.benchmark.get("formulas")), **section(document.cost.get("formulas"))}
    if document.scorecard.get("formula"):
        found["score"] = document.scorecard["formula"]
    return tuple((line(str(name), 80), line(str(text))) for name, text in list(found.items())[:60])


def _error(name: str, found: Any) -> str:
    figures = section(section(found).get("latency_ms"))
    after = f" after {quantity(figures['p50'], 'ms')}" if figures.get("p50") is not None else ""
    return f"{section(found).get('count')} {name}{after}"


def _source(tokens: Mapping[str, Any]) -> str:
    return {"usage": " (counted by the server)", "events": " (events counted)"}.get(str(tokens.get("source")), "")


def _knee(knee: Mapping[str, Any]) -> str:
    if not knee:
        return "not measured"
    tried = len(rows(knee.get("probes")))
    found = quantity(knee["rate"], "1/s") if knee.get("rate") is not None else "below every rate tried"
    return line(f"{found}, where {knee.get('criterion') or 'it keeps up'} ({tried} rates tried)")
