"""The built-in load profiles as data, what they will cost in time and tokens, and the bounds nobody may pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from inferaudit.bench.schedule import arrivals, expected_requests
from inferaudit.bench.tokens import parse_distribution
from inferaudit.errors import UsageError
from inferaudit.plan import LoadPlan, StagePlan

PROFILES = ("smoke", "sla", "full", "soak")
UNMEASURED = ("warmup", "cold")  # never part of a figure; the first request of all is the cold one
DEFAULT_CONCURRENCY = 8
MAX_RATE = 100_000.0
MAX_CONCURRENCY = 20_000
MAX_DURATION_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stage will take at most: seconds, requests and tokens; None where it depends on the answers."""

    stage: StagePlan
    seconds: float | None
    requests: int | None
    tokens: int | None


def profile_stages(
    name: str,
    *,
    rate: float | None = None,
    concurrency: int | None = None,
    duration_s: float | None = None,
    requests: int | None = None,
) -> tuple[StagePlan, ...]:
    """The stages of a built-in profile: at `rate` requests/s where given, else at `concurrency` streams (default 8)."""
    streams = DEFAULT_CONCURRENCY if concurrency is None else concurrency
    sustained = StagePlan(
        "sustained",
        rate=rate,
        concurrency=streams if rate is None else None,
        requests=requests,
        duration_s=120.0 if duration_s is None and requests is None else duration_s,
    )
    warmup = StagePlan("warmup", concurrency=min(streams, DEFAULT_CONCURRENCY), requests=20)
    match name:
        case "smoke":
            return (StagePlan("smoke", concurrency=1, requests=20),)
        case "sla":
            return (warmup, replace(sustained, until_decided=True))
        case "soak":
            return (warmup, replace(sustained, requests=None, duration_s=3600.0 if duration_s is None else duration_s))
        case "full":
            top = max(streams, DEFAULT_CONCURRENCY) * 2
            steps = tuple(
                StagePlan(f"step-{1 << power}", concurrency=1 << power, duration_s=8.0)
                for power in range(int(math.log2(top)) + 1)
            )
            return (
                StagePlan("cold", concurrency=1, requests=1),
                warmup,
                *steps,
                replace(sustained, until_decided=True),
                StagePlan("burst", rate=rate, times_knee=None if rate else 0.5, arrival="burst", duration_s=15.0),
                replace(
                    sustained,
                    name="mixed",
                    requests=None,
                    duration_s=20.0,
                    input_tokens="mix:32@9,1024@1",
                    output_tokens="mix:16@9,256@1",
                ),
                StagePlan("repeat", concurrency=streams, duration_s=10.0, repeat_prompts=True),
                replace(sustained, name="soak", requests=None, duration_s=60.0),
                # Last, for a queue that has grown is not gone when the load is.
                StagePlan("knee", duration_s=8.0, search=True),
                StagePlan("overload", times_knee=2.0, duration_s=15.0),
            )
    raise UsageError(f"no load profile is called {name!r}; known are {', '.join(PROFILES)}")


def tokens_per_request(plan: LoadPlan, stage: StagePlan) -> float:
    """How many tokens a request of the stage is meant to have on average, prompt and answer."""
    return (
        parse_distribution(stage.input_tokens or plan.input_tokens).mean
        + parse_distribution(stage.output_tokens or plan.output_tokens, "--output-tokens").mean
    )


def estimates(plan: LoadPlan, trace: Sequence[int] = ()) -> tuple[Estimate, ...]:
    """What each stage takes at most, as far as it can be known before; `trace` as in `schedule.arrivals`."""
    found = []
    for stage in plan.stages:
        requests = stage.requests if stage.concurrency else expected_requests(stage, trace)
        seconds = stage.duration_s
        if seconds is None and stage.arrival == "trace" and trace:
            seconds = max(arrivals(stage, plan.seed, trace), default=0) / 1e9
        elif seconds is None and stage.rate and requests:
            seconds = requests / stage.rate
        if stage.search:
            seconds = None if seconds is None else seconds * 12
        tokens = None if requests is None else round(requests * tokens_per_request(plan, stage))
        found.append(Estimate(stage, seconds, requests, tokens))
    return tuple(found)


