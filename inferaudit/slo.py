"""Service level objectives: how they are written, what they mean, and the template's numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from inferaudit.errors import UsageError
from inferaudit.units import parse_duration_s, parse_rate_per_s, parse_ratio

# The SLA template of the production checklist (availability 43.2 min of error budget in 30 days).
TEMPLATE: Mapping[str, str] = {
    "availability": "99.9%",
    "e2e_p50": "30ms",
    "e2e_p99": "100ms",
    "throughput": "1000/s",
    "error_rate": "0.1%",
    "freshness": "24h",
}

CONSEQUENCES: Mapping[str, str] = {
    "availability": "page on-call",
    "e2e_p50": "investigate, tune batching",
    "e2e": "scale up and alert on-call",
    "ttft": "scale up and alert on-call; look at queue and prefill",
    "itl": "lower the batch or add replicas; look at preemptions",
    "tpot": "lower the batch or add replicas; look at preemptions",
    "throughput": "scale the cluster",
    "token_throughput": "scale the cluster",
    "goodput": "scale the cluster",
    "error_rate": "roll back if a new model, page if infrastructure",
    "freshness": "alert the ML team, check the training pipeline",
}

_LATENCY = re.compile(r"(ttft|itl|tpot|e2e|latency)_(mean|p[0-9]{1,2}(?:\.[0-9]+)?)")
KNOWN = (
    "ttft_p99", "itl_p99", "tpot_p99", "e2e_p50", "e2e_p95", "e2e_p99", "error_rate", "throughput", "token_throughput",
    "goodput", "availability", "freshness",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective. `target` in `unit`: ms for latencies, a fraction for ratios, 1/s for rates, s for freshness.

    `at_most` tells the direction: a latency stays at or below its target, an availability at or above it.
    """

    dimension: str
    metric: str
    target: float
    unit: Literal["ms", "ratio", "1/s", "tokens/s", "s"]
    at_most: bool
    percentile: float | None = None
    mean: bool = False

    @property
    def consequence(self) -> str:
        """What a breach means, by the template."""
        return CONSEQUENCES.get(self.dimension, CONSEQUENCES.get(self.metric, ""))


def parse_objective(name: str, value: str | float) -> Objective:
    """An objective from its policy key and value; :class:`UsageError` says what is accepted."""
    latency = _LATENCY.fullmatch(name)
    if latency:
        metric = "e2e" if latency[1] == "latency" else latency[1]
        statistic = latency[2]
        percentile = None if statistic == "mean" else float(statistic[1:])
        if percentile is not None and not 0 < percentile < 100:
            raise UsageError(f"{name}: a percentile lies between 0 and 100")
        target = parse_duration_s(value) * 1e3
        return Objective(f"{metric}_{statistic}", metric, target, "ms", True, percentile, percentile is None)
    match name:
        case "error_rate":
            return Objective(name, name, parse_ratio(value), "ratio", True)
        case "availability":
            return Objective(name, name, parse_ratio(value), "ratio", False)
        case "throughput" | "goodput":
            return Objective(name, name, parse_rate_per_s(value), "1/s", False)
        case "token_throughput":
            return Objective(name, name, parse_rate_per_s(value), "tokens/s", False)
        case "freshness":
            return Objective(name, name, parse_duration_s(value), "s", True)
    raise UsageError(f"no objective is called {name!r}; known are {', '.join(KNOWN)} and other percentiles")


def parse_objectives(slo: Mapping[str, str | float]) -> tuple[Objective, ...]:
    """All objectives of a policy, in the order given; none may stand there by two names (`latency` is `e2e`)."""
    found = {}
    for name, value in slo.items():
        objective = parse_objective(name, value)
        if objective.dimension in found:
            raise UsageError(f"{name} and {objective.dimension} are one objective: give it once")
        found[objective.dimension] = objective
    return tuple(found.values())


def parse_slo_flag(text: str) -> dict[str, str]:
    """``ttft_p99=500ms,error_rate=0.1%`` as a mapping; ``template`` is the template's."""
    if text.strip() == "template":
        return dict(TEMPLATE)
    slo: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise UsageError(f"--slo {part!r}: write NAME=VALUE, for example ttft_p99=500ms")
        parse_objective(name.strip(), value.strip())
        if name.strip() in slo:
            raise UsageError(f"--slo: {name.strip()} is given twice")
        slo[name.strip()] = value.strip()
    if not slo:
        raise UsageError("--slo is empty; write for example --slo ttft_p99=500ms,error_rate=0.1%")
    return slo
