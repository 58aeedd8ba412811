"""Exact bounds from counting: the binomial law behind percentile intervals and error rates.

Nothing here assumes a shape of the latency distribution. Everything follows from "each request falls below the
true percentile with probability p, independently". The tails come from the regularised incomplete beta function
(continued fraction, modified Lentz), good to about ten digits for counts up to 10⁸.
"""

import math
from functools import lru_cache
from statistics import NormalDist

_TINY = 1e-300


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function Iₓ(a, b), for a, b > 0 (Numerical Recipes, section 6.4)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # the continued fraction converges fast only on this side
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or _TINY)
    fraction = d
    for m in range(1, 100_000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + factor * d or _TINY)
            c = 1 + factor / c or _TINY
            fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * fraction / a


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(at most `k` of `n` independent trials succeed), each with probability `p`."""
    if k < 0:
        return 0.0
    return 1.0 if k >= n else beta_cdf(1 - p, n - k, k + 1)


def binomial_quantile(probability: float, n: int, p: float) -> int:
    """The smallest k whose `binomial_cdf(k, n, p)` reaches `probability`."""
    guess = n * p + NormalDist().inv_cdf(probability) * math.sqrt(n * p * (1 - p))
    low = high = min(max(round(guess), 0), n)
    step = 1
    while low > 0 and binomial_cdf(low - 1, n, p) >= probability:
        low, step = max(low - step, 0), step * 2
    step = 1
    while binomial_cdf(high, n, p) < probability:
        high, step = min(high + step, n), step * 2
    while low < high:
        middle = (low + high) // 2
        if binomial_cdf(middle, n, p) >= probability:
            high = middle
        else:
            low = middle + 1
    return low


@lru_cache(maxsize=4096)
def quantile_ranks(n: int, p: float, confidence: float) -> tuple[int | None, int | None]:
    """Ranks (1-based) of the two order statistics that hold the true p-quantile with at least `confidence`.

    The rank-l value is above the quantile only when fewer than l samples fall below it; the rank-u value is below
    it only when at least u do. Each side is given half of the remaining probability. A side is None when even the
    smallest (largest) sample does not bound it: too few samples. Valid for ties and for any distribution
    (David and Nagaraja, Order Statistics, section 7.1).
    """
    if n <= 0:
        return None, None
    tail = (1 - confidence) / 2
    low = binomial_quantile(tail, n, p)
    high = binomial_quantile(1 - tail, n, p) + 1
    return (low if low >= 1 else None), (high if high <= n else None)


def proportion_bounds(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float] | None:
    """Clopper–Pearson: the true share is above the first and below the second number, each with `confidence`.

    Each bound is one-sided, because a verdict leans on one of them; together they hold with 2·confidence − 1.
    None without trials.
    """
    if trials < 0 or not 0 <= hits <= max(trials, 0):
        raise ValueError(f"{hits} of {trials} is no count")
    if trials == 0:
        return None
    low = 0.0 if hits == 0 else _beta_quantile(1 - confidence, hits, trials - hits + 1)
    high = 1.0 if hits == trials else _beta_quantile(confidence, hits + 1, trials - hits)
    return low, high


def trials_without_hit(rate: float, confidence: float = 0.95) -> int:
    """How many trials without a single hit show, with `confidence`, that the true share is below `rate`.

    (1 − rate)ⁿ ≤ 1 − confidence: 2 995 for 0.1 % at 95 %.
    """
    if not (0 < rate < 1 and 0 < confidence < 1):
        raise ValueError("rate and confidence lie between 0 and 1")
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate))


def _beta_quantile(probability: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(80):  # bisection: 80 halvings leave nothing of a double
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2
