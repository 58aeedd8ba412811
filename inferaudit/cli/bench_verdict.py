"""Objectives held against a benchmark section, and the exit code of ``bench``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from inferaudit.benchmark import judged_stage, row_values
from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.latency import (
    NS_PER_MS,
    decide,
    error_rate_bounds,
    percentile,
    percentile_bounds,
    table_percentile,
    table_percentile_bounds,
)
from inferaudit.records import RecordTable
from inferaudit.sla import judge_in_stage
from inferaudit.slo import Objective, parse_objective

_LATENCIES = ("e2e", "ttft", "itl", "tpot")
_RATES = ("throughput", "goodput", "token_throughput")


def judge(
    section: Mapping[str, Any], slo: Mapping[str, float], result: LoadResult, records: RecordTable
) -> list[dict[str, Any]]:
    """One row an objective: {dimension, target, unit, observed, interval, outcome pass|fail|unknown}.

    An outcome is `unknown` when the interval holds the target, when nothing was measured, or when the client falsifies
    the figure.
    """
    from dataclasses import replace

    stage = next((s for s in section["stages"] if s["name"] == section["judged_stage"]), None)
    ran = judged_stage(result)
    result = msgspec.structs.replace(result, slo=dict(slo))  # what goodput goes by
    rows = []
    for name, target in sorted(slo.items()):  # a records file does not keep their order
        objective = replace(parse_objective(name, 1), target=target)
        observed, low, high, decided = _observed(objective, stage, result, records, ran)
        outcome = {"pass": "pass", "fail": "fail"}.get(decided, "unknown")
        limited = section["client"].get("limited")
        if limited and objective.metric not in ("error_rate", "availability"):
            outcome = "unknown"
        rows.append(
            {
                "dimension": name,
                "target": target,
                "unit": objective.unit,
                "observed": observed,
                "interval": None if low is None or high is None else [low, high],
                "outcome": outcome,
            }
        )
    return rows


def exit_code(section: Mapping[str, Any], judged: list[dict[str, Any]]) -> int:
    """0 met or none given · 1 broken · 3 nothing succeeded, the client was the limit, or an objective is undecided."""
    measured = [stage for stage in section["stages"] if stage["measured"]]
    if not any(stage["requests"]["ok"] for stage in measured) or section["client"].get("limited"):
        return 3
    outcomes = {row["outcome"] for row in judged}
    return 1 if "fail" in outcomes else 3 if "unknown" in outcomes else 0


def _observed(
    objective: Objective,
    stage: Mapping[str, Any] | None,
    result: LoadResult,
    records: RecordTable,
    ran: LoadStage | None,
) -> tuple[float | None, float | None, float | None, str]:
    """(observed, low, high, decision) in the objective's unit."""
    if stage is None or ran is None:
        return None, None, None, "unknown"
    sequential = stage["decided"].get(objective.dimension, "")
    if objective.metric in ("error_rate", "availability"):
        return _errors(objective, stage, sequential)
    if objective.metric in _RATES or objective.mean:
        judged = judge_in_stage(result, records, ran, objective)
        if judged.interval[0] is None and judged.observed is not None and ran.concurrency is not None:
            sign = 1 if objective.at_most else -1  # a few answers, by the figure alone
            met = sign * judged.observed <= sign * objective.target
            return judged.observed, None, None, "pass" if met else "fail"
        return judged.observed, *judged.interval, judged.outcome.value
    percentile_of = objective.percentile
    if percentile_of is None or objective.metric not in _LATENCIES:
        return None, None, None, "unknown"
    if objective.metric == "itl":
        table = stage["itl_table_us"]
        value, bounds = table_percentile(table, percentile_of), table_percentile_bounds(table, percentile_of)
        observed, low, high = (None if v is None else v / 1000 for v in (value, *bounds))
        observed = stage["itl_ms"].get(f"p{percentile_of:g}", observed)
    else:
        values = sorted(value for _, value in row_values(result, records, ran, objective.metric))
        bounds = percentile_bounds(values, percentile_of)
        observed, low, high = (
            None if v is None else v / NS_PER_MS for v in (percentile(values, percentile_of), *bounds)
        )
    return observed, low, high, sequential or decide(objective.target, low, high)


def _errors(
    objective: Objective, stage: Mapping[str, Any], sequential: str
) -> tuple[float | None, float | None, float | None, str]:
    failed, done = stage["requests"]["failed"], stage["requests"]["failed"] + stage["requests"]["ok"]
    bounds = error_rate_bounds(failed, done)
    if bounds is None:
        return None, None, None, "unknown"
    if objective.metric == "availability":
        low, high = 1 - bounds[1], 1 - bounds[0]
        return 1 - failed / done, low, high, sequential or decide(objective.target, low, high, at_most=False)
    return failed / done, *bounds, sequential or decide(objective.target, *bounds)
