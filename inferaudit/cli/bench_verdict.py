"""Objectives held against a benchmark section, and the exit code of ``bench``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferaudit.latency import decide, error_rate_bounds, table_percentile, table_percentile_bounds
from inferaudit.slo import Objective, parse_objective

_TABLES = {
    "e2e": ("latency_table_us", "latency_ms"),
    "ttft": ("ttft_table_us", "ttft_ms"),
    "itl": ("itl_table_us", "itl_ms"),
}
_RATES = {"throughput": "request_rate", "goodput": "goodput", "token_throughput": "token_rate"}


def judge(section: Mapping[str, Any], slo: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row an objective: {dimension, target, unit, observed, interval, outcome pass|fail|unknown}.

    An outcome is `unknown` when the interval holds the target, when nothing was measured, or when the client falsifies
    the figure.
    """
    from dataclasses import replace

    stage = next((s for s in section["stages"] if s["name"] == section["judged_stage"]), None)
    rows = []
    for name, target in slo.items():
        objective = replace(parse_objective(name, 1), target=target)
        observed, low, high, decided = _observed(objective, stage)
        outcome = {"pass": "pass", "fail": "fail"}.get(decided, "unknown")
        limited = section["client"].get("limited")
        if limited and objective.metric != "error_rate":
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
    objective: Objective, stage: Mapping[str, Any] | None
) -> tuple[float | None, float | None, float | None, str]:
    """(observed, low, high, decision) in the objective's unit."""
    if stage is None:
        return None, None, None, "unknown"
    sequential = stage["decided"].get(objective.dimension, "")
    if objective.metric in ("error_rate", "availability"):
        return _errors(objective, stage, sequential)
    if objective.metric in _RATES:
        value = stage[_RATES[objective.metric]]
        if value is None:
            return None, None, None, "unknown"
        return value, None, None, "pass" if value >= objective.target else "fail"
    figures = stage.get(f"{_TABLES[objective.metric][1]}" if objective.metric in _TABLES else f"{objective.metric}_ms")
    if figures is None or not figures["count"]:
        return None, None, None, "unknown"
    if objective.percentile is None:
        return figures["mean"], None, None, "pass" if figures["mean"] <= objective.target else "fail"
    key = f"p{objective.percentile:g}"
    if objective.metric not in _TABLES:
        low, high = figures["interval"].get(key) or (None, None)
        observed = figures.get(key)
    else:
        table = stage[_TABLES[objective.metric][0]]
        bounds = table_percentile_bounds(table, objective.percentile)
        value = table_percentile(table, objective.percentile)
        observed, low, high = (None if v is None else v / 1000 for v in (value, *bounds))
        observed = figures.get(key, observed)
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
