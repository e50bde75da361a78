"""Temperature, expected calibration error, reliability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.statistics.bradley_terry import sigmoid

Floats = NDArray[np.float64]
BOUNDS = (1e-2, 1e2)


def temperature(margin: Floats, p: Floats, weight: Floats) -> float:
    """argmin over T of Σ w [softplus(m/T) − p m/T] (Guo et al. 1706.04599), convex in 1/T.

    The labels are drawn to ½ by the weight of one pair in all (Platt 1999): margins that order
    every pair right would else be scaled up without bound; so n such pairs get margins of about
    log(2n). Bisection on the slope in 1/T; a T outside 0.01 to 100 stops at the bound.
    """
    low, high = 1 / BOUNDS[1], 1 / BOUNDS[0]
    pairs = weight.sum() ** 2 / max(weight @ weight, 1e-300)
    p = (pairs * p + 0.5) / (pairs + 1)

    def slope(inverse: float) -> float:
        return float(weight @ ((sigmoid(margin * inverse) - p) * margin))

    for _ in range(80):
        middle = np.sqrt(low * high)
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(1 / np.sqrt(low * high))


class Reliability(NamedTuple):
    """Equal-mass bins: mean confidence, share correct, pairs in each."""

    confidence: Floats
    correct: Floats
    pairs: NDArray[np.int64]


def reliability(margin: Floats, p: Floats, bins: int | None = None) -> Reliability:
    """Confidence max(σ, 1 − σ) against the share of labels that agree with the model's side.

    Soft labels count with their share; equal scores count half.
    """
    confidence = sigmoid(np.abs(margin))
    correct = np.where(margin > 0, p, np.where(margin < 0, 1 - p, 0.5))
    order = np.argsort(confidence, kind="stable")
    bins = bins or int(np.clip(len(margin) // 50, 1, 15))
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return Reliability(
        np.array([confidence[part].mean() for part in parts]),
        np.array([correct[part].mean() for part in parts]),
        np.array([len(part) for part in parts]),
    )


def calibration_error(table: Reliability) -> float:
    """ECE = Σ n_b / N |correct_b − confidence_b| over equal-mass bins."""
    if not len(table.pairs):
        return float("nan")
    gap = np.abs(table.correct - table.confidence)
    return float((table.pairs * gap).sum() / table.pairs.sum())


def expected_error(margin: Floats, draws: int = 200, seed: int = 0) -> float:
    """The mean ECE of a perfectly calibrated model with these confidences: ECE's own bias."""
    random = np.random.default_rng(seed)
    probability = sigmoid(margin)
    errors = [
        calibration_error(
            reliability(margin, (random.random(len(margin)) < probability).astype(np.float64))
        )
        for _ in range(draws)
    ]
    return float(np.mean(errors))
