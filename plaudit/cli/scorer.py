"""MODEL opened for a verb, with a line about how it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plaudit.cli.output import say
from plaudit.config import ModelConfig

if TYPE_CHECKING:
    from plaudit.model import Classifier, RewardModel


def open_scorer(name: str, config: ModelConfig) -> RewardModel | Classifier:
    """Load a model; say its precision, its pass, and what was done where its folder was silent."""
    from plaudit.model import load

    scorer = load(name, **config.loading())
    say(f"{name}: {scorer.how}")
    for note in scorer.notes:
        say(f"{name}: {note}")
    return scorer
