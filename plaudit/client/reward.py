"""`reward_function`: any Scorer as the reward of an RL trainer, by TRL's own signature."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import plaudit
from plaudit.errors import DataError, UsageError, require
from plaudit.scoring_api import joined, score_given
from plaudit.types import Scorer, Scores

Rewards = list[float | None]
REASONS = 5  # different ones that are told in a run


def reward_function(scorer: Scorer | str | Path, name: str = "plaudit") -> Callable[..., Rewards]:
    """A function of (prompts, completions, **columns) that gives a reward a completion.

    Prompts and completions may be plain text or messages. What cannot be scored is None, never
    0, and its reason is told once as a warning: TRL leaves None out of a group's advantage,
    while a 0 would be learned from.

        trainer = GRPOTrainer(model, reward_funcs=plaudit.reward_function("desk-rm"), ...)

    Args:
        scorer: a Scorer, or what `plaudit.load` takes: the folder or hub id of a model. It is
            loaded and checked here, not at the first batch.
        name: what the trainer logs the reward under.

    Raises UsageError on something that cannot score, ModelError on a model that will not do.

    >>> import numpy
    >>> class ByLength(plaudit.Scoring):
    ...     def score_conversations(self, conversations):
    ...         lengths = [float(len(c.messages[-1].text)) for c in conversations]
    ...         return Scores(numpy.array(lengths))
    >>> reward = reward_function(ByLength())
    >>> reward(prompts=["Why?", "Why?"], completions=["Because.", "So."])
    [8.0, 3.0]
    """
    taken = _scorer(scorer)
    told: set[str] = set()

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> Rewards:
        if isinstance(prompts, str) or isinstance(completions, str):
            raise UsageError("prompts and completions are lists, one entry a completion")
        if len(prompts) != len(completions):
            raise DataError(f"{len(prompts)} prompts for {len(completions)} completions")
        given = [joined(*one) for one in zip(prompts, completions, strict=True)]
        scores = score_given(taken.score, given)
        _tell(scores, told)
        return [None if i in scores.problems else score for i, score in enumerate(scores)]

    reward.__name__ = name
    return reward


def _scorer(given: Scorer | str | Path) -> Scorer:
    if isinstance(given, (str, Path)):
        require("model", "torch", "transformers", what="reward_function of a model folder")
        loaded: Scorer = plaudit.load(str(given))
        return loaded
    if isinstance(given, type) or not callable(getattr(given, "score", None)):
        raise UsageError(
            "reward_function takes the folder or hub id of a model, or an object with "
            f"score(conversations), such as plaudit.load gives; found {type(given).__name__}"
        )
    return given


def _tell(scores: Scores, told: set[str]) -> None:
    """Warn of each reason why a reward is None, once in a run, and of the first few reasons."""
    for index, reason in scores.problems.items():
        if reason not in told and len(told) < REASONS:
            told.add(reason)
            warnings.warn(
                f"plaudit: the reward of completion {index} is None, as is every other with this "
                f"reason: {reason}",
                stacklevel=3,
            )
