"""Renderer, RewardModel, checkpoint, the packed forward pass, bases. `load` makes a Scorer."""

from transformers.utils import logging

from plaudit.model.checkpoint import load
from plaudit.model.renderer import Rendered, Renderer
from plaudit.model.reward_model import RewardModel, reward_loss

__all__ = ["Rendered", "Renderer", "RewardModel", "load", "reward_loss"]

# transformers' own bars and notices would mix with plaudit's progress and output.
logging.disable_progress_bar()
logging.set_verbosity_error()
