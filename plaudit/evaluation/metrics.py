"""Metrics of score differences. Each gives one value a pair, so that one bootstrap serves all.

METRICS is a plain table: to add one, write a function of Judged and its row.
Shapes: N pairs. `margin` = score a − score b; `p` the label; NaN where a metric does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from plaudit.statistics.bradley_terry import log_loss, sigmoid
from plaudit.statistics.intervals import Interval, cluster_bootstrap
from plaudit.types import Pair

Floats = NDArray[np.float64]
MATCHED = 0.2  # |log length ratio| below this: the responses are as long as each other


@dataclass(frozen=True)
class Judged:
    """Pairs with their score differences, as arrays of N.

    `words` are the bag-of-words baseline's margins, NaN where it was not fitted.
    """

    margin: Floats
    p: Floats
    weight: Floats
    group: NDArray[np.str_]
    log_length_ratio: Floats
    words: Floats

    def __len__(self) -> int:
        return len(self.margin)

    def at(self, index: NDArray[Any]) -> Judged:
        """The pairs of an index or mask."""
        return Judged(*(getattr(self, field.name)[index] for field in fields(self)))


def judged(pairs: Sequence[Pair], margin: Floats, words: Floats | None = None) -> Judged:
    """Pairs and their margins as arrays; length is in characters of the last message."""
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
        np.full(len(pairs), np.nan) if words is None else words,
    )


def credit(score: Floats, p: Floats) -> Floats:
    """1 where the score prefers the better response, ½ for equal scores, NaN on tied labels."""
    right = np.where(score == 0, 0.5, (score > 0) == (p > 0.5))
    return np.where((p == 0.5) | np.isnan(score), np.nan, right)


def _accuracy(data: Judged) -> Floats:
    return credit(data.margin, data.p)


def _length_baseline(data: Judged) -> Floats:
    longer = credit(data.log_length_ratio, data.p)
    share = np.average(np.nan_to_num(longer, nan=0.5), weights=data.weight) if len(data) else 1.0
    return longer if share >= 0.5 else 1.0 - longer


def _only(values: Floats, mask: NDArray[np.bool_]) -> Floats:
    return np.where(mask, values, np.nan)


def _better_is_longer(data: Judged) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (data.log_length_ratio > 0) == (data.p > 0.5)
    return same


def _entropy(data: Judged) -> Floats:
    result: Floats = entr(data.p) + entr(1.0 - data.p)
    return result


class Metric(NamedTuple):
    """Values of one metric, one a pair, and a line of explanation.

    `compared` metrics are also given as the difference of two models, `headline` ones stand
    large on the page.
    """

    values: Callable[[Judged], Floats]
    meaning: str
    compared: bool = False
    headline: bool = False


METRICS: dict[str, Metric] = {
    "accuracy": Metric(
        _accuracy, "the better response scores higher; equal scores count half", True, True
    ),
    "length baseline": Metric(
        _length_baseline,
        "accuracy of always the longer response, or the shorter if that is better",
        headline=True,
    ),
    "bag of words accuracy": Metric(
        lambda d: credit(d.words, d.p), "words alone, fitted on other prompts", headline=True
    ),
    "log-loss": Metric(lambda d: log_loss(d.margin, d.p), "0.693 = chance", True, True),
    "bag of words log-loss": Metric(
        lambda d: _only(log_loss(np.nan_to_num(d.words), d.p), ~np.isnan(d.words)), "words alone"
    ),
    "label entropy": Metric(_entropy, "the labels' own doubt: no log-loss can be lower"),
    "excess log-loss": Metric(
        lambda d: log_loss(d.margin, d.p) - _entropy(d), "log-loss minus label entropy; 0 is ideal"
    ),
    "Brier": Metric(lambda d: (sigmoid(d.margin) - d.p) ** 2, "0.25 = chance", True),
    "length-matched accuracy": Metric(
        lambda d: _only(_accuracy(d), np.abs(d.log_length_ratio) < MATCHED),
        "responses within 20 % of each other's length",
        True,
        True,
    ),
    "accuracy, better is longer": Metric(lambda d: _only(_accuracy(d), _better_is_longer(d)), ""),
    "accuracy, better is shorter": Metric(lambda d: _only(_accuracy(d), ~_better_is_longer(d)), ""),
}


def measure(data: Judged, name: str) -> Interval:
    """A metric's weighted mean with its interval by prompt."""
    return mean(METRICS[name].values(data), data)


def mean(values: Floats, data: Judged) -> Interval:
    """Weighted mean, with its interval by prompt, of one value a pair; NaN is left out."""
    kept = np.isfinite(values)
    return cluster_bootstrap(values[kept], data.group[kept], data.weight[kept])