def check_limits(plan: LoadPlan, trace: Sequence[int] = ()) -> None:
    """Refuse what passes a bound before anything is sent; :class:`UsageError` names the bound."""
    limits = plan.limits
    if not plan.stages:
        raise UsageError("the load has no stages")
    for limit in (plan.timeout_s, plan.timeout_headers_s, plan.timeout_stall_s):
        if limit is not None and not 0 < limit <= MAX_DURATION_S:
            raise UsageError(f"a timeout lies above 0 and at most at {MAX_DURATION_S / 3600:g}h, not at {limit:g} s")
    for stage in plan.stages:
        _check_stage(stage)
        _at_most(stage.rate, limits.rate, MAX_RATE, stage.name, "requests/s", "rate")
        _at_most(stage.concurrency, limits.concurrency, MAX_CONCURRENCY, stage.name, "streams", "concurrency")
    known = estimates(plan, trace)
    for each in known:
        _check_arrivals(each, limits.rate)
    seconds = sum(e.seconds or 0 for e in known)
    _at_most(seconds, limits.duration_s, MAX_DURATION_S, "all stages", "seconds", "duration")
    tokens = sum(e.tokens or 0 for e in known)
    _at_most(tokens, limits.tokens, math.inf, "all stages", "tokens", "tokens")
    if limits.spend_usd is not None:
        if plan.hourly_usd is None:
            raise UsageError("limits.spend_usd cannot be held without a price: give --hourly or cost.hourly_usd")
        if any(e.seconds is None for e in known) and limits.duration_s is None:
            raise UsageError("limits.spend_usd cannot be held for a stage without a duration: give limits.duration")
        spend = (limits.duration_s or seconds) / 3600 * plan.hourly_usd
        _at_most(spend, limits.spend_usd, math.inf, "all stages", "USD", "spend_usd")


def describe(plan: LoadPlan, trace: Sequence[int] = ()) -> list[str]:
    """The plan in lines, for ``--dry-run`` and before a confirmation."""
    lines = [f"load on {plan.url} ({plan.api}, model {plan.model or 'none'}), profile {plan.profile}, seed {plan.seed}"]
    known = estimates(plan, trace)
    for estimate in known:
        stage = estimate.stage
        shape = _shape(stage)
        time = "until answered" if estimate.seconds is None else f"at most {estimate.seconds:g} s"
        requests = "" if estimate.requests is None else f", {estimate.requests} requests"
        tokens = "" if estimate.tokens is None else f", about {estimate.tokens} tokens"
        lines.append(f"  {stage.name:<10} {shape:<34} {time}{requests}{tokens}")
    total = sum(e.seconds or 0 for e in known)
    bounded = f"at most {total:g} s where bounded by time; " if total else ""
    lines.append(f"  {bounded}requests in flight drain up to {plan.timeout_s:g} s")
    return lines


def measured(stages: Sequence[StagePlan]) -> list[StagePlan]:
    """The stages that count."""
    return [stage for stage in stages if stage.name not in UNMEASURED]


def _shape(stage: StagePlan) -> str:
    if stage.search:
        return "search for the knee"
    if stage.times_knee is not None and stage.rate is None:
        return f"{stage.arrival}, {stage.times_knee:g} x the knee"
    if stage.rate is not None:
        return f"open loop, {stage.arrival}, {stage.rate:g}/s" + (", until decided" if stage.until_decided else "")
    if stage.arrival == "trace" and stage.concurrency is None:
        return "open loop, trace"
    return f"closed loop, {stage.concurrency} streams" + (", until decided" if stage.until_decided else "")


def _check_stage(stage: StagePlan) -> None:
    if stage.rate is not None and stage.concurrency is not None:
        raise UsageError(f"stage {stage.name}: a rate (open loop) and a concurrency (closed loop) exclude each other")
    open_ended = stage.rate is None and stage.concurrency is None and stage.arrival != "trace"
    if open_ended and stage.times_knee is None and not stage.search:
        raise UsageError(f"stage {stage.name}: needs a rate or a concurrency")
    if stage.burst < 0:
        raise UsageError(f"stage {stage.name}: a burst has at least one request")
    if stage.requests is None and stage.duration_s is None and stage.arrival != "trace":
        raise UsageError(f"stage {stage.name}: needs a number of requests or a duration")
    for value, what in ((stage.rate, "rate"), (stage.concurrency, "concurrency"), (stage.requests, "requests"),
                        (stage.duration_s, "duration")):  # fmt: skip
        if value is not None and not value > 0:
            raise UsageError(f"stage {stage.name}: {what} must be above 0")


def _check_arrivals(estimate: Estimate, limit: float | None) -> None:
    """A trace, or a burst larger than a second's worth, may bring more than the stage's rate tells."""
    stage, requests = estimate.stage, estimate.requests
    if limit is None or requests is None or stage.arrival not in ("burst", "trace") or stage.concurrency is not None:
        return
    seconds = estimate.seconds or 0.0
    if requests > limit * seconds + max(limit, 1):
        raise UsageError(
            f"{stage.name}: {requests} requests within {seconds:g} s are more than limits.rate allows ({limit:g}/s); "
            "nothing was sent"
        )


def _at_most(value: float | None, limit: float | None, built_in: float, where: str, unit: str, name: str) -> None:
    if value is None:
        return
    if limit is not None and value > limit:
        raise UsageError(f"{where}: {value:g} {unit} is more than limits.{name} allows ({limit:g}); nothing was sent")
    if value > built_in:
        raise UsageError(f"{where}: {value:g} {unit} is more than inferaudit will ever send ({built_in:g})")
