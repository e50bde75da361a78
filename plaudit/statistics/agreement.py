"""How far people agree: the ceiling of an accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["majority_agreement", "pairwise_agreement"]

Floats = NDArray[np.float64]


def pairwise_agreement(votes: Floats) -> float:
    """Chance that two votes on one pair agree, over [N, 3] counts (a, b, tie).

    Pairs with fewer than two votes say nothing and are left out; NaN if none is left.
    """
    total = votes.sum(axis=1)
    votes, total = votes[total >= 2], total[total >= 2]
    if not len(total):
        return float("nan")
    return float(np.mean((votes * (votes - 1)).sum(axis=1) / (total * (total - 1))))


def majority_agreement(votes: Floats) -> float:
    """Chance that a vote for a or b agrees with the majority of the others (ties count half)."""
    credit = weight = 0.0
    for side, other in ((0, 1), (1, 0)):
        mine, theirs = votes[:, side] - 1, votes[:, other]
        usable = (votes[:, side] >= 1) & (votes.sum(axis=1) >= 2)
        right = np.where(mine > theirs, 1.0, np.where(mine == theirs, 0.5, 0.0))
        credit += float((votes[:, side] * right)[usable].sum())
        weight += float(votes[:, side][usable].sum())
    return credit / weight if weight else float("nan")
