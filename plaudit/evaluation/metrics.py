"""Metrics of score differences. Each gives one value a pair, so that one bootstrap serves all.

Shapes: N pairs. `margin` = score a − score b; `p` the label; NaN where a metric does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.statistics.bradley_terry import log_loss, sigmoid
from plaudit.statistics.intervals import Interval, cluster_bootstrap
from plaudit.types import Pair

__all__ = ["METRICS", "Judged", "Metric", "judged", "measure"]

Floats = NDArray[np.float64]
MATCHED = 0.2  # |log length ratio| below this: the responses are as long as each other


@dataclass(frozen=True)
class Judged:
    """Pairs with their score differences, as arrays of N."""

    margin: Floats
    p: Floats
    weight: Floats
    group: NDArray[np.str_]
    log_length_ratio: Floats

    def __len__(self) -> int:
        return len(self.margin)

    def at(self, index: NDArray[Any]) -> Judged:
        """The pairs of an index or mask."""
        return Judged(
            self.margin[index],
            self.p[index],
            self.weight[index],
            self.group[index],
            self.log_length_ratio[index],
        )


def judged(pairs: Sequence[Pair], margin: Floats) -> Judged:
    """Pairs and their margins as arrays; length is in characters of the last turn."""
    lengths = np.array(
        [[len(p.a.messages[-1].text), len(p.b.messages[-1].text)] for p in pairs],
        dtype=np.float64,
    ).reshape(-1, 2)
    return Judged(
        np.asarray(margin, dtype=np.float64),
        np.array([pair.p for pair in pairs]),
        np.array([pair.weight for pair in pairs]),
        np.array([pair.group for pair in pairs], dtype=np.str_),
        np.log((lengths[:, 0] + 1) / (lengths[:, 1] + 1)),
    )


def credit(score: Floats, p: Floats) -> Floats:
    """1 where the score prefers the better response, ½ for equal scores, NaN on tied labels."""
    right = np.where(score == 0, 0.5, (score > 0) == (p > 0.5))
    return np.where(p == 0.5, np.nan, right)


def _only(values: Floats, mask: NDArray[np.bool_]) -> Floats:
    return np.where(mask, values, np.nan)


def _accuracy(data: Judged) -> Floats:
    return credit(data.margin, data.p)


def _matched(data: Judged) -> Floats:
    return _only(_accuracy(data), np.abs(data.log_length_ratio) < MATCHED)


def _better_is_longer(data: Judged) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (data.log_length_ratio > 0) == (data.p > 0.5)
    return same


def _brier(data: Judged) -> Floats:
    return (sigmoid(data.margin) - data.p) ** 2


class Metric(NamedTuple):
    """Values of one metric, one a pair, and a line of explanation."""

    values: Callable[[Judged], Floats]
    meaning: str


METRICS: dict[str, Metric] = {
    "accuracy": Metric(_accuracy, "the better response scores higher; equal scores count half"),
    "log-loss": Metric(lambda d: log_loss(d.margin, d.p), "0.693 is a coin; soft labels"),
    "Brier": Metric(_brier, "0.25 is a coin"),
    "longer wins": Metric(
        lambda d: credit(d.log_length_ratio, d.p), "accuracy of the length baseline"
    ),
    "length-matched accuracy": Metric(_matched, "responses within 20 % of each other's length"),
    "accuracy, better is longer": Metric(lambda d: _only(_accuracy(d), _better_is_longer(d)), ""),
    "accuracy, better is shorter": Metric(lambda d: _only(_accuracy(d), ~_better_is_longer(d)), ""),
}


def measure(data: Judged, name: str) -> Interval:
    """A metric's weighted mean with its interval by prompt."""
    values = METRICS[name].values(data)
    kept = np.isfinite(values)
    return cluster_bootstrap(values[kept], data.group[kept], data.weight[kept])
