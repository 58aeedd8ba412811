"""The report's `benchmark`, computed from the facts `load.result` and `load.records` alone. Pure.

Latencies count from the scheduled time in an open loop and from sending in a closed one; failed and cancelled requests
are in no latency. What was not measured is None.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inferaudit.benchmark_client import client_section
from inferaudit.benchmark_series import series_section
from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.latency import (
    NS_PER_MS,
    coarsened,
    goodput,
    is_good,
    mean_in_flight,
    rate_per_s,
    summarise,
    summarise_table,
    tabulate,
)
from inferaudit.latency_budget import budget_section
from inferaudit.records import ABSENT, RecordTable
from inferaudit.slo import parse_objective
from inferaudit.sustained import Answer

CANCELLED = "cancelled"
NOT_MEASURED: dict[str, Any] = summarise(()).in_ms()
MOST_ROWS = 20_000  # of a count table
Points = list[tuple[int, int]]
"""(end, value) in ns, by end."""

FORMULAS: Mapping[str, str] = {
    "latency_ms": "last body byte - scheduled (open loop) or - sent (closed loop); successful requests",
    "ttft_ms": "first token event - scheduled (open loop) or - sent (closed loop)",
    "itl_ms": "every gap between token events; an event of n stated tokens adds its gap once and n-1 zeros",
    "tpot_ms": "(last token event - first token event) / (output tokens - 1)",
    "request_rate": "successful requests / (last end - first scheduled)",
    "token_rate": "output tokens of successful requests / (last end - first scheduled)",
    "goodput": "requests/s meeting every latency objective (ITL: the request's own percentile)",
    "percentile": "nearest rank: the value at rank ceil(p*n/100)",
    "interval": "binomial order statistics, 95 %; null where a side lacks samples",
    "errors": "latency of a failed request: its end - sent",
}


def judged_stage(result: LoadResult) -> LoadStage | None:
    """The stage whose figures stand at the top and decide objectives: `sustained`, or the only measured one."""
    measured = [stage for stage in result.stages if stage.measured]
    for stage in measured:
        if stage.name == "sustained":
            return stage
    return measured[0] if len(measured) == 1 else None


def stage_outcomes(records: RecordTable, stage: LoadStage) -> list[tuple[int, bool]]:
    """(end, failed) of every finished request of a stage, by end; cancelled ones are neither."""
    ends, errors = records.columns["end_ns"], records.columns["error"]
    rows = _rows(records, stage)
    return sorted((ends[i], bool(errors[i])) for i in rows if records.errors[errors[i]] != CANCELLED)


def row_values(result: LoadResult, records: RecordTable, stage: LoadStage, metric: str) -> Points:
    """(end, value) in ns of the successful requests of a stage, by end; `metric` is e2e, ttft or tpot."""
    return sorted(_values(result, records, stage, metric))


def _values(result: LoadResult, records: RecordTable, stage: LoadStage, metric: str) -> Iterator[tuple[int, int]]:
    """As :func:`row_values`, in the records' order and one by one: a long run has hundreds of thousands."""
    columns, ok = records.columns, _answered(records, stage)
    ends = columns["end_ns"]
    base = columns["scheduled_ns"] if stage.concurrency is None else columns["sent_ns"]
    first, last, tokens = columns["first_token_ns"], columns["last_token_ns"], columns["output_tokens"]
    if metric == "e2e":
        return ((ends[i], ends[i] - base[i]) for i in ok)
    streamed = (i for i in (ok if result.stream else ()) if first[i] != ABSENT)
    if metric == "ttft":
        return ((ends[i], first[i] - base[i]) for i in streamed)
    if metric == "tpot":
        return ((ends[i], (last[i] - first[i]) // (tokens[i] - 1)) for i in streamed if tokens[i] > 1)
    raise ValueError(f"no figure of one request is called {metric}")


def answer_gaps(records: RecordTable, stage: LoadStage) -> list[tuple[float, int]]:
    """(their sum in ms, how many) of the gaps between token events of each successful answer that has any, by end."""
    columns = records.columns
    first, last, events = columns["first_token_ns"], columns["last_token_ns"], columns["token_events"]
    rows = [i for i in _answered(records, stage) if first[i] != ABSENT and events[i] > 1]
    return [((last[i] - first[i]) / NS_PER_MS, events[i] - 1) for i in sorted(rows, key=columns["end_ns"].__getitem__)]


def stage_answers(result: LoadResult, records: RecordTable, stage: LoadStage, metric: str) -> list[Answer]:
    """The finished requests of a stage and what each counts: `metric` is throughput, goodput or token_throughput.

    Goodput is by the objectives that the load knew (``result.slo``). A request without a token count counts none.
    """
    columns, errors = records.columns, records.columns["error"]
    limits = _limits(result.slo) if metric == "goodput" else {}

    def weight(i: int) -> float:
        if errors[i]:
            return 0.0
        if metric == "token_throughput":
            return max(columns["output_tokens"][i], 0)
        return float(is_good(_observed(result, records, stage, i), limits))

    rows = [i for i in _rows(records, stage) if records.errors[errors[i]] != CANCELLED]
    return [Answer(columns["scheduled_ns"][i], columns["end_ns"][i], weight(i)) for i in rows]


def benchmark_section(result: LoadResult, records: RecordTable, slo: Mapping[str, float]) -> dict[str, Any]:
    """The whole section; `slo` maps objectives to targets in the unit of `slo.Objective`."""
    stage = judged_stage(result)
    stages = [stage_section(result, records, each, slo) for each in result.stages]
    top = next((s for s, each in zip(stages, result.stages, strict=True) if each is stage), None)
    figures = dict(top) if top else _empty()
    for key in ("name", "rate", "concurrency", "start_s", "duration_s", "arrival", "measured", "stopped_by", "decided",
                "itl_table_us", "latency_table_us", "ttft_table_us", "in_flight", "clock"):  # fmt: skip
        figures.pop(key, None)
    return {
        "profile": result.profile,
        "judged_stage": stage.name if stage else None,
        "seed": result.seed,
        "run_id": result.run_id,
        "stream": result.stream,
        "interrupted": result.interrupted,
        "warnings": list(result.warnings),
        "slo": dict(slo),
        **figures,
        "first_request_ms": result.first_request_ms,
        "knee": _knee(result),
        "clock": result.clock,
        "dataset_repeats": result.dataset_repeats,
        "token_records": result.token_records,
        "stages": stages,
        "series": series_section(result, records, stage),
        "latency_budget": budget_section(result, records, stage),
        "formulas": dict(FORMULAS),
    }


def stage_section(
    result: LoadResult, records: RecordTable, stage: LoadStage, slo: Mapping[str, float]
) -> dict[str, Any]:
    """The figures of one stage, with its count tables (µs) so that two reports can be compared exactly."""
    columns, errors = records.columns, records.columns["error"]
    rows, ok = _rows(records, stage), _answered(records, stage)
    ends, scheduled, sent = columns["end_ns"], columns["scheduled_ns"], columns["sent_ns"]
    start, end = min((scheduled[i] for i in rows), default=0), max((ends[i] for i in rows), default=0)
    cancelled = sum(records.errors[errors[i]] == CANCELLED for i in rows)
    e2e, ttft, tpot = (
        array("q", (value for _, value in _values(result, records, stage, metric)))
        for metric in ("e2e", "ttft", "tpot")
    )
    itl = records.itl_us.get(stage.name, ()) if result.stream else ()
    output = [columns["output_tokens"][i] for i in ok if columns["output_tokens"][i] != ABSENT]
    limits = _limits(slo)
    good = goodput((_observed(result, records, stage, i) for i in ok), limits, start, end) if ok else None
    figures = {
        "name": stage.name,
        "measured": stage.measured,
        "arrival": stage.arrival,
        "rate": stage.rate,
        "concurrency": stage.concurrency,
        "start_s": (start - result.started_ns) / 1e9 if rows else None,
        "duration_s": (end - start) / 1e9 if rows else None,
        "stopped_by": stage.stopped_by,
        "decided": dict(stage.decided),
        "latency_ms": summarise(e2e).in_ms(),
        "ttft_ms": summarise(ttft).in_ms(),
        "itl_ms": summarise_table(itl, 1000).in_ms(),
        "tpot_ms": summarise(tpot).in_ms(),
        "request_rate": rate_per_s(len(ok), start, end) if ok else None,
        "token_rate": rate_per_s(sum(output), start, end) if output else None,
        "goodput": good if ok or not limits else 0.0 if rows else None,
        "requests": {
            "scheduled": len(rows),
            "sent": sum(sent[i] != ABSENT for i in rows),
            "ok": len(ok),
            "failed": len(rows) - len(ok) - cancelled,
            "cancelled": cancelled,
        },
        "tokens": _tokens(columns, ok),
        "errors": _errors(records, rows),
        "in_flight": mean_in_flight(((sent[i], ends[i]) for i in rows if sent[i] != ABSENT), start, end)
        if rows
        else None,
        "latency_table_us": tabulate(e2e, 1000, MOST_ROWS),
        "ttft_table_us": tabulate(ttft, 1000, MOST_ROWS),
        "itl_table_us": coarsened(itl, MOST_ROWS),
    }
    return {**figures, "client": client_section(result, records, stage, rows, figures)}


def _rows(records: RecordTable, stage: LoadStage) -> Sequence[int]:
    return records.stage_rows(stage.name) if stage.name in records.stages else ()


def _answered(records: RecordTable, stage: LoadStage) -> Sequence[int]:
    return records.answered_rows(stage.name) if stage.name in records.stages else ()


def _tokens(columns: Mapping[str, Sequence[int]], ok: Sequence[int]) -> dict[str, Any]:
    given = [columns["input_tokens"][i] for i in ok if columns["input_tokens"][i] != ABSENT]
    made = [columns["output_tokens"][i] for i in ok if columns["output_tokens"][i] != ABSENT]
    cached = [columns["cached_tokens"][i] for i in ok if columns["cached_tokens"][i] != ABSENT]
    stated = [columns["stated"][i] for i in ok]
    return {
        "input": sum(given) if given else None,
        "output": sum(made) if made else None,
        "cached": sum(cached) if cached else None,
        "source": None if not made and not given else "usage" if all(stated) or not made else "events",
    }


def _errors(records: RecordTable, rows: Sequence[int]) -> dict[str, Any]:
    """Each class with its count and its own latencies: how fast a service says no matters too."""
    columns = records.columns
    classes: dict[str, list[int]] = {}
    for i in rows:
        name = records.errors[columns["error"][i]]
        if name and name != CANCELLED:
            sent = columns["sent_ns"][i]
            base = columns["scheduled_ns"][i] if sent == ABSENT else sent
            classes.setdefault(name, []).append(columns["end_ns"][i] - base)
    return {name: {"count": len(v), "latency_ms": summarise(v).in_ms()} for name, v in sorted(classes.items())}


def _limits(slo: Mapping[str, float]) -> dict[str, int]:
    """Latency objectives in ns by the name under which `_observed` gives a request's own figure."""
    limits: dict[str, int] = {}
    for name, target in slo.items():
        objective = parse_objective(name, 1)
        if objective.unit == "ms":
            key = objective.metric
            if key == "itl":
                key = "itl_p50" if objective.percentile is not None and objective.percentile <= 50 else "itl_p99"
            limits[key] = min(limits.get(key, 1 << 62), round(target * NS_PER_MS))
    return limits


def _observed(result: LoadResult, records: RecordTable, stage: LoadStage, i: int) -> dict[str, int | None]:
    columns = records.columns
    base = (columns["scheduled_ns"] if stage.concurrency is None else columns["sent_ns"])[i]
    first, last, tokens = columns["first_token_ns"][i], columns["last_token_ns"][i], columns["output_tokens"][i]
    streamed = result.stream and first != ABSENT
    one = streamed and tokens == 1  # a single token has no gap to be late in
    return {
        "e2e": columns["end_ns"][i] - base,
        "ttft": first - base if streamed else None,
        "tpot": (last - first) // (tokens - 1) if streamed and tokens > 1 else 0 if one else None,
        "itl_p50": 0 if one else _present(columns["itl_p50_ns"][i]),
        "itl_p99": 0 if one else _present(columns["itl_p99_ns"][i]),
    }


def _present(value: int) -> int | None:
    return None if value == ABSENT else value


def _knee(result: LoadResult) -> dict[str, Any] | None:
    if result.knee is None:
        return None
    return {
        "rate": result.knee.rate,
        "broken_at": result.knee.broken_at,
        "criterion": result.knee.criterion,
        "probes": [
            {"rate": p.rate, "holds": p.holds, "achieved": p.achieved, "reason": p.reason} for p in result.knee.probes
        ],
    }


def _empty() -> dict[str, Any]:
    """The keys of a stage when no stage stands for the whole."""
    return {
        **dict.fromkeys(("latency_ms", "ttft_ms", "itl_ms", "tpot_ms"), NOT_MEASURED),
        **dict.fromkeys(("request_rate", "token_rate", "goodput")),
        "requests": dict.fromkeys(("scheduled", "sent", "ok", "failed", "cancelled")),
        "tokens": dict.fromkeys(("input", "output", "cached", "source")),
        "errors": {},
        "client": {"lag_ms": None, "limited": None, "falsifies": [], "advice": None},
    }
