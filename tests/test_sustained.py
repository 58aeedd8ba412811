"""What rate a stage sustained: an imposed load that is served is the rate; a backlog is not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferaudit.sustained import Answer, sustained

MS = 1_000_000


def open_loop(rate: float, seconds: float, capacity: float, latency_ms: float, *, poisson: int | None = None) -> list:
    """A single queue: requests come at `rate`, at most `capacity` a second leave, each takes `latency_ms` besides."""
    draw = random.Random(poisson)
    due, free, answers = 0.0, 0.0, []
    for k in range(1, round(rate * seconds) + 1):
        free = max(free, due) + 1 / capacity
        answers.append(Answer(int(due * 1e9), int(free * 1e9) + int(latency_ms * MS), 1.0))
        due = due + draw.expovariate(rate) if poisson is not None else k / rate
    return answers


@settings(deadline=None, max_examples=20)
@given(
    rate=st.sampled_from([5.0, 20.0, 200.0]),
    seconds=st.sampled_from([30.0, 60.0, 120.0]),
    latency=st.floats(1, 2000),
)
def test_a_served_constant_load_is_sustained_whatever_the_latency(rate: float, seconds: float, latency: float) -> None:
    held = sustained(open_loop(rate, seconds, rate * 10, latency), open_loop=True)
    assert held is not None
    assert held.kept_up
    assert held.rate == pytest.approx(rate, rel=1e-6)
    assert (held.low, held.high) == (held.rate, held.rate)


@settings(deadline=None, max_examples=20)
@given(
    capacity=st.floats(0.3, 0.9),
    seconds=st.sampled_from([30.0, 120.0]),
    poisson=st.one_of(st.none(), st.integers(0, 9)),
)
def test_a_backlog_is_not_sustained(capacity: float, seconds: float, poisson: int | None) -> None:
    held = sustained(open_loop(50, seconds, 50 * capacity, 100, poisson=poisson), open_loop=True)
    assert held is not None
    assert not held.kept_up
    assert held.long_enough
    assert held.rate == pytest.approx(50 * capacity, rel=0.05)


def test_a_random_load_with_room_is_kept_up_with() -> None:
    kept = [sustained(open_loop(20, 60, 60, 1500, poisson=seed), open_loop=True) for seed in range(40)]
    assert sum(held is not None and held.kept_up for held in kept) >= 38


@pytest.mark.parametrize("rate", [3, 7, 30, 70, 90, 333])
def test_a_schedule_in_whole_nanoseconds_is_its_rate(rate: int) -> None:
    answers = [Answer(k * 10**9 // rate, k * 10**9 // rate + 5 * MS, 1.0) for k in range(rate * 60)]
    held = sustained(answers, open_loop=True)
    assert held is not None
    assert held.offered == held.rate == rate


def test_few_answers_and_no_time_are_no_rate() -> None:
    assert sustained([], open_loop=True) is None
    assert sustained([Answer(5, 9, 1.0)] * 3, open_loop=True) is None
    few = sustained(open_loop(5, 5, 50, 10), open_loop=True)
    assert few is not None
    assert (few.low, few.high) == (None, None)
    few = sustained(open_loop(5, 5, 50, 10), open_loop=False)
    assert few is not None
    assert (few.low, few.high) == (None, None)


def test_failures_count_against_the_rate() -> None:
    answers = [Answer(a.due_ns, a.end_ns, float(i % 10 != 0)) for i, a in enumerate(open_loop(20, 60, 200, 50))]
    held = sustained(answers, open_loop=True)
    assert held is not None
    assert held.rate == pytest.approx(18)
    assert held.low is not None
    assert held.high is not None
    assert held.low <= 18 <= held.high


def test_a_closed_loop_has_the_interval_of_batch_means() -> None:
    draw, now, answers = random.Random(1), 0.0, []
    for _ in range(3000):
        took = draw.uniform(0.01, 0.03)
        answers.append(Answer(int(now * 1e9), int((now + took) * 1e9), 1.0))
        now += took
    held = sustained(answers, open_loop=False)
    assert held is not None
    assert held.low is not None
    assert held.high is not None
    assert held.low < 50 < held.high
    assert held.high - held.low < 3
