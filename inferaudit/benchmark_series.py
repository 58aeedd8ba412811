"""Curves of a load test for reports: at most 400 points each, computed from the records. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.latency import NS_PER_MS, percentile, summarise
from inferaudit.records import ABSENT, RecordTable

MAX_POINTS = 400


def series_section(result: LoadResult, records: RecordTable, stage: LoadStage | None) -> dict[str, Any]:
    """`cdf` of the judged stage, `timeline` of the whole run, `gpu` as sampled, and the latency `budget`."""
    return {
        "cdf": _cdf(result, records, stage) if stage else [],
        "timeline": _timeline(result, records),
        "gpu": _sampled(result, "gpu"),
        "budget": _budget(result, records, stage) if stage else [],
    }


def _cdf(result: LoadResult, records: RecordTable, stage: LoadStage) -> list[dict[str, Any]]:
    """Points {share, e2e_ms, ttft_ms}: at each share of requests the latency not exceeded."""
    columns, rows = records.columns, _ok(records, stage)
    base = columns["scheduled_ns"] if stage.concurrency is None else columns["sent_ns"]
    e2e = sorted(columns["end_ns"][i] - base[i] for i in rows)
    ttft = sorted(columns["first_token_ns"][i] - base[i] for i in rows if columns["first_token_ns"][i] != ABSENT)
    if not e2e:
        return []
    # Half of the points lie in the upper tail, where objectives are.
    shares = sorted({*(i / 200 for i in range(1, 200)), *(1 - 0.5 ** (i / 10) for i in range(10, 140)), 1.0})
    shares = [s for s in shares if s * len(e2e) >= 1 and (1 - s) * len(e2e) >= 0.5] + [1.0]
    return [
        {
            "share": share,
            "e2e_ms": _ms(percentile(e2e, round(100 * share, 6))),
            "ttft_ms": _ms(percentile(ttft, round(100 * share, 6))) if result.stream else None,
        }
        for share in dict.fromkeys(shares)
    ][:MAX_POINTS]


def _timeline(result: LoadResult, records: RecordTable) -> list[dict[str, Any]]:
    """Equal slices of the run: rate, errors, latency and requests in flight; s from the start of the run."""
    columns = records.columns
    if not len(records):
        return []
    start, end = min(columns["scheduled_ns"]), max(columns["end_ns"])
    slices = max(1, min(MAX_POINTS, round((end - start) / 250_000_000)))
    width = max(1, -(-(end - start + 1) // slices))
    buckets: list[list[int]] = [[] for _ in range(slices)]
    for i, at in enumerate(columns["end_ns"]):
        buckets[min(slices - 1, (at - start) // width)].append(i)
    open_loop = {
        n
        for n, name in enumerate(records.stages)
        if any(s.name == name and s.concurrency is None for s in result.stages)
    }
    points = []
    for number, rows in enumerate(buckets):
        good = [i for i in rows if not columns["error"][i]]
        values = sorted(
            columns["end_ns"][i] - columns["scheduled_ns" if columns["stage"][i] in open_loop else "sent_ns"][i]
            for i in good
        )
        points.append(
            {
                "t_s": (start - result.started_ns + number * width) / 1e9,
                "rate": len(good) * 1e9 / width,
                "token_rate": sum(max(0, columns["output_tokens"][i]) for i in good) * 1e9 / width,
                "errors": sum(1 for i in rows if columns["error"][i]),
                "p50_ms": _ms(percentile(values, 50)),
                "p99_ms": _ms(percentile(values, 99)),
                "stage": records.stages[columns["stage"][rows[0]]] if rows else None,
            }
        )
    return points


def _sampled(result: LoadResult, name: str) -> list[dict[str, Any]]:
    """What a sampler saw, thinned to the points that fit; each with `t_s` from the start of the run."""
    samples: Sequence[Any] = result.series.get(name) or ()
    step = max(1, -(-len(samples) // MAX_POINTS))
    return [{"t_s": (at - result.started_ns) / 1e9, "value": value} for at, value in samples[::step]]


def _budget(result: LoadResult, records: RecordTable, stage: LoadStage) -> list[dict[str, Any]]:
    """Where the time goes, part by part {part, p50_ms, p99_ms, count}; parts of the same request add up to its E2E."""
    columns, rows = records.columns, _ok(records, stage)

    def between(earlier: str, later: str) -> Iterable[int]:
        return (
            columns[later][i] - columns[earlier][i]
            for i in rows
            if ABSENT not in (columns[later][i], columns[earlier][i])
        )

    parts: list[tuple[str, Iterable[int]]] = [
        ("dns", [] if result.dns_ns is None else [result.dns_ns]),
        ("connect_tls" if result.tls else "connect", (v for v in columns["connect_ns"] if v != ABSENT)),
        ("client", between("scheduled_ns", "sent_ns")),
    ]
    if result.stream:
        parts += [
            ("wait", between("sent_ns", "first_token_ns")),
            ("stream", between("first_token_ns", "last_token_ns")),
            ("end", between("last_token_ns", "end_ns")),
        ]
    else:
        parts += [("wait", between("sent_ns", "first_byte_ns")), ("receive", between("first_byte_ns", "end_ns"))]
    found = []
    for name, values in parts:
        summary = summarise(values).in_ms()
        found.append({"part": name, **{f"{k}_ms": summary[k] for k in ("p50", "p99")}, "count": summary["count"]})
    return found


def _ok(records: RecordTable, stage: LoadStage) -> Sequence[int]:
    return records.answered_rows(stage.name) if stage.name in records.stages else ()


def _ms(ns: int | None) -> float | None:
    return None if ns is None else ns / NS_PER_MS
