"""Annotator models: from votes to a probability for each item and a reliability for each annotator.

All of a family: `p` is the chance that an average annotator prefers a (a tie counts half), so
models may be exchanged, and `reliability` the chance that a vote sides with the better response.
`benchmarks/annotator_models.py` compares them on votes they have not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from plaudit.statistics.ordinal_bradley_terry import fit_ordinal_bradley_terry
from plaudit.statistics.vote_share import fit_majority, fit_vote_share
from plaudit.statistics.votes import Votes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class AnnotatorModel(Protocol):
    """What every fitted model gives."""

    @property
    def p(self) -> Floats:
        """[N] chance that an average annotator prefers a, ties half; within (0, 1)."""

    @property
    def reliability(self) -> Floats:
        """[K] chance that an annotator's vote sides with the better response, half for a tie."""

    def predict(self, item: Integers, annotator: Integers | None, side: NDArray[Any]) -> Floats:
        """[M, 3] chances that the next vote is for a, for b, a tie.

        annotator: [M], or None for an average annotator. side: [M] as in Votes.
        """


# majority and vote_share count; the other two are ordinal Bradley-Terry with the annotators' own
# skill and biases: one score difference a comparison, or one score a response, shared by all of
# its comparisons.
MODELS: dict[str, Callable[[Votes], AnnotatorModel]] = {
    "majority": fit_majority,
    "vote_share": fit_vote_share,
    "comparison_scores": partial(fit_ordinal_bradley_terry, responses=False),
    "response_scores": fit_ordinal_bradley_terry,
}
BEST = "response_scores"  # it predicts held-out votes best: benchmarks/RESULTS.md


class Probabilities(NamedTuple):
    """`p` [N] of each item, `reliability` [K] of each annotator."""

    p: Floats
    reliability: Floats


def fit(votes: Votes, model: str = BEST) -> AnnotatorModel:
    """Fit a model of MODELS by name. Raises ValueError on an unknown name."""
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, found {model!r}")
    return MODELS[model](votes)


def probabilities(votes: Votes, model: str = BEST) -> Probabilities:
    """What exports use: each item's probability that a is better, each annotator's reliability.

    Raises ValueError on an unknown model.

    >>> one = np.array([0])
    >>> votes = Votes(item=one, annotator=one, value=one + 1, side=one, group=one, annotators=1)
    >>> bool(0.5 < probabilities(votes, "vote_share").p[0] < 1)
    True
    """
    fitted = fit(votes, model)
    return Probabilities(fitted.p, fitted.reliability)
