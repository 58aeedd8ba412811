"""Was the client the bottleneck? From what it measured of itself against what it measured of the service. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.latency import NS_PER_MS, percentile
from inferaudit.records import ABSENT, RecordTable

SMALL_SHARE = 0.2  # of a stream's time spent between its requests
SMALL_TURNAROUND_NS = 200_000  # below this the client's own turn is not worth a word
SMALL_SLIP_NS = 2_000_000
SLIP_SHARE = 0.1  # of the median latency that sending late may cost
ITL_LAG_SHARE = 0.15  # of the tail less the lag, for the lag itself is in the tail that was seen
ITL_LAG_NS = 5_000_000  # a tail that is off by less decides nothing about streaming
ENOUGH = 20  # requests before the client is judged at all
MAX_STEP_NS = 5_000_000


def client_section(
    result: LoadResult, records: RecordTable, stage: LoadStage, rows: Sequence[int], figures: Mapping[str, Any]
) -> dict[str, Any]:
    """`lag_ms`, `slip_ms`, `turnaround_ms`, and `limited` with what it falsifies and what to do."""
    columns, report = records.columns, stage.client
    sent, scheduled, connect = columns["sent_ns"], columns["scheduled_ns"], columns["connect_ns"]
    count, p50, p99 = _spread(sent[i] - scheduled[i] for i in rows if sent[i] != ABSENT)
    # Opening a connection is the service's time as well as ours, so it is taken out of what was late.
    late = (max(sent[i] - scheduled[i] - max(connect[i], 0), 0) for i in rows if sent[i] != ABSENT)
    _, late_p50, late_p99 = _spread(late)
    open_loop = stage.concurrency is None
    reasons: dict[str, str] = {}
    if count >= ENOUGH:
        _judge_sending(reasons, open_loop, late_p50, late_p99, figures["latency_ms"]["p50"], report)
        _judge_reading(reasons, result, report, figures)
    if report.workers_lost:
        reasons["request_rate"] = f"{report.workers_lost} of {report.workers} workers were lost"
    if abs(report.clock_step_ns) > MAX_STEP_NS:
        reasons["latency_ms"] = (
            f"the system clock was set by {report.clock_step_ns / NS_PER_MS:.0f} ms during the stage"
        )
    return {
        "lag_ms": _lag(report),
        "slip_ms": {"p50": _ms(p50), "p99": _ms(p99)} if open_loop else None,
        "turnaround_ms": None if open_loop else {"p50": _ms(p50), "p99": _ms(p99)},
        "blocked_sends": report.blocked_sends,
        "connections_stale": report.connections_stale,
        "connections_opened": report.connections_opened,
        "waited_for_connection": report.waited_for_connection,
        "cpu_share": report.cpu_share,
        "workers": report.workers,
        "limited": bool(reasons),
        "falsifies": sorted(reasons),
        "reasons": [reasons[name] for name in sorted(reasons)],
        "advice": _advice(reasons, report),
        "trusted": _trusted(result, reasons),
    }


def _spread(values: Iterable[int]) -> tuple[int, int | None, int | None]:
    """How many, P50 and P99."""
    ordered = sorted(values)
    return len(ordered), percentile(ordered, 50), percentile(ordered, 99)


def _judge_sending(
    reasons: dict[str, str], open_loop: bool, p50: int | None, p99: int | None, median_ms: float | None, report: Any
) -> None:
    if open_loop and report.waited_for_connection:
        reasons["latency_ms"] = f"up to {report.waited_for_connection} requests waited for a connection of the client"
    if median_ms is None or p50 is None or p99 is None:
        return
    median = median_ms * NS_PER_MS
    if open_loop:
        if p99 > max(SMALL_SLIP_NS, SLIP_SHARE * median) and "latency_ms" not in reasons:
            reasons["latency_ms"] = f"requests were sent late: {p99 / NS_PER_MS:.1f} ms at P99"
    elif p50 > SMALL_TURNAROUND_NS and p50 > SMALL_SHARE * (p50 + median):
        share = p50 / (p50 + median)
        reasons["request_rate"] = f"{share:.0%} of a stream's time went by between its requests, in the client"


def _judge_reading(reasons: dict[str, str], result: LoadResult, report: Any, figures: Mapping[str, Any]) -> None:
    lag, itl = report.lag_p99_ns, figures["itl_ms"]
    if lag is not None and itl["count"] >= 10 * ENOUGH and itl["p99"] is not None:
        if lag > max(ITL_LAG_NS, ITL_LAG_SHARE * (itl["p99"] * NS_PER_MS - lag)):
            reasons["itl_ms"] = f"reads came {lag / NS_PER_MS:.1f} ms late at P99, which merges tokens"
        # The mean gap is what merging leaves as it is. Reads later than that merge the first token with the next, and
        # the one stamp they share is the later one's.
        if lag > ITL_LAG_NS and 0 < itl["mean"] * NS_PER_MS < lag:
            reasons["ttft_ms"] = f"reads came later than tokens follow each other ({itl['mean']:.1f} ms on average)"
    elif result.clock == "user" and (report.cpu_share or 0) > 0.8:
        reasons["latency_ms"] = (
            "there are no kernel stamps here, and the client was busy: its own delay is in every figure"
        )


def _lag(report: Any) -> dict[str, float | None] | None:
    if report.lag_p50_ns is None:
        return None
    return {"p50": _ms(report.lag_p50_ns), "p99": _ms(report.lag_p99_ns), "max": _ms(report.lag_max_ns)}


def _advice(reasons: Mapping[str, str], report: Any) -> str | None:
    if not reasons:
        return None
    if abs(report.clock_step_ns) > MAX_STEP_NS:
        return "run again; keep time synchronisation from stepping the clock"
    if "latency_ms" in reasons and report.waited_for_connection:
        return "raise ulimit -n (or the policy's limits.concurrency), or use more workers (--workers) or more machines"
    return f"use more workers (--workers {2 * report.workers} or auto), a machine with free cores, or more machines"


def _trusted(result: LoadResult, reasons: Mapping[str, str]) -> str:
    """What the lag does and does not falsify."""
    if result.clock == "kernel":
        text = "arrivals are the kernel's stamps: a late read falsifies not E2E; it can merge tokens (ITL, then TTFT)"
    else:
        text = "arrivals are the client's own clock: its delays are part of every latency"
    return text + (", and here it did: see falsifies" if "itl_ms" in reasons else "")


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ns / NS_PER_MS
