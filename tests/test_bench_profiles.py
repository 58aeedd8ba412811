"""Profiles as data, bounds before load, the knee, sequential decisions: pure parts of the run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.bench.decision import Watch, rounded_up
from inferaudit.bench.knee import search
from inferaudit.bench.profiles import PROFILES, check_limits, describe, estimates, measured, profile_stages
from inferaudit.errors import UsageError
from inferaudit.facts.load import LoadStage
from inferaudit.plan import Limits, LoadPlan, StagePlan
from inferaudit.records import COLUMNS, RecordTable
from inferaudit.slo import parse_objectives


def plan(*stages: StagePlan, **changes: Any) -> LoadPlan:
    return LoadPlan("http://127.0.0.1:1", "openai-chat", "m", "test", stages, **changes)


def test_smoke_and_sla_are_what_they_say() -> None:
    assert profile_stages("smoke") == (StagePlan("smoke", concurrency=1, requests=20),)
    warmup, sustained = profile_stages("sla", rate=20.0)
    assert warmup.name == "warmup"
    assert (sustained.name, sustained.rate, sustained.concurrency) == ("sustained", 20.0, None)
    assert (sustained.duration_s, sustained.until_decided) == (120.0, True)
    assert profile_stages("sla")[1].concurrency == 8
    assert profile_stages("sla", duration_s=60)[1].duration_s == 60


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("rate", [None, 12.0])
def test_every_profile_is_within_bounds_and_has_one_stage_to_judge(name: str, rate: float | None) -> None:
    stages = profile_stages(name, rate=rate)
    check_limits(plan(*stages))
    counted = measured(stages)
    assert sum(s.name == "sustained" for s in counted) == 1 or len(counted) == 1
    assert len({s.name for s in stages}) == len(stages)
    assert len(describe(plan(*stages))) == len(stages) + 2


@pytest.mark.parametrize(
    ("stage", "limits", "said"),
    [
        (StagePlan("s", rate=51.0, duration_s=1), Limits(rate=50), "limits.rate"),
        (StagePlan("s", concurrency=9, requests=1), Limits(concurrency=8), "limits.concurrency"),
        (StagePlan("s", rate=10.0, duration_s=100), Limits(tokens=1000), "limits.tokens"),
        (StagePlan("s", concurrency=1, duration_s=601), Limits(duration_s=600), "limits.duration"),
        (StagePlan("s", concurrency=1, duration_s=10), Limits(spend_usd=5), "price"),
        (StagePlan("s", concurrency=1, requests=10), Limits(), None),
        (StagePlan("s", rate=1e9, duration_s=1), Limits(), "ever send"),
        (StagePlan("s", rate=1.0, concurrency=1, requests=1), Limits(), "exclude"),
        (StagePlan("s", requests=1), Limits(), "rate or a concurrency"),
        (StagePlan("s", concurrency=1), Limits(), "duration"),
        (StagePlan("s", rate=1.0, arrival="burst", burst=300, duration_s=3), Limits(rate=2), "limits.rate"),
        (StagePlan("s", rate=1.0, arrival="burst", burst=300, duration_s=3), Limits(tokens=50_000), "limits.tokens"),
        (StagePlan("s", rate=1.5, arrival="burst", duration_s=15), Limits(rate=1.5), None),
        (StagePlan("s", rate=1.0, arrival="burst", burst=-1, duration_s=3), Limits(), "at least one"),
    ],
)
def test_what_passes_a_bound_is_refused_before_load(stage: StagePlan, limits: Limits, said: str | None) -> None:
    if said is None:
        check_limits(plan(stage, limits=limits))
    else:
        with pytest.raises(UsageError, match=said):
            check_limits(plan(stage, limits=limits))


def test_a_trace_is_held_against_the_limits() -> None:
    trace = [i * 2_000_000 for i in range(500)]  # a second at 500/s
    stages = (StagePlan("s", arrival="trace"),)
    check_limits(plan(*stages, limits=Limits(rate=500)), trace)
    with pytest.raises(UsageError, match="500 requests within"):
        check_limits(plan(*stages, limits=Limits(rate=10)), trace)


def test_spending_is_bounded_by_the_price() -> None:
    stage = StagePlan("s", concurrency=1, duration_s=3600)
    check_limits(plan(stage, limits=Limits(spend_usd=5), hourly_usd=4.0))
    with pytest.raises(UsageError, match="spend_usd"):
        check_limits(plan(stage, limits=Limits(spend_usd=5), hourly_usd=6.0))


def test_estimates_say_what_is_known() -> None:
    found = estimates(plan(StagePlan("a", rate=10.0, duration_s=6), StagePlan("b", concurrency=2, duration_s=5)))
    assert (found[0].seconds, found[0].requests, found[0].tokens) == (6, 60, 60 * 192)
    assert (found[1].seconds, found[1].requests, found[1].tokens) == (5, None, None)


@given(st.floats(0.5, 500), st.floats(0.2, 300))
def test_the_knee_is_found_within_a_tenth(capacity: float, start: float) -> None:
    """A service that holds up to `capacity` and not beyond."""

    def probe(rate: float, number: int) -> tuple[LoadStage, RecordTable]:
        late = rate > capacity
        stage = LoadStage(name=f"knee-{number}", measured=True, rate=rate, duration_s=1.0)
        end = 2_000_000_000 if late else 1_000_000
        columns = {name: [0] * 4 for name in COLUMNS} | {"end_ns": [end] * 4}
        return stage, RecordTable((stage.name,), ("",), columns)

    knee = search(probe, parse_objectives({"e2e_p99": "100ms"}), start=start, highest=None, stopped=lambda: False)
    if knee.rate is not None and knee.broken_at is not None and len(knee.probes) < 12:
        assert knee.rate <= capacity < knee.broken_at
        assert knee.broken_at <= 1.1001 * knee.rate
    assert all(p.holds == (p.rate <= capacity) for p in knee.probes)


@given(st.integers(0, 2**62))
def test_live_values_are_never_too_small(value: int) -> None:
    assert value <= rounded_up(value) <= value * 1.001 + 1


def test_a_watch_decides_only_with_enough() -> None:
    watch = Watch(parse_objectives({"e2e_p99": "100ms", "error_rate": "5%", "throughput": "1/s"}))
    watch.add({"requests": {0: 399}, "e2e": {1_000_000: 399}})
    assert watch.look() is False  # the throughput is judged later, and takes 400
    assert watch.looks == 0
    watch.add({"requests": {0: 2000}, "e2e": {1_000_000: 2000}})
    assert watch.look() is True
    assert watch.decided == {"e2e_p99": "pass", "error_rate": "pass"}
    assert watch.look() is False  # nothing new


def test_a_plan_without_objectives_is_never_decided() -> None:
    watch = Watch(())
    watch.add({"requests": {0: 10_000}})
    assert watch.look() is False


def test_stages_are_values() -> None:
    stage = profile_stages("smoke")[0]
    assert replace(stage, concurrency=2) != stage
