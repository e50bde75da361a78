"""Intervals: cluster bootstrap by prompt, Wilson, and what a sample size could have found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "cluster_bootstrap", "smallest_difference", "wilson"]

Floats = NDArray[np.float64]
SAMPLES = 2000
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
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    top = np.bincount(member, weight * values, count)
    bottom = np.bincount(member, weight, count)
    value = float(top.sum() / bottom.sum())
    random = np.random.default_rng(seed)
    means = np.empty(samples)
    for start in range(0, samples, 100):  # 100 draws at a time bound the memory
        size = min(100, samples - start)
        drawn = random.multinomial(count, np.full(count, 1.0 / count), size)
        means[start : start + size] = (drawn @ top) / np.maximum(drawn @ bottom, 1e-300)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(value, float(low), float(high), n, count)


def wilson(successes: float, n: int) -> Interval:
    """Wilson's score interval (1927) of a share."""
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    share, z2 = successes / n, Z95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Interval(share, float(center - half), float(center + half), n, n)


def smallest_difference(interval: Interval) -> float:
    """The difference that this n finds with 80 % power at the 5 % level, two-sided."""
    standard_error = (interval.high - interval.low) / (2 * Z95)
    return (Z95 + 0.8416212335729143) * standard_error
