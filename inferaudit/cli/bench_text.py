"""A benchmark for the terminal: plain lines that fit 80 columns and read as well in a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferaudit.escape import line
from inferaudit.units import amount, plain

_FIGURES = (("E2E", "latency_ms"), ("TTFT", "ttft_ms"), ("ITL", "itl_ms"), ("TPOT", "tpot_ms"))


def terminal(section: Mapping[str, Any], judged: list[dict[str, Any]]) -> str:
    """The text; untrusted parts are escaped."""
    lines: list[str] = []
    if section["judged_stage"] is None:
        lines.append("no stage stands for the whole; each stage by itself:")
    for stage in section["stages"]:
        if stage["measured"]:
            lines += _stage(stage)
    lines += _whole(section)
    for row in judged:
        observed = "not measured" if row["observed"] is None else amount(row["observed"], row["unit"])
        target = amount(row["target"], row["unit"])
        lines.append(f"{row['outcome'].upper():<8} {row['dimension']}: {observed}, target {target}")
    lines += [f"warning: {line(text)}" for text in section["warnings"]]
    return "\n".join(lines) + "\n"


def _stage(stage: Mapping[str, Any]) -> list[str]:
    shape = (
        f"{stage['concurrency']} streams"
        if stage["concurrency"]
        else f"{stage['rate']:g}/s, {stage['arrival']}"
        if stage["rate"]
        else "trace"
    )
    counts = stage["requests"]
    lines = [
        f"{stage['name']} ({shape}): {counts['ok']} ok, {counts['failed']} failed, {counts['cancelled']} cancelled "
        f"in {_number(stage['duration_s'])} s, ended by {stage['stopped_by']}",
        f"  {'ms':<5}{'count':>9}{'mean':>10}{'p50':>10}{'p90':>10}{'p95':>10}{'p99':>10}{'p99.9':>10}{'max':>10}"
        "  p99 in",
    ]
    for name, key in _FIGURES:
        figures = stage[key]
        if figures["count"]:
            cells = "".join(f"{_number(figures[p]):>10}" for p in ("mean", "p50", "p90", "p95", "p99", "p99.9", "max"))
            interval = figures["interval"]["p99"]
            known = "too few samples" if interval is None else f"[{_number(interval[0])}, {_number(interval[1])}]"
            lines.append(f"  {name:<5}{figures['count']:>9}{cells}  {known}")
    good = "" if stage["goodput"] is None else f", goodput {_number(stage['goodput'])}/s"
    lines.append(f"  {_number(stage['request_rate'])} requests/s, {_number(stage['token_rate'])} tokens/s{good}")
    for name, found in stage["errors"].items():
        lines.append(f"  error {name}: {found['count']}, p50 {_number(found['latency_ms']['p50'])} ms")
    client = stage["client"]
    return lines + [f"  THE CLIENT WAS THE LIMIT: {reason}; {client['advice']}" for reason in client["reasons"]]


def _whole(section: Mapping[str, Any]) -> list[str]:
    tokens, client = section["tokens"], section["client"]
    lag = client.get("lag_ms")
    given, made = ("-" if tokens[side] is None else tokens[side] for side in ("input", "output"))
    lines = [
        f"first request {_number(section['first_request_ms'])} ms; clock: {section['clock']}"
        + ("" if lag is None else f", read {_number(lag['p50'])} ms late at the median, {_number(lag['p99'])} at P99"),
        f"tokens: {given} in, {made} out ({tokens['source'] or 'not reported'}); seed {section['seed']}",
    ]
    knee = section["knee"]
    if knee is not None:
        top = "no rate held" if knee["rate"] is None else f"holds at {plain(knee['rate'])}/s"
        broken = "" if knee["broken_at"] is None else f", breaks at {plain(knee['broken_at'])}/s"
        lines.append(f"knee ({knee['criterion']}): {top}{broken}")
    return lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
