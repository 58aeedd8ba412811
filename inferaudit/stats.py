"""Statistics between runs and over time: what changed, when a run was steady, what grows, how long a test must be.

Pure functions over numbers; randomness comes from a seed. Latency samples are count tables (`latency.tabulate`), so
that two runs are compared exactly from what their reports carry. Too little data is None, never "no difference".
"""

import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from statistics import NormalDist, fmean, variance
from typing import Literal

from inferaudit.binomial import beta_cdf
from inferaudit.latency import CONFIDENCE, CountTable, rank, required_samples

RESAMPLES = 4_000

Change = Literal["higher", "lower", "same", "undecided"]


@dataclass(frozen=True)
class Difference:
    """`after` − `before` with its confidence interval, in the unit of the values."""

    before: float
    after: float
    low: float
    high: float

    @property
    def estimate(self) -> float:
        return self.after - self.before


@dataclass(frozen=True)
class RankTest:
    """Mann–Whitney: does one run tend to be slower, whatever the shape of the distributions?

    `superiority` is P(after > before) + ½·P(equal), the common-language effect size; `cliffs_delta` the same from −1
    to 1. With thousands of requests any difference has a small `p_value`: judge by the effect.
    """

    u: float
    z: float
    p_value: float
    superiority: float
    cliffs_delta: float


@dataclass(frozen=True)
class Trend:
    """A straight line through a series: `slope` per unit of time with its interval.

    `effective` is how many independent samples the series is worth, given how much each resembles the one before.
    """

    slope: float
    low: float
    high: float
    samples: int
    effective: float


def rank_test(before: CountTable, after: CountTable) -> RankTest | None:
    """Mann–Whitney U of `after` over `before`: normal approximation, corrected for ties and continuity; two-sided.

    None when a side is empty or all values are the same.
    """
    n1, n2 = _count(before), _count(after)
    if not n1 or not n2:
        return None
    below, at = {row[0]: row[1] for row in before}, {row[0]: row[1] for row in after}
    seen, wins2, ties = 0, 0, 0  # wins2: twice the pairs in which `after` is higher, an equal pair counting once
    for value in sorted(below.keys() | at.keys()):
        a, b = below.get(value, 0), at.get(value, 0)
        wins2 += b * (2 * seen + a)
        seen += a
        ties += (a + b) ** 3 - (a + b)
    total = n1 + n2
    spread = n1 * n2 / 12 * (total + 1 - ties / (total * (total - 1)))
    if spread <= 0:
        return None
    u, middle = wins2 / 2, n1 * n2 / 2
    z = math.copysign(max(abs(u - middle) - 0.5, 0) / math.sqrt(spread), u - middle)
    superiority = u / (n1 * n2)
    return RankTest(u, z, math.erfc(abs(z) / math.sqrt(2)), superiority, 2 * superiority - 1)


def percentile_difference(
    before: CountTable,
    after: CountTable,
    p: float,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    independent: tuple[int, int] | None = None,
) -> Difference | None:
    """Bootstrap interval of the change in the p-th percentile; None when a side has too few samples for one.

    `independent`: how many of a side's values are, where they come in groups that share their fate.

    A resample is not drawn value by value. Of n values drawn with replacement, the rank-k one is the value at
    ⌈n·U⌉ with U from Beta(k, n − k + 1), the k-th of n uniform numbers: the same law, in constant time.
    """
    sides = [_Ranked(before), _Ranked(after)]
    sizes = [min(pair) for pair in zip((side.count for side in sides), independent or (1 << 62,) * 2, strict=True)]
    if min(sizes) < required_samples(p, confidence):
        return None
    generator = random.Random(seed)  # noqa: S311  (reproducible, not secret)
    draws = sorted(
        sides[1].resample(p, generator, sizes[1]) - sides[0].resample(p, generator, sizes[0]) for _ in range(RESAMPLES)
    )
    tail = (1 - confidence) / 2
    low, high = draws[math.floor(tail * RESAMPLES)], draws[math.ceil((1 - tail) * RESAMPLES) - 1]
    first, second = (side.at(rank(side.count, p)) for side in sides)
    return Difference(first, second, min(low, second - first), max(high, second - first))


