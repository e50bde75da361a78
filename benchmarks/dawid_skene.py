"""Dawid and Skene's model: a true class behind each item, a confusion matrix for each annotator.

    P(votes of item c) = Σ_z π_z Π_{votes v by k} C_k[z, v]        Dawid & Skene (1979)

z is a or b (a tie is then an answer, never a truth), or a, b or tie. Swapping a and b must not
matter, so π and C are alike under it. Annotators with few votes stand near the pool: each row of
C_k has the prior Dirichlet(α · pool's row), α learned. EM; sides, lengths and strengths unused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from plaudit.statistics.vote_share import concentration
from plaudit.statistics.votes import SWAP, TIE, A, Votes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class DawidSkene:
    """A fitted model.

    `p` [N] is the chance that an average annotator's vote prefers a, ties half; `truth` [N, Z] the
    posterior of the class. `reliability` [K] is the chance that a vote on an item that is truly
    a's or b's says so, half for a tie. `confusion` [K, Z, 3]; `pool` [Z, 3] the average one.
    """

    p: Floats
    reliability: Floats
    truth: Floats
    confusion: Floats
    pool: Floats

    def predict(self, item: Integers, annotator: Integers | None, side: NDArray[Any]) -> Floats:
        """[M, 3] chances that the next vote is for a, for b, a tie; None: by an average one."""
        if annotator is None:
            average: Floats = self.truth[item] @ self.pool
            return average
        chances: Floats = np.einsum("mz,mzv->mv", self.truth[item], self.confusion[annotator])
        return chances


def fit_dawid_skene(
    votes: Votes, classes: int = 2, tolerance: float = 1e-4, iterations: int = 200
) -> DawidSkene:
    """Fit by EM from the vote shares until no posterior moves by `tolerance`.

    classes: 2 for a and b, 3 for a, b and a tie. Raises ValueError on any other number.
    """
    if classes not in (2, 3):
        raise ValueError(f"classes must be 2 or 3, found {classes}")
    counts = votes.counts()
    start = counts if classes == 3 else counts[:, :TIE] + counts[:, TIE:] / 2
    truth = (start + 1.0) / (start + 1.0).sum(axis=1, keepdims=True)
    for _ in range(iterations):
        before = truth
        confusion, pool = _confusions(votes, truth)
        truth = _truth(votes, truth, confusion)
        if np.abs(truth - before).max(initial=0.0) < tolerance:
            break
    outcomes = truth @ pool
    return DawidSkene(
        p=outcomes[:, A] + outcomes[:, TIE] / 2,
        reliability=confusion[:, A, A] + confusion[:, A, TIE] / 2,
        truth=truth,
        confusion=confusion,
        pool=pool,
    )


def _confusions(votes: Votes, truth: Floats) -> tuple[Floats, Floats]:
    """[K, Z, 3] of each annotator and [Z, 3] of the pool, given the classes' posterior."""
    classes, annotators = truth.shape[1], votes.annotators
    cell = 3 * votes.annotator + votes.outcome
    joint = np.empty((annotators, classes, 3))
    for z in range(classes):
        flat = np.bincount(cell, truth[votes.item, z], 3 * annotators)
        joint[:, z] = flat.reshape(annotators, 3)
    joint = (joint + joint[:, SWAP[:classes]][:, :, SWAP]) / 2
    # a few votes that are right seven times in ten: they decide where no votes overlap
    pool: Floats = joint.sum(axis=0) + 0.5 + 2.0 * np.eye(classes, 3)
    pool /= pool.sum(axis=1, keepdims=True)
    alpha = concentration(joint.reshape(-1, 3), np.tile(pool, (annotators, 1)), start=10.0)
    confusion = (joint + alpha * pool) / (joint.sum(axis=2, keepdims=True) + alpha)
    return confusion, pool


def _truth(votes: Votes, truth: Floats, confusion: Floats) -> Floats:
    """[N, Z] posterior of the classes given the confusion matrices."""
    share = truth.sum(axis=0) + 1.0
    share = share + share[SWAP[: truth.shape[1]]]
    logs = np.log(confusion)[votes.annotator, :, votes.outcome]
    evidence = [np.bincount(votes.item, column, votes.items) for column in logs.T]
    result: Floats = softmax(np.log(share / share.sum()) + np.stack(evidence, axis=1), axis=1)
    return result
