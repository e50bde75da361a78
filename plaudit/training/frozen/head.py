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
from plaudit.statistics.calibration import BOUNDS, temperature

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
class Selection:
    """The layer, ridge and temperature selected, with every layer's result."""

    layer: int
    prior_std: float
    temperature: float
    results: tuple[LayerResult, ...]

    @property
    def margin(self) -> Floats:
        """[N] out-of-fold margins of the layer and ridge selected, before the temperature."""
        found = next(result for result in self.results if result.layer == self.layer)
        margin: Floats = found.margins[found.best]
        return margin

    def scale_warning(self, given: Labels) -> str:
        """What the labels cannot say about the scale of the scores; empty where they can."""
        right = np.where(self.margin == 0, 0.5, (self.margin > 0) == (given.p > 0.5))
        if right[given.p != 0.5].all():
            return (
                "every held-out pair is ordered correctly, so the labels do not say how far apart "
                "scores should be: their scale is bounded, as if one more pair said nothing. "
                "Probabilities near 0 and 1 prove nothing; look for what gives the label away"
            )
        if not BOUNDS[0] * 1.01 < self.temperature < BOUNDS[1] * 0.99:
            return (
                f"the temperature stopped at its bound ({self.temperature:g}): held-out scores do "
                "not predict the labels, and differences of scores mean nothing"
            )
        return ""


def select(differences: Differences, layers: Sequence[int], given: Labels) -> Selection:
    """The layer and ridge of least out-of-fold log-loss, and the temperature of its margins."""
    return select_each(differences, layers, [(np.arange(len(given.p)), given)])[0]


def select_each(
    differences: Differences,
    layers: Sequence[int],
    rounds: Sequence[tuple[NDArray[np.int64], Labels]],
) -> list[Selection]:
    """`select` on several subsets of the pairs, each given by index with its labels.

    A layer's eigenbasis is computed once, on all pairs: a rotation, which changes neither loss
    nor ridge, so nothing of the other pairs enters a subset's result.
    """
    results: list[list[LayerResult]] = [[] for _ in rounds]
    for layer in layers:
        whole = basis(differences(layer))
        for found, (index, given) in zip(results, rounds, strict=True):
            part = whole._replace(rows=whole.rows[index])
            ridges = [prior_ridge(part.rows, std) for std in PRIOR_STDS]
            margins = sweep(part, given.p, given.weight, ridges, given.fold)
            losses = log_loss(margins, given.p) @ given.weight / given.weight.sum()
            found.append(LayerResult(layer, margins, losses))
    return [_selection(found, given) for found, (_, given) in zip(results, rounds, strict=True)]


def _selection(results: list[LayerResult], given: Labels) -> Selection:
    """The temperature scales the out-of-fold margins to be calibrated; it repairs what the
    ridge shrank as well as over-confidence."""
    best = results[int(np.argmin(smoothed([result.loss for result in results])))]
    fitted = temperature(best.margins[best.best], given.p, given.weight)
    return Selection(best.layer, PRIOR_STDS[best.best], fitted, tuple(results))


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


def weights(x: Floats, given: Labels, selection: Selection) -> Floats:
    """[d] the convex optimum on all pairs given, divided by the temperature."""
    ridge = prior_ridge(x, selection.prior_std)
    if len(x) >= x.shape[1]:
        return solve(x, given.p, given.weight, ridge).v / selection.temperature
    own = basis(x)  # fewer pairs than features: the optimum lies in the space of the pairs
    found = solve(own.rows, given.p, given.weight, ridge)
    result: Floats = own.rotation @ found.v / selection.temperature
    return result


def fit(x: Floats, given: Labels, selection: Selection) -> Head:
    """`weights` with their posterior."""
    found = solve(x, given.p, given.weight, prior_ridge(x, selection.prior_std))
    return Head(found.v / selection.temperature, found.covariance_factor() / selection.temperature)