def mean_difference(
    before: Sequence[float], after: Sequence[float], confidence: float = CONFIDENCE
) -> Difference | None:
    """Welch's interval of the change in a mean (throughput per second of two runs); None below two samples a side."""
    if len(before) < 2 or len(after) < 2:
        return None
    parts = [variance(side) / len(side) for side in (before, after)]
    first, second, error2 = fmean(before), fmean(after), sum(parts)
    if error2 == 0:
        return Difference(first, second, second - first, second - first)
    freedom = error2**2 / sum(v**2 / (len(s) - 1) for v, s in zip(parts, (before, after), strict=True))
    reach = student_quantile((1 + confidence) / 2, freedom) * math.sqrt(error2)
    return Difference(first, second, second - first - reach, second - first + reach)


def batch_means_bounds(batches: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """Student's interval of a mean from the means of consecutive batches, in which neighbours are alike.

    The method of batch means of simulation output (Law, *Simulation Modeling and Analysis*, 9.5.3). None below two
    batches.
    """
    if len(batches) < 2:
        return None
    reach = student_quantile((1 + confidence) / 2, len(batches) - 1) * math.sqrt(variance(batches) / len(batches))
    return fmean(batches) - reach, fmean(batches) + reach


def proportion_difference(
    before: tuple[int, int], after: tuple[int, int], confidence: float = CONFIDENCE
) -> Difference | None:
    """Newcombe's score interval (his method 10) of the change in a share; each side is (hits, trials)."""
    if not before[1] or not after[1]:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    (p1, low1, high1), (p2, low2, high2) = _wilson(*before, z), _wilson(*after, z)
    change = p2 - p1
    return Difference(p1, p2, change - math.hypot(p2 - low2, high1 - p1), change + math.hypot(high2 - p2, p1 - low1))


def change(difference: Difference | None, tolerance: float = 0.05) -> Change:
    """What an interval says about a change of more than `tolerance` (a share of `before`) either way."""
    if difference is None:
        return "undecided"
    allowed = abs(difference.before) * tolerance
    if difference.low > allowed:
        return "higher"
    if difference.high < -allowed:
        return "lower"
    return "same" if -allowed <= difference.low and difference.high <= allowed else "undecided"


def steady_from(values: Sequence[float], batch: int = 5) -> int | None:
    """MSER-5: the index from which a series is steady (White, Cobb and Spratt 2000).

    It cuts where the standard error of what remains is least. None when there are fewer than ten batches, or when
    the best cut lies past the middle: then the run never settled.
    """
    means = [fmean(values[i : i + batch]) for i in range(0, len(values) - batch + 1, batch)]
    if len(means) < 10:
        return None
    centre = fmean(means)
    best, cut, total, squares = math.inf, 0, 0.0, 0.0
    for start in range(len(means) - 1, -1, -1):
        shifted, left = means[start] - centre, len(means) - start  # shifted: or the squares lose their digits
        total, squares = total + shifted, squares + shifted * shifted
        score = max(squares - total * total / left, 0.0) / left**2
        if left >= 5 and score <= best:
            best, cut = score, start
    return cut * batch if cut <= len(means) // 2 else None


def trend(points: Sequence[tuple[float, float]], confidence: float = CONFIDENCE) -> Trend | None:
    """The slope of (time, value) points by least squares, with an interval that autocorrelation widens.

    Samples of memory taken every second are not independent. With the residuals' lag-1 correlation r, n samples are
    worth n·(1 − r)/(1 + r) (Santer et al. 2000), in the standard error and in Student's t. None when that is fewer
    than three, or when all times are equal. Points are in order of time, at even steps.
    """
    n = len(points)
    if n < 3:
        return None
    middle_t, middle_v = fmean(t for t, _ in points), fmean(v for _, v in points)
    spread = sum((t - middle_t) ** 2 for t, _ in points)
    if spread == 0:
        return None
    slope = sum((t - middle_t) * (v - middle_v) for t, v in points) / spread
    rest = [v - middle_v - slope * (t - middle_t) for t, v in points]
    squares = sum(r * r for r in rest)
    scale = max(abs(v) for _, v in points)
    if squares <= n * (scale * 1e-12) ** 2:  # a perfect line: what is left is rounding
        return Trend(slope, slope, slope, n, float(n))
    alike = min(max(sum(a * b for a, b in pairwise(rest)) / squares, 0.0), 1.0)
    effective = n * (1 - alike) / (1 + alike)
    if effective < 3:
        return None
    reach = student_quantile((1 + confidence) / 2, effective - 2) * math.sqrt(squares / (effective - 2) / spread)
    return Trend(slope, slope - reach, slope + reach, n, effective)


def sample_size_proportions(
    baseline: float, lift: float, *, relative: bool, power: float = 0.8, alpha: float = 0.05, sides: int = 2
) -> int:
    """Samples in each arm to see a share move from `baseline` by `lift`: the pooled normal formula.

    n = (z₁₋α/ₛ·√(2p̄q̄) + z_power·√(p₁q₁ + p₂q₂))² / (p₂ − p₁)², with s sides. A relative lift of 1 % on 10 % takes
    about 1.4 million an arm. ValueError when no such experiment exists.
    """
    after = baseline * (1 + lift) if relative else baseline + lift
    _check(power, alpha, sides)
    if not 0 < baseline < 1:
        raise ValueError(f"the baseline lies between 0 and 1, not at {baseline:g}")
    if not 0 < after < 1:
        raise ValueError(f"a baseline of {baseline:g} with this lift would be {after:g}: not between 0 and 1")
    if abs(after - baseline) < 1e-12:
        raise ValueError("a lift of nothing cannot be found with any number of samples")
    middle = (baseline + after) / 2
    under_null = _z(1 - alpha / sides) * math.sqrt(2 * middle * (1 - middle))
    under_lift = _z(power) * math.sqrt(baseline * (1 - baseline) + after * (1 - after))
    return math.ceil((under_null + under_lift) ** 2 / (after - baseline) ** 2)


def sample_size_means(
    deviation: float, difference: float, *, power: float = 0.8, alpha: float = 0.05, sides: int = 2
) -> int:
    """Samples in each arm to see a mean move by `difference`, given the standard deviation of one sample.

    n = 2·(z₁₋α/ₛ + z_power)²·σ²/Δ². ValueError when no such experiment exists.
    """
    _check(power, alpha, sides)
    if not (0 < deviation < math.inf and deviation * 1e-9 < abs(difference) < math.inf):
        raise ValueError("the standard deviation is above 0, and the difference not vanishing beside it")
    return math.ceil(2 * ((_z(1 - alpha / sides) + _z(power)) * deviation / difference) ** 2)


def days_needed(total: int, per_day: float) -> int:
    """Whole days of traffic that give `total` samples. ValueError without traffic."""
    if not 0 < per_day < math.inf:
        raise ValueError("traffic is above 0 a day, and finite")
    return math.ceil(total / per_day)


@lru_cache(maxsize=256)
def student_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t for 0.5 ≤ probability < 1, `freedom` not necessarily whole."""
    low, high = 0.0, 1.0
    while _student_cdf(high, freedom) < probability and high < 1e12:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if _student_cdf(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


class _Ranked:
    """A count table that can be asked for the value at a rank, and for a bootstrap resample's percentile."""

    def __init__(self, table: CountTable) -> None:
        self.values = [row[0] for row in table]
        self.upto = list(accumulate(row[1] for row in table))
        self.count = self.upto[-1] if table else 0

    def at(self, place: int) -> int:
        return self.values[bisect_left(self.upto, place)]

    def resample(self, p: float, generator: random.Random, size: int) -> int:
        k = rank(size, p)
        return self.at(max(1, math.ceil(self.count * generator.betavariate(k, size - k + 1))))


def _student_cdf(t: float, freedom: float) -> float:
    return 1 - beta_cdf(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def _wilson(hits: int, trials: int, z: float) -> tuple[float, float, float]:
    share = hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return share, min(centre - reach, share), max(centre + reach, share)


def _check(power: float, alpha: float, sides: int) -> None:
    if not 0 < power < 1 or not 0 < alpha < 1:
        raise ValueError("power and alpha lie between 0 and 1")
    if sides not in (1, 2):
        raise ValueError("a test has one side or two")


def _z(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def _count(table: CountTable) -> int:
    return sum(row[1] for row in table)
