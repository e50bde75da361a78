"""Every annotator alike: hard majority and smoothed vote share, the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from plaudit.statistics.agreement import leave_one_out
from plaudit.statistics.votes import SWAP, TIE, A, B, Votes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """`p` [N] is the chance that the next vote prefers a, ties half; `outcomes` [N, 3] has all.

    `reliability` [K] is the share of an annotator's votes that side with the others' majority,
    drawn towards the pool's; it weighs nothing.
    """

    p: Floats
    reliability: Floats
    outcomes: Floats

    def predict(self, item: Integers, annotator: Integers | None, side: NDArray[Any]) -> Floats:
        """[M, 3] chances that the next vote is for a, for b, a tie, whoever casts it."""
        return self.outcomes[item]


def fit_majority(votes: Votes) -> Shares:
    """The item's majority (a, b, or neither), and how often a vote follows the others' majority.

    The chances given each majority are the training votes' own, each against the others of its
    item, with a count of one for every outcome and one more for the majority's.
    """
    counts = votes.counts()
    others = counts[votes.item]
    others[np.arange(len(votes)), votes.outcome] -= 1
    overlapping = others.sum(axis=1) > 0
    flat = 3 * _majority(others[overlapping]) + votes.outcome[overlapping]
    table = np.bincount(flat, minlength=9).reshape(3, 3) + np.ones((3, 3)) + np.eye(3)
    table = table + table[SWAP][:, SWAP]
    return _shares(votes, (table / table.sum(axis=1, keepdims=True))[_majority(counts)])


def fit_vote_share(votes: Votes) -> Shares:
    """(n_c + α π_c) / (n + α), π the pool's shares with a and b alike, α from `concentration`."""
    counts = votes.counts()
    pool = counts.sum(axis=0) + 0.5
    pool = (pool + pool[SWAP]) / (2 * pool.sum())
    alpha = concentration(counts, pool)
    return _shares(votes, (counts + alpha * pool) / (counts.sum(axis=1, keepdims=True) + alpha))


def concentration(counts: Floats, mean: Floats, start: float = 2.0) -> float:
    """α of Dirichlet(α · mean) under which rows of counts [M, C] are most likely (Minka 2000).

    That likelihood is the product of each vote's prediction from the votes before it, so the
    smoothing is the one that predicts held-out votes best. log α has a N(log start, 1) prior,
    which decides where rows of one vote say nothing. mean: [C] or [M, C].
    """
    if mean.ndim == 1:  # items have few different counts
        counts, times = np.unique(counts, axis=0, return_counts=True)
    else:
        times = np.ones(len(counts), dtype=np.int64)
    total = counts.sum(axis=1)

    def loss(log_alpha: float) -> float:
        alpha = float(np.exp(log_alpha))
        rows = gammaln(counts + alpha * mean) - gammaln(alpha * mean)
        likelihood = rows.sum(axis=1) + gammaln(alpha) - gammaln(alpha + total)
        return float(0.5 * (log_alpha - np.log(start)) ** 2 - times @ likelihood)

    return float(np.exp(minimize_scalar(loss, bounds=np.log([0.05, 1000]), method="bounded").x))


def _majority(counts: Floats) -> Integers:
    """[N] a or b if it has more votes than the other and no fewer than a tie has; else a tie."""
    a, b, tie = counts.T
    result: Integers = np.where((a > b) & (a >= tie), A, np.where((b > a) & (b >= tie), B, TIE))
    return result


def _shares(votes: Votes, outcomes: Floats) -> Shares:
    credit = leave_one_out(votes)
    known = np.isfinite(credit)
    n = np.bincount(votes.annotator[known], minlength=votes.annotators)
    right = np.bincount(votes.annotator[known], credit[known], votes.annotators)
    pool = (right.sum() + 1) / (n.sum() + 2)
    shares = np.array([pool, 1 - pool])
    alpha = concentration(np.stack([right, n - right], axis=1), shares)
    return Shares(
        outcomes[:, A] + outcomes[:, TIE] / 2, (right + alpha * pool) / (n + alpha), outcomes
    )
