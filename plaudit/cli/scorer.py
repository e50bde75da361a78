"""MODEL opened for a verb, with a line about how it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plaudit.cli.output import say
from plaudit.config import EvaluateConfig, ScoreConfig

if TYPE_CHECKING:
    from plaudit.types import Scorer


def open_scorer(name: str, config: EvaluateConfig | ScoreConfig) -> Scorer:
    """Load a model with the settings of a verb, and say its precision and what was left open."""
    from plaudit.model import RewardModel, load

    scorer = load(
        name, config.dtype, config.max_length, config.device, config.template, config.input
    )
    if isinstance(scorer, RewardModel):
        dtype = f"{scorer.engine.dtype} on {scorer.engine.device}".replace("torch.", "")
    else:
        dtype = f"{scorer.model.dtype} on {scorer.model.device}".replace("torch.", "")
    say("; ".join([f"{name}: {dtype}", *scorer.notes]))
    return scorer
