"""Schedules, lengths and prompts: pure functions of stage and seed."""

from __future__ import annotations

import random
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.bench.schedule import arrivals, expected_requests, numbers, parse_trace, share, split
from inferaudit.bench.tokens import parse_distribution, prompt
from inferaudit.errors import UsageError
from inferaudit.plan import StagePlan

RATES = st.floats(0.5, 5000)
SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(["constant", "poisson", "burst"])


@given(RATES, SEEDS, KINDS, st.integers(1, 200))
def test_the_same_stage_and_seed_give_the_same_times(rate: float, seed: int, kind: str, number: int) -> None:
    stage = StagePlan("s", rate=rate, arrival=kind, requests=number)  # type: ignore[arg-type]
    times = list(arrivals(stage, seed))
    assert times == list(arrivals(stage, seed))
    assert len(times) == number
    assert all(a <= b for a, b in pairwise(times))
    assert times[0] >= 0


@given(RATES, SEEDS, KINDS, st.integers(1, 7))
def test_workers_share_the_schedule_exactly(rate: float, seed: int, kind: str, workers: int) -> None:
    stage = StagePlan("s", rate=rate, arrival=kind, requests=50)  # type: ignore[arg-type]
    parts = [list(share(arrivals(stage, seed), worker, workers)) for worker in range(workers)]
    assert sorted(pair for part in parts for pair in part) == list(enumerate(arrivals(stage, seed)))


@given(st.integers(0, 100_000), st.integers(1, 64))
def test_streams_are_split_without_rest(total: int, workers: int) -> None:
    parts = [split(total, worker, workers) for worker in range(workers)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


@given(st.floats(1, 1000), SEEDS)
def test_nothing_is_due_after_the_duration(rate: float, seed: int) -> None:
    stage = StagePlan("s", rate=rate, duration_s=0.5)
    assert all(time < 500_000_000 for time in arrivals(stage, seed))


def test_poisson_has_its_rate_and_its_spread() -> None:
    times = list(arrivals(StagePlan("s", rate=100.0, requests=20_000), 1))
    gaps = [b - a for a, b in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    assert mean == pytest.approx(1e7, rel=0.03)
    assert (sum((g - mean) ** 2 for g in gaps) / len(gaps)) ** 0.5 == pytest.approx(mean, rel=0.05)


def test_constant_and_bursts_are_exact() -> None:
    assert list(arrivals(StagePlan("s", rate=4.0, arrival="constant", requests=3), 0)) == [0, 250_000_000, 500_000_000]
    burst = StagePlan("s", rate=4.0, arrival="burst", burst=2, requests=5)
    assert list(arrivals(burst, 0)) == [0, 0, 500_000_000, 500_000_000, 1_000_000_000]


def test_a_trace_is_replayed_or_stretched() -> None:
    trace = parse_trace("t,size\n10.5,3\n10.0,1\n12.0,9\n", "trace.csv")
    assert trace == (0, 500_000_000, 2_000_000_000)
    stage = StagePlan("s", arrival="trace")
    assert list(arrivals(stage, 0, trace)) == list(trace)
    assert list(arrivals(StagePlan("s", rate=3.0, arrival="trace"), 0, trace)) == [0, 250_000_000, 1_000_000_000]
    with pytest.raises(UsageError, match=r"trace\.csv:2"):
        parse_trace("1\nx\n", "trace.csv")
    with pytest.raises(UsageError, match="--trace"):
        list(arrivals(stage, 0))
    assert parse_trace("\ufeff0\r\n1\r\n", "bom.csv") == (0, 1_000_000_000)
    for time in ("nan", "inf", "-1e300"):
        with pytest.raises(UsageError, match=r"trace\.csv:2: .* is not a time"):
            parse_trace(f"1\n{time}\n", "trace.csv")


@given(st.none() | st.integers(0, 300), st.integers(1, 40), st.integers(1, 9))
def test_the_numbers_of_a_closed_loop_go_to_workers_with_streams(total: int | None, streams: int, workers: int) -> None:
    parts = [list(islice(numbers(total, streams, w, workers), 300)) for w in range(workers)]
    assert [bool(part) for part in parts[streams:]] == [False] * max(0, workers - streams)
    if total is not None:
        assert sorted(n for part in parts for n in part) == list(range(total))
    assert all(n % streams % workers == w for w, part in enumerate(parts) for n in part)


def test_expected_requests() -> None:
    assert expected_requests(StagePlan("s", rate=20.0, duration_s=3)) == 60
    assert expected_requests(StagePlan("s", rate=20.0, duration_s=3, requests=10)) == 10
    burst = StagePlan("s", rate=20.0, arrival="burst", burst=50, duration_s=3)
    assert expected_requests(burst) == len(list(arrivals(burst, 0))) == 100


@given(st.integers(0, 2**24 - 1), st.integers(0, 2**24 - 1), SEEDS, st.integers(5, 400))
def test_prompts_differ_within_four_words(a: int, b: int, seed: int, length: int) -> None:
    first, second = prompt(a, length, seed).split(), prompt(b, length, seed).split()
    assert len(first) == len(second) == length
    assert (first[:4] == second[:4]) == (a == b)
    assert prompt(a, length, seed) == prompt(a, length, seed)


def test_neighbouring_prompts_differ_from_the_first_word() -> None:
    words = [prompt(i, 8, 5).split()[0] for i in range(1000)]
    assert sum(a == b for a, b in pairwise(words)) < 20


def test_long_prompts_have_their_length() -> None:
    for length in (1, 4, 2047, 2048, 50_000):
        assert len(prompt(3, length, 9).split()) == length


@given(
    st.one_of(
        st.integers(1, 9999).map(str),
        st.tuples(st.integers(1, 50), st.integers(50, 900)).map(lambda p: f"uniform:{p[0]},{p[1]}"),
        st.tuples(st.integers(1, 900), st.integers(0, 99)).map(lambda p: f"normal:{p[0]},{p[1]}"),
        st.tuples(st.integers(1, 900), st.integers(0, 99)).map(lambda p: f"lognormal:{p[0]},{p[1]}"),
        st.integers(1, 900).map(lambda m: f"exponential:{m}"),
        st.just("mix:16@9,1024@1"),
    ),
    SEEDS,
)
def test_lengths_are_at_least_one(text: str, seed: int) -> None:
    distribution = parse_distribution(text)
    rng = random.Random(seed)
    assert all(distribution.draw(rng) >= 1 for _ in range(50))
    assert distribution.mean >= 1


def test_lengths_have_the_mean_they_say() -> None:
    for text in ("uniform:10,30", "normal:100,10", "lognormal:100,40", "exponential:100", "mix:16@3,1024@1"):
        distribution = parse_distribution(text)
        rng = random.Random(1)
        drawn = [distribution.draw(rng) for _ in range(20_000)]
        assert sum(drawn) / len(drawn) == pytest.approx(distribution.mean, rel=0.03), text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-5",
        "x",
        "uniform:5",
        "uniform:9,2",
        "normal:a,b",
        "mix:",
        "gauss:1,2",
        "1e99",
        "normal:5,inf",
        "uniform:1,inf",
        "mix:5@-1,3@2",
    ],
)
def test_bad_lengths_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_distribution(text)


def test_an_open_loop_needs_a_rate() -> None:
    with pytest.raises(UsageError, match="rate"):
        list(islice(arrivals(StagePlan("s"), 0), 1))
