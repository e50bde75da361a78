"""Intervals: cluster bootstrap by prompt, Wilson, exact; what a sample size could have found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

Floats = NDArray[np.float64]
SAMPLES = 2000
BLOCKS = 2000
Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A value with its 95 % interval and how many rows and groups it rests on."""

    value: float
    low: float
    high: float
    n: int
    groups: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def cluster_bootstrap(
    values: Floats,
    groups: NDArray[Any],
    weight: Floats | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Interval:
    """Weighted mean of [N] values with a percentile interval, resampling whole groups.

    Pairs of one prompt are not independent, so prompts are drawn (Efron & Tibshirani 1993).
    """
    n = len(values)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    weight = np.ones(n) if weight is None else weight
    totals = group_totals(np.stack([weight * values, weight], axis=1), groups)
    top, bottom = totals.sum(axis=0)
    sums = resample(totals, samples, seed)
    low, high = np.percentile(sums[:, 0] / np.maximum(sums[:, 1], 1e-300), [2.5, 97.5])
    return Interval(float(top / bottom), float(low), float(high), n, len(totals))


def group_totals(values: Floats, groups: NDArray[Any]) -> Floats:
    """[G, M] sums of [N, M] values over the rows of each group."""
    _, member = np.unique(groups, return_inverse=True)
    return np.stack([np.bincount(member, column) for column in values.T], axis=1)


def resample(totals: Floats, samples: int = SAMPLES, seed: int = 0) -> Floats:
    """[samples, M] sums of [G, M] group totals over G groups drawn with replacement.

    More than 2,000 groups are first pooled at random into 2,000 blocks, which leaves the
    variance as it is and bounds time and memory.
    """
    random = np.random.default_rng(seed)
    if len(totals) > BLOCKS:
        block = random.permutation(len(totals)) % BLOCKS
        totals = group_totals(totals, block)
    count = len(totals)
    sums = np.empty((samples, totals.shape[1]))
    for start in range(0, samples, 100):  # 100 draws at a time bound the memory
        size = min(100, samples - start)
        drawn = random.multinomial(count, np.full(count, 1.0 / count), size)
        sums[start : start + size] = drawn @ totals
    return sums


def wilson(successes: float, n: int) -> Interval:
    """Wilson's score interval (1927) of a share."""
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    share = successes / n
    return Interval(share, *_wilson(share, n), n, n)


def clustered_share(values: Floats, groups: NDArray[Any]) -> Interval:
    """Mean of [N] values in [0, 1] with Wilson's interval at the effective sample size.

    That is the n at which a binomial share would vary as the mean does over whole groups
    (cluster-robust, Student's t for few groups); never more than N, and the number of groups
    where all values are equal: three wins of three are not certainty (Korn & Graubard 1998).
    """
    n = len(values)
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    share = float(values.mean())
    totals = group_totals(np.stack([values - share], axis=1), groups)[:, 0]
    count = len(totals)
    variance = count / max(count - 1, 1) * float(totals @ totals) / n**2
    effective = float(count)
    if variance > 0 and 0 < share < 1:
        effective = min(share * (1 - share) / variance, float(n))
    found = _wilson(share, effective * (Z95 / student_t(count)) ** 2)
    return Interval(share, *found, n, count)


def student_t(groups: int) -> float:
    """The two-sided 95 % quantile of Student's t for an estimate over so many groups."""
    return float(stdtrit(max(groups - 1, 1), 0.975))


def _wilson(share: float, n: float) -> tuple[float, float]:
    """The ends of Wilson's interval; `n` may be an effective sample size."""
    z2 = Z95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return float(max(center - half, 0.0)), float(min(center + half, 1.0))


def clopper_pearson(successes: int, n: int) -> Interval:
    """The exact binomial interval of a share (Clopper & Pearson 1934)."""
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    low = betaincinv(successes, n - successes + 1, 0.025) if successes else 0.0
    high = betaincinv(successes + 1, n - successes, 0.975) if successes < n else 1.0
    return Interval(successes / n, float(low), float(high), n, n)


def smallest_difference(interval: Interval) -> float:
    """The difference that this n finds with 80 % power at the 5 % level, two-sided."""
    standard_error = (interval.high - interval.low) / (2 * Z95)
    return (Z95 + 0.8416212335729143) * standard_error
