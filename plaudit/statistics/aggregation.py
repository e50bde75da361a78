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

from plaudit.statistics.dawid_skene import fit_dawid_skene
from plaudit.statistics.ordinal_bradley_terry import fit_skills
from plaudit.statistics.vote_share import fit_majority, fit_vote_share
from plaudit.statistics.votes import Votes

__all__ = ["BEST", "MODELS", "AnnotatorModel", "Probabilities", "fit", "probabilities"]

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


MODELS: dict[str, Callable[[Votes], AnnotatorModel]] = {
    "majority": fit_majority,
    "vote_share": fit_vote_share,
    "dawid_skene": fit_dawid_skene,
    "dawid_skene_ties": partial(fit_dawid_skene, classes=3),
    "skills": partial(fit_skills, responses=False),
    "response_skills": fit_skills,
}
BEST = "response_skills"  # it predicts held-out votes best: benchmarks/RESULTS.md


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
