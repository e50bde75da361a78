"""The head of a frozen backbone: layer and ridge by cross-validation, then temperature.

Everything here works on cached features; nothing runs the backbone.

Shapes: N pairs, d features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.data.split import folds
from plaudit.statistics.bradley_terry import basis, log_loss, prior_ridge, solve, sweep
from plaudit.statistics.calibration import temperature

__all__ = ["PRIOR_STDS", "Choice", "Head", "Labels", "LayerResult", "choose", "fit", "labels"]

Floats = NDArray[np.float64]
# Prior standard deviation of a typical pair's margin: ridges that mean the same at any width.
PRIOR_STDS = tuple(float(s) for s in np.geomspace(0.1, 8.0, 10))
FOLDS = 5

Differences = Callable[[int], Floats]  # layer -> [N, d] feature differences a − b


@dataclass(frozen=True)
class Labels:
    """p, weight and group of N pairs, and the fold of each, by prompt group."""

    p: Floats
    weight: Floats
    group: NDArray[np.str_]
    fold: NDArray[np.int64]

    def at(self, index: NDArray[np.int64]) -> Labels:
        return labels(self.p[index], self.weight[index], self.group[index])


def labels(p: Floats, weight: Floats, group: NDArray[np.str_]) -> Labels:
    """Labels with their cross-validation folds, a hash of the group."""
    return Labels(p, weight, group, folds(group.tolist(), FOLDS))


class LayerResult(NamedTuple):
    """Out-of-fold margins [ridges, N] of one layer and the losses [ridges] they give."""

    layer: int
    margins: Floats
    losses: Floats

    @property
    def best(self) -> int:
        return int(np.argmin(self.losses))

    @property
    def loss(self) -> float:
        return float(self.losses[self.best])


@dataclass(frozen=True)
class Choice:
    """The layer and prior chosen, with every layer's result."""

    layer: int
    prior_std: float
    temperature: float
    results: tuple[LayerResult, ...]

    @property
    def chosen(self) -> LayerResult:
        return next(result for result in self.results if result.layer == self.layer)


def layer_result(x: Floats, given: Labels, layer: int) -> LayerResult:
    """Cross-validate every ridge on one layer, all in one block."""
    ridges = [prior_ridge(x, std) for std in PRIOR_STDS]
    margins = sweep(basis(x), given.p, given.weight, ridges, given.fold)
    losses = log_loss(margins, given.p) @ given.weight / given.weight.sum()
    return LayerResult(layer, margins, losses)


def choose(differences: Differences, layers: Sequence[int], given: Labels) -> Choice:
    """The layer and ridge of least out-of-fold log-loss, and the temperature of its margins.

    The temperature scales the out-of-fold margins to be calibrated; it repairs what the
    ridge shrank as well as over-confidence.
    """
    results = tuple(layer_result(differences(layer), given, layer) for layer in layers)
    best = results[int(np.argmin(smoothed([result.loss for result in results])))]
    margin = best.margins[best.best]
    return Choice(
        best.layer,
        PRIOR_STDS[best.best],
        temperature(margin, given.p, given.weight),
        results,
    )


def smoothed(losses: Sequence[float]) -> Floats:
    """Losses averaged with their neighbours', ¼ ½ ¼.

    Neighbouring layers hold nearly the same features, so the true curve is smooth and a single
    layer's dip is mostly noise: measured on HH harmless, the choice without it is worse.
    """
    padded = np.pad(np.asarray(losses, dtype=np.float64), 1, mode="edge")
    result: Floats = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    return result


class Head(NamedTuple):
    """Weights [d] with the temperature folded in, and the posterior's factor [d, d]."""

    weight: Floats
    factor: Floats


def fit(x: Floats, given: Labels, prior_std: float, folded_temperature: float) -> Head:
    """The convex optimum on all pairs given, divided by the temperature, with its posterior."""
    found = solve(x, given.p, given.weight, prior_ridge(x, prior_std))
    return Head(found.v / folded_temperature, found.covariance_factor() / folded_temperature)
