"""Key figures of stored runs, and whether they get worse from run to run. Pure.

A handful of runs is too little for a line with an interval, and one bad run is no trend. The test is Mann–Kendall's:
how rarely would figures in random order rise (or fall) as steadily as these? Exact for so few runs; ties count as no
rise. The size is the Theil–Sen slope, the median of all pairwise slopes, which one outlier cannot turn.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from statistics import fmean, median
from typing import Any, Literal

import msgspec

WINDOW = 8  # runs looked back
KEPT = 200  # runs of a service that a report holds at most
FEWEST = 4  # below these no order is rare enough: 1 in 24 at four, 1 in 6 at three
ALPHA = 0.05
TOLERANCE = 0.05

Direction = Literal["worse", "better", "steady", "unknown"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run in one row. A figure is None where it was not measured; times in ms, shares 0 to 1, prices in USD."""

    id: str
    service: str
    collected_at: str
    verdict: str
    model: str | None = None
    gpus: str | None = None
    profile: str | None = None
    tool_version: str | None = None
    snapshot: str | None = None
    failed: int | None = None
    unknown: int | None = None
    passed: int | None = None
    score: float | None = None
    token_rate: float | None = None
    request_rate: float | None = None
    gpu_utilisation: float | None = None
    e2e_p95_ms: float | None = None
    ttft_p95_ms: float | None = None
    error_rate: float | None = None
    per_1000_tokens_usd: float | None = None
    per_request_usd: float | None = None


