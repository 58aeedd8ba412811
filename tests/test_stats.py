"""Statistics between runs and over time, against scipy's figures and simulation."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.latency import percentile, tabulate
from inferaudit.stats import (
    Difference,
    change,
    days_needed,
    mean_difference,
    percentile_difference,
    proportion_difference,
    rank_test,
    sample_size_means,
    sample_size_proportions,
    steady_from,
    student_quantile,
    trend,
)

BEFORE = [3, 5, 5, 7, 9, 12, 12, 12, 20, 31]
AFTER = [4, 5, 8, 12, 13, 14, 22, 25, 30, 30, 41, 55]
samples = st.lists(st.integers(0, 20), min_size=1, max_size=30)


def test_mann_whitney_with_ties_as_scipy_has_it() -> None:
    found = rank_test(tabulate(BEFORE), tabulate(AFTER))  # scipy.stats.mannwhitneyu(AFTER, BEFORE, method="asymptotic")
    assert found is not None
    assert (found.u, found.p_value) == (85.5, pytest.approx(0.09782780585406588))
    assert (found.superiority, found.cliffs_delta) == (pytest.approx(0.7125), pytest.approx(0.425))


@given(samples, samples)
def test_effect_sizes_are_counts_of_pairs(before: list[int], after: list[int]) -> None:
    found = rank_test(tabulate(before), tabulate(after))
    if len({*before, *after}) == 1:
        assert found is None
        return
    pairs = [(b > a) + (b == a) / 2 for a in before for b in after]
    back = rank_test(tabulate(after), tabulate(before))
    assert found is not None
    assert back is not None
    assert found.superiority == pytest.approx(sum(pairs) / len(pairs))
    assert back.cliffs_delta == pytest.approx(-found.cliffs_delta)
    assert back.p_value == pytest.approx(found.p_value)
    assert 0 <= found.p_value <= 1


def test_nothing_to_compare_is_none() -> None:
    assert rank_test([], tabulate(AFTER)) is None
    assert percentile_difference(tabulate(BEFORE), tabulate(AFTER), 99) is None  # P99 takes 368 a side
    assert mean_difference([1.0], [1.0, 2.0]) is None
    assert proportion_difference((0, 0), (0, 10)) is None


def test_the_bootstrap_interval_is_that_of_drawing_every_value() -> None:
    draw = random.Random(3)
    before = [int(draw.lognormvariate(5, 1)) for _ in range(300)]
    after = [int(draw.lognormvariate(5.2, 1)) for _ in range(400)]
    found = percentile_difference(tabulate(before), tabulate(after), 90, seed=1)
    assert found is not None
    plain = sorted(
        (percentile(sorted(draw.choices(after, k=400)), 90) or 0)
        - (percentile(sorted(draw.choices(before, k=300)), 90) or 0)
        for _ in range(2000)
    )
    assert (found.low, found.high) == pytest.approx((plain[50], plain[1949]), abs=40)
    assert found.low <= found.estimate <= found.high
    assert found == percentile_difference(tabulate(before), tabulate(after), 90, seed=1)
    assert found != percentile_difference(tabulate(before), tabulate(after), 90, seed=2)


def test_a_run_compared_with_itself_has_not_changed() -> None:
    table = tabulate([int(random.Random(1).gauss(1000, 5)) for _ in range(1000)])
    assert change(percentile_difference(table, table, 50)) == "same"


def test_welch_as_scipy_has_it() -> None:
    found = mean_difference([10, 12, 11, 13, 9, 10], [14, 15, 11, 16, 18])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.7869402163165753, 7.146393117016759))
    assert mean_difference([3, 3], [4, 4]) == Difference(3, 4, 1, 1)


def test_newcombe_as_published() -> None:
    found = proportion_difference((48, 80), (56, 70))  # Newcombe 1998, example (a): 56/70 against 48/80
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    none = proportion_difference((0, 100), (0, 100))
    assert none is not None
    assert none.low < 0 < none.high


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(6, 9, "higher"), (-9, -6, "lower"), (-5, 5, "same"), (-1, 6, "undecided"), (-6, -1, "undecided")],
)
def test_a_change_is_named_when_the_whole_interval_agrees(low: float, high: float, expected: str) -> None:
    assert change(Difference(100, 100, low, high), 0.05) == expected
    assert change(None) == "undecided"


def test_the_start_of_the_steady_part() -> None:
    draw = random.Random(5)
    warm = [draw.gauss(10, 1) + max(0, 100 - i) / 5 for i in range(400)]
    assert steady_from(warm) in range(70, 120)
    assert steady_from([draw.gauss(10, 1) for _ in range(400)]) in range(100)
    assert steady_from([5.0] * 100) == 0
    assert steady_from([float(i) for i in range(400)]) is None  # it never settled
    assert steady_from([1.0] * 49) is None


def ar1(draw: random.Random, slope: float, alike: float, count: int = 200) -> list[tuple[float, float]]:
    noise, points = 0.0, []
    for i in range(count):
        noise = alike * noise + draw.gauss(0, 1)
        points.append((float(i), slope * i + noise))
    return points


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.8])
def test_the_interval_of_a_trend_holds_with_autocorrelation(alike: float) -> None:
    draw, held = random.Random(11), 0
    for _ in range(200):
        found = trend(ar1(draw, 0.02, alike))
        assert found is not None
        held += found.low <= 0.02 <= found.high
    assert held >= 0.87 * 200


def test_a_trend_as_scipy_has_it() -> None:
    found = trend([(0, 1.0), (1, 3.0), (2, 2.0), (3, 5.0), (4, 4.0), (5, 6.0)])  # residuals alternate: no widening
    assert found is not None
    assert (found.slope, found.effective) == (pytest.approx(0.885714285714), 6)
    assert found.high - found.slope == pytest.approx(0.64445561894)  # linregress: stderr · t(4)


def test_a_line_without_noise_or_without_data() -> None:
    line = trend([(float(i), 2.0 * i + 1) for i in range(10)])
    assert line is not None
    assert (line.low, line.high) == (pytest.approx(2), pytest.approx(2))
    flat = trend([(float(i), 7.0) for i in range(10)])
    assert flat is not None
    assert (flat.slope, flat.low, flat.high) == (0, 0, 0)
    assert trend([(0, 1), (1, 2)]) is None
    assert trend([(1, 1), (1, 2), (1, 4)]) is None


def test_a_wandering_series_is_worth_too_few_samples() -> None:
    assert trend([(float(i), float((i - 10) ** 2)) for i in range(21)]) is None


# Reference: scipy.stats.t.ppf
@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [(0.975, 1, 12.7062047), (0.975, 2.5, 3.5746549), (0.975, 10, 2.2281389), (0.95, 1000, 1.6463788), (0.5, 3, 0)],
)
def test_students_t(probability: float, freedom: float, expected: float) -> None:
    assert student_quantile(probability, freedom) == pytest.approx(expected, abs=1e-6)


def test_sample_sizes_of_proportions() -> None:
    assert sample_size_proportions(0.10, 0.01, relative=True) == 1_419_073
    assert sample_size_proportions(0.10, 0.01, relative=False) == 14_751
    assert sample_size_proportions(0.10, -0.01, relative=False) == 13_495
    assert sample_size_proportions(0.10, 0.01, relative=False, sides=1) == 11_620
    assert sample_size_proportions(0.10, 0.01, relative=False, power=0.9) == 19_747


@given(st.floats(0.01, 0.5), st.floats(0.02, 0.5), st.floats(0.5, 0.95))
def test_more_power_and_smaller_lifts_take_more(baseline: float, lift: float, power: float) -> None:
    size = sample_size_proportions(baseline, lift, relative=True, power=power)
    assert sample_size_proportions(baseline, lift / 2, relative=True, power=power) >= size
    assert sample_size_proportions(baseline, lift, relative=True, power=power + 0.04) >= size
    assert sample_size_proportions(baseline, lift, relative=True, power=power, sides=1) <= size


@pytest.mark.parametrize(
    ("baseline", "lift", "power", "alpha", "sides"),
    [
        (0, 0.1, 0.8, 0.05, 2),
        (1, 0.1, 0.8, 0.05, 2),
        (0.5, 1.5, 0.8, 0.05, 2),
        (0.1, 0, 0.8, 0.05, 2),
        (0.1, 1e-200, 0.8, 0.05, 2),
        (0.1, float("nan"), 0.8, 0.05, 2),
        (0.1, 0.1, 1, 0.05, 2),
        (0.1, 0.1, 0.8, 0, 2),
        (0.1, 0.1, 0.8, 0.05, 3),
    ],
)
def test_experiments_that_do_not_exist(baseline: float, lift: float, power: float, alpha: float, sides: int) -> None:
    with pytest.raises(ValueError):
        sample_size_proportions(baseline, lift, relative=True, power=power, alpha=alpha, sides=sides)


def test_sample_sizes_of_means_and_days() -> None:
    assert sample_size_means(1, 0.2) == 393  # Cohen's table has 393 for d = 0.2
    assert sample_size_means(15, 5) == 142
    assert days_needed(2 * 14_751, 1_000) == 30
    for bad in ((0, 1), (1, 0), (1, 1e-300), (float("inf"), 1)):
        with pytest.raises(ValueError):
            sample_size_means(*bad)
    for traffic in (0, float("nan"), float("inf")):
        with pytest.raises(ValueError):
            days_needed(10, traffic)
