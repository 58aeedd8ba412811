"""The one percentile, its intervals, and what may be concluded from them."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.binomial import beta_cdf, binomial_cdf, binomial_quantile, proportion_bounds, quantile_ranks
from inferaudit.latency import (
    PERCENTILES,
    coarsened,
    decide,
    error_rate_bounds,
    goodput,
    is_good,
    littles_law_gap,
    look_confidence,
    mean_in_flight,
    merge_tables,
    percentile,
    percentile_bounds,
    rank,
    rate_per_s,
    required_samples,
    summarise,
    summarise_table,
    table_percentile,
    table_percentile_bounds,
    tabulate,
    worst_error_rate,
    worst_percentile,
)

values = st.lists(st.integers(0, 50), min_size=1, max_size=60)
percents = st.sampled_from([*PERCENTILES.values(), 0.1, 12.5, 100])


@pytest.mark.parametrize(
    ("count", "p", "expected"),
    [(1000, 99.9, 999), (1000, 99, 990), (1001, 99, 991), (1, 99.9, 1), (10, 50, 5), (11, 50, 6), (3, 0.1, 1)],
)
def test_the_rank_is_exact_where_floats_are_not(count: int, p: float, expected: int) -> None:
    assert rank(count, p) == expected


@pytest.mark.parametrize("p", [0, -1, 100.1])
def test_a_percentile_lies_above_0_and_up_to_100(p: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        rank(10, p)


def test_nothing_measured_is_none_not_zero() -> None:
    assert percentile([], 99) is None
    assert table_percentile([], 99) is None
    assert percentile_bounds([], 99) == (None, None)
    assert summarise([]).in_ms() == {
        "count": 0,
        "mean": None,
        **dict.fromkeys(PERCENTILES),
        "max": None,
        "interval": dict.fromkeys(PERCENTILES),
    }
    assert error_rate_bounds(0, 0) is None
    assert worst_percentile([], 99, 10) is None
    assert worst_error_rate([], 10) is None


@given(values, percents)
def test_a_percentile_is_the_smallest_value_that_enough_values_reach(sample: list[int], p: float) -> None:
    found = percentile(sorted(sample), p)
    assert found is not None
    assert sum(v <= found for v in sample) * 100 >= p * len(sample) - 1e-9
    assert sum(v < found for v in sample) * 100 < p * len(sample)


@given(values, percents)
def test_a_count_table_says_what_its_list_says(sample: list[int], p: float) -> None:
    table = tabulate(sample)
    assert table_percentile(table, p) == percentile(sorted(sample), p)
    if p < 100:
        assert table_percentile_bounds(table, p) == percentile_bounds(sorted(sample), p)
    assert summarise_table(table) == summarise(sample)


@given(values, values)
def test_tables_merge_exactly(a: list[int], b: list[int]) -> None:
    assert merge_tables([tabulate(a), tabulate(b)]) == tabulate(a + b)


@given(st.lists(st.integers(0, 10**7), max_size=200), st.integers(2, 50))
def test_a_coarser_table_is_small_and_keeps_every_value_within_half_a_step(sample: list[int], most: int) -> None:
    table = tabulate(sample, most=most)
    assert table == coarsened(tabulate(sample), most)
    assert len(table) <= most
    assert sum(count for _, count in table) == len(sample)
    if len(set(sample)) <= most:
        assert table == tabulate(sample)
        return
    step = math.gcd(*(value for value, _ in table)) or 10**8  # a multiple of the step
    spread = [value for value, count in table for _ in range(count)]
    assert all(abs(a - b) <= step // 2 for a, b in zip(spread, sorted(sample), strict=True))


def test_a_table_rounds_to_its_unit_and_a_summary_scales_back() -> None:
    table = tabulate([1_499, 1_500, 2_000_000], unit=1_000)
    assert table == [[1, 1], [2, 1], [2_000, 1]]
    assert summarise_table(table, unit=1_000).in_ms()["max"] == 2.0


def test_a_summary_in_milliseconds() -> None:
    told = summarise(range(1_000_000, 1_001_000_000, 1_000_000)).in_ms()
    assert (told["count"], told["mean"], told["p50"], told["p99"], told["p99.9"], told["max"]) == (
        1000, 500.5, 500, 990, 999, 1000,
    )  # fmt: skip
    # scipy.stats.binom.ppf([0.025, 0.975], 1000, 0.99) is 983, 996: ranks 983 and 997
    assert told["interval"]["p99"] == [983, 997]
    assert told["interval"]["p99.9"] is None


@pytest.mark.parametrize(("p", "samples"), [(50, 6), (90, 36), (95, 72), (99, 368), (99.9, 3688)])
def test_an_upper_bound_appears_with_the_required_samples_and_not_before(p: float, samples: int) -> None:
    assert required_samples(p) == samples
    assert percentile_bounds(range(samples), p)[1] == samples - 1
    assert percentile_bounds(range(samples - 1), p)[1] is None


@pytest.mark.parametrize(
    ("p", "samples", "room"),
    [(50, 17, 75), (90, 141, 95), (95, 285, 97.5), (99, 1439, 99.5), (99.9, 14419, 99.95)],
)
def test_with_the_documented_samples_some_may_miss_the_objective(p: float, samples: int, room: float) -> None:
    def upper(n: int) -> int:
        return quantile_ranks(n, p / 100, 0.95)[1] or n + 1

    assert upper(samples - 1) > rank(samples - 1, room)
    assert all(upper(n) <= rank(n, room) for n in range(samples, samples + 50))


def test_few_samples_still_have_a_lower_bound() -> None:
    low, high = percentile_bounds([10] * 100, 99)
    assert (low, high) == (10, None)  # a service that is always too slow fails with 100 samples


@given(st.integers(1, 3000), st.sampled_from([0.5, 0.9, 0.99, 0.999]), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_ranks_hold_their_confidence_and_no_tighter_ones_would(n: int, p: float, confidence: float) -> None:
    low, high = quantile_ranks(n, p, confidence)
    tail = (1 - confidence) / 2 + 1e-12
    if low is not None:
        assert binomial_cdf(low - 1, n, p) <= tail
    if high is not None:
        assert 1 - binomial_cdf(high - 1, n, p) <= tail
        assert high == 1 or 1 - binomial_cdf(high - 2, n, p) > tail - 2e-12


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    draw, held = random.Random(7), 0
    truth = -math.log(0.05)
    for _ in range(400):
        sample = sorted(int(draw.expovariate(1) * 1e9) for _ in range(150))
        low, high = percentile_bounds(sample, 95)
        assert low is not None
        held += low <= truth * 1e9 and (high is None or high >= truth * 1e9)
    assert held >= 0.93 * 400  # 95 % at least; the sampling error of 400 trials is 1.1 %


# Reference values: scipy.stats 1.17 (beta.cdf, binom.ppf, beta.ppf).
@pytest.mark.parametrize(
    ("x", "a", "b", "expected"),
    [(0.1, 3, 2, 0.0037), (0.5, 0.5, 0.5, 0.5), (0.9, 50, 2, 0.0309226512439), (0, 2, 3, 0), (1, 2, 3, 1)],
)
def test_the_incomplete_beta_function(x: float, a: float, b: float, expected: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(expected, rel=1e-9)


@given(st.integers(1, 200), st.floats(0.01, 0.99), st.data())
def test_the_binomial_tail_is_the_sum_of_its_terms(n: int, p: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(-1, n))
    exact = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))
    assert binomial_cdf(k, n, p) == pytest.approx(exact, abs=1e-10)


def test_the_binomial_quantile_of_ten_million() -> None:
    assert [binomial_quantile(q, 10**7, 0.99) for q in (0.025, 0.5, 0.975)] == [9899383, 9900000, 9900616]


def test_no_error_in_2995_requests_shows_less_than_a_thousandth() -> None:
    assert (error_rate_bounds(0, 2995) or (1, 1))[1] < 0.001
    assert (error_rate_bounds(0, 2994) or (0, 0))[1] >= 0.001


@pytest.mark.parametrize(
    ("errors", "requests", "low", "high"),
    [(7, 1000, 0.003289787400654, 0.013107715416593), (0, 1, 0, 0.95), (1, 1, 0.05, 1), (3, 3, 0.368403, 1)],
)
def test_clopper_pearson(errors: int, requests: int, low: float, high: float) -> None:
    assert error_rate_bounds(errors, requests) == pytest.approx((low, high), abs=1e-6)


def test_more_errors_than_requests_is_no_count() -> None:
    with pytest.raises(ValueError, match="no count"):
        proportion_bounds(3, 2)


@pytest.mark.parametrize(
    ("low", "high", "at_most", "expected"),
    [
        (80, 100, True, "pass"),
        (100, 120, True, "undecided"),
        (101, 120, True, "fail"),
        (101, None, True, "fail"),
        (80, None, True, "undecided"),
        (None, 100, True, "pass"),
        (None, None, True, "undecided"),
        (100, 120, False, "pass"),
        (99, 101, False, "undecided"),
        (80, 99, False, "fail"),
    ],
)
def test_an_interval_decides_or_does_not(low: int | None, high: int | None, at_most: bool, expected: str) -> None:
    assert decide(100, low, high, at_most=at_most) == expected


def test_all_looks_together_spend_the_allowed_error_once() -> None:
    assert sum(1 - look_confidence(look) for look in range(1, 10_000)) == pytest.approx(0.05, abs=1e-5)


def test_goodput_counts_requests_that_meet_every_objective() -> None:
    limits = {"ttft": 10, "e2e": 100}
    requests: list[dict[str, int | None]] = [
        {"ttft": 10, "e2e": 100},
        {"ttft": 11, "e2e": 50},
        {"ttft": None, "e2e": 50},
        {"e2e": 50},
    ]
    assert [is_good(request, limits) for request in requests] == [True, False, False, False]
    assert goodput(requests, limits, 0, 2_000_000_000) == 0.5
    assert goodput(requests, {}, 0, 2_000_000_000) is None
    assert rate_per_s(3, 5, 5) is None


def naive_worst(points: list[tuple[int, int]], p: float, window: int) -> int | None:
    ends = [end for end, _ in points]
    full = [i for i, end in enumerate(ends) if ends[0] <= end - window] or [len(points) - 1]
    found = [percentile(sorted(v for e, v in points[: i + 1] if e > ends[i] - window), p) for i in full]
    return max(f for f in found if f is not None)


steps = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), min_size=1, max_size=80)


@given(steps, st.sampled_from([50.0, 90.0, 99.0]), st.integers(1, 100))
def test_the_worst_window_is_the_worst_of_all(gaps: list[tuple[int, int]], p: float, window: int) -> None:
    points, now = [], 100
    for gap, value in gaps:
        now += gap
        points.append((now, value))
    worst = worst_percentile(points, p, window)
    assert worst is not None
    assert worst.value == naive_worst(points, p, window)
    assert percentile(sorted(v for _, v in points[worst.first : worst.last]), p) == worst.value
    assert worst.end_ns - worst.start_ns <= window


def test_the_worst_window_of_errors() -> None:
    points = [(at, 40 <= at < 45) for at in range(100)]
    worst = worst_error_rate(points, 10)
    assert worst is not None
    assert (worst.value, worst.count) == (0.5, 10)
    assert worst.end_ns in range(44, 50)


def test_a_run_shorter_than_the_window_is_one_window_and_says_how_long() -> None:
    latency = worst_percentile([(0, 5), (30, 7)], 99, 300)
    errors = worst_error_rate([(0, False), (30, True)], 300)
    assert latency is not None
    assert errors is not None
    assert (latency.value, latency.start_ns, latency.end_ns, latency.count) == (7, 0, 30, 2)
    assert (errors.value, errors.start_ns, errors.end_ns, errors.count) == (0.5, 0, 30, 2)


def test_littles_law_shows_the_time_a_stream_was_idle() -> None:
    assert littles_law_gap(10, 20, 500_000_000) == pytest.approx(0)
    assert littles_law_gap(10, 15, 500_000_000) == pytest.approx(0.25)
    assert mean_in_flight([(0, 10), (5, 25)], 0, 20) == 1.25
    assert mean_in_flight([], 5, 5) is None
