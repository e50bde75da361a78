"""`reward_function`: any Scorer as the reward of an RL trainer, by TRL's own signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from plaudit.errors import DataError
from plaudit.types import Conversation, Scorer, as_conversation

__all__ = ["reward_function"]

Rewards = list[float | None]


def reward_function(scorer: Scorer, name: str = "plaudit") -> Callable[..., Rewards]:
    """A function of (prompts, completions, **columns) that gives a reward a completion.

    Prompts and completions may be plain text or messages. What cannot be scored is None,
    never 0: TRL leaves None out of a group's advantage, while a 0 would be learned from.
    `name` is what the trainer logs the reward under.

        trainer = GRPOTrainer(model, reward_funcs=reward_function(plaudit.load("rm")), ...)
    """

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **_: Any) -> Rewards:
        if len(prompts) != len(completions):
            raise DataError(f"{len(prompts)} prompts for {len(completions)} completions")
        rewards: Rewards = [None] * len(prompts)
        conversations: list[Conversation] = []
        places: list[int] = []
        for index, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            try:
                conversations.append(as_conversation(prompt, completion))
                places.append(index)
            except DataError:
                continue  # stays None
        if conversations:
            scores = scorer.score(conversations)
            for position, index in enumerate(places):
                if position not in scores.problems:
                    rewards[index] = float(scores.mean[position])
        return rewards

    reward.__name__ = name
    return reward