class FigureTrend(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over the last runs. `change` is the share it moved over the window, `p_value` one-sided."""

    figure: str
    title: str
    unit: str
    direction: Direction
    runs: int
    first: float | None = None
    last: float | None = None
    change: float | None = None
    p_value: float | None = None
    reason: str = ""


# Figure → title, unit, whether more is better. In the order in which they are shown.
FIGURES: Mapping[str, tuple[str, str, bool]] = {
    "token_rate": ("Tokens per second", "tokens/s", True),
    "gpu_utilisation": ("GPU utilisation", "share", True),
    "e2e_p95_ms": ("P95 latency", "ms", False),
    "ttft_p95_ms": ("P95 time to first token", "ms", False),
    "request_rate": ("Requests per second", "1/s", True),
    "error_rate": ("Error rate", "share", False),
    "per_1000_tokens_usd": ("Cost per 1 000 tokens", "USD", False),
    "per_request_usd": ("Cost per request", "USD", False),
}


def service_key(name: str | None, namespace: str | None, workload: str | None, url: str | None) -> str:
    """Under which name the runs of a service are kept: its own, else where it runs, else where it answers."""
    return name or "/".join(filter(None, (namespace, workload))) or url or "unnamed"


def run_of(data: Mapping[str, Any]) -> Run:
    """The row of a report (the JSON document); runs of the same evidence and judgement have the same id."""
    digests, target, summary = (data.get(key) or {} for key in ("digests", "target", "summary"))
    benchmark, cost, service = (data.get(key) or {} for key in ("benchmark", "cost", "service"))
    requests, score = benchmark.get("requests") or {}, (data.get("scorecard") or {}).get("score")
    gpus = [f"{g.get('count')}× {g.get('product')}" for g in target.get("gpus") or () if isinstance(g, Mapping)]
    run = Run(
        id="",
        service=service_key(service.get("name"), target.get("namespace"), target.get("workload"), target.get("url")),
        collected_at=str(data.get("collected_at") or ""),
        verdict=str(data.get("verdict") or ""),
        model=target.get("model") or None,
        gpus=", ".join(gpus) or None,
        profile=benchmark.get("profile"),
        tool_version=data.get("tool_version"),
        snapshot=digests.get("snapshot"),
        failed=summary.get("fail"),
        unknown=summary.get("unknown"),
        passed=summary.get("pass"),
        score=_number(score),
        token_rate=_number(benchmark.get("token_rate")),
        request_rate=_number(benchmark.get("request_rate")),
        gpu_utilisation=_utilisation(benchmark),
        e2e_p95_ms=_number((benchmark.get("latency_ms") or {}).get("p95")),
        ttft_p95_ms=_number((benchmark.get("ttft_ms") or {}).get("p95")),
        error_rate=_share(requests.get("failed"), requests.get("ok")),
        per_1000_tokens_usd=_number(cost.get("per_1000_tokens_usd")),
        per_request_usd=_number(cost.get("per_request_usd")),
    )
    identity = msgspec.json.encode([digests.get("policy"), digests.get("catalog"), run])
    return msgspec.structs.replace(run, id=hashlib.sha256(identity).hexdigest()[:12])


def comparable(runs: Sequence[Run], like: Run | None = None) -> list[Run]:
    """The runs of one service, model, GPUs and load profile, oldest first: other tests are no trend.

    `like` is the run they resemble; without it the newest.
    """
    ordered = sorted(runs, key=lambda run: (run.collected_at, run.id))
    like = like or (ordered[-1] if ordered else None)
    if like is None:
        return []
    same = (like.service, like.model, like.gpus, like.profile)
    return [run for run in ordered if (run.service, run.model, run.gpus, run.profile) == same]


def trends_section(earlier: Sequence[Run] | None, this: Run) -> dict[str, Any] | None:
    """The report's ``trends``: the runs of the service, this one last, and how its figures move over those like it.

    None where no store was asked for.
    """
    if earlier is None:
        return None
    before = sorted((run for run in earlier if run.id != this.id), key=lambda run: (run.collected_at, run.id))
    runs = [*before, this][-KEPT:]
    alike = comparable(runs, this)
    return {
        "window": WINDOW,
        "comparable": len(alike),
        "runs": msgspec.to_builtins(runs),
        "figures": msgspec.to_builtins(trends(alike)),
    }


def trends(runs: Sequence[Run], *, window: int = WINDOW, tolerance: float = TOLERANCE) -> tuple[FigureTrend, ...]:
    """Every figure's trend over the last `window` of `runs`, which are comparable and oldest first."""
    return tuple(
        figure_trend(name, [getattr(run, name) for run in runs[-window:]], tolerance=tolerance) for name in FIGURES
    )


def figure_trend(
    name: str, values: Sequence[float | None], *, alpha: float = ALPHA, tolerance: float = TOLERANCE
) -> FigureTrend:
    """Whether a figure gets worse: rarer than `alpha` by chance, and by more than `tolerance` over the window.

    Runs that did not measure it are left out; fewer than four that did are ``unknown``.
    """
    title, unit, more_is_better = FIGURES[name]
    seen = [value for value in values if value is not None and math.isfinite(value)]
    known = FigureTrend(
        figure=name, title=title, unit=unit, direction="unknown", runs=len(seen),
        first=seen[0] if seen else None, last=seen[-1] if seen else None,
        reason=f"needs {FEWEST} comparable runs that measured it, not {len(seen)}",
    )  # fmt: skip
    if len(seen) < FEWEST:
        return known
    score = sum((b > a) - (b < a) for a, b in combinations(seen, 2))
    moved = theil_sen(seen) * (len(seen) - 1)
    start = median(seen) - moved / 2
    change = moved / abs(start) if start else (math.copysign(1.0, moved) if moved else 0.0)
    p_value = kendall_p(len(seen), abs(score))
    direction: Direction = "steady"
    if p_value <= alpha and abs(change) > tolerance and score * moved > 0:
        direction = "better" if (moved > 0) is more_is_better else "worse"
    return msgspec.structs.replace(known, direction=direction, change=change, p_value=p_value, reason="")


def theil_sen(values: Sequence[float]) -> float:
    """Median of the slopes between all pairs, per step."""
    return median((values[j] - values[i]) / (j - i) for i, j in combinations(range(len(values)), 2))


def kendall_p(count: int, score: int) -> float:
    """P(S ≥ score) of Kendall's S when all orders of `count` values are equally likely; exact."""
    pairs = count * (count - 1) // 2
    most = (pairs - score) // 2  # S = pairs − 2·inversions
    return sum(_inversions(count)[: most + 1]) / math.factorial(count) if most >= 0 else 0.0


@lru_cache(maxsize=64)
def _inversions(count: int) -> tuple[int, ...]:
    """How many orders of `count` values have 0, 1, 2, … inversions (Mahonian numbers)."""
    table = [1]
    for size in range(2, count + 1):
        table = [sum(table[max(0, k - size + 1) : k + 1]) for k in range(len(table) + size - 1)]
    return tuple(table)


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def _share(failed: Any, ok: Any) -> float | None:
    first, second = _number(failed), _number(ok)
    if first is None or second is None or first + second <= 0:
        return None
    return first / (first + second)


def _utilisation(benchmark: Mapping[str, Any]) -> float | None:
    """How busy the GPUs were, as a share: the mean of all samples taken during the judged stage, of all GPUs.

    Of the whole run where the report does not say when that stage was.
    """
    stages = [s for s in benchmark.get("stages") or () if s.get("name") == benchmark.get("judged_stage")]
    start, length = (_number(stages[0].get(key)) if len(stages) == 1 else None for key in ("start_s", "duration_s"))
    found: list[float] = []
    for sample in (benchmark.get("series") or {}).get("gpu") or ():
        at = _number(sample.get("t_s"))
        if None not in (at, start, length) and not start <= at <= start + length:  # type: ignore[operator]
            continue
        for gpu in sample.get("value") or ():
            number = _number(gpu.get("utilization_gpu_percent"))
            if number is not None and 0 <= number <= 100:
                found.append(number)
    return fmean(found) / 100 if found else None
