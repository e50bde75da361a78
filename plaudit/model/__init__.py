"""Renderer, RewardModel, the engine and its packed pass, bases. `load` makes a Scorer."""

from __future__ import annotations

import torch

from plaudit.model.classifier import Classifier as Classifier
from plaudit.model.classifier import Input
from plaudit.model.loading import open_checkpoint
from plaudit.model.renderer import Rendered as Rendered
from plaudit.model.renderer import Renderer as Renderer
from plaudit.model.reward_model import RewardModel as RewardModel
from plaudit.model.reward_model import reward_loss as reward_loss


def load(
    name: str,
    dtype: torch.dtype | str | None = None,
    max_length: int | None = None,
    device: str = "auto",
    template: str | None = None,
    input: Input | None = None,
) -> RewardModel | Classifier:
    """A Scorer from a folder or hub id of any one-label sequence classifier.

    Args:
        dtype: of the pass; None takes the faster of float32 and bfloat16 on this machine.
        max_length: tokens of a conversation; the model's own limit where None.
        device: auto, cpu, cuda, cuda:N or mps.
        template: the name of one of several chat templates, or "plain".
        input: how an encoder is given a conversation, "pair" (prompt, response) or "text".

    A plaudit checkpoint is verified against its contract; raises CheckpointError naming what
    differs, ModelError or UsageError on what cannot be used.
    """
    checkpoint = open_checkpoint(name, dtype, max_length, device, template, input)
    if checkpoint.engine is None:
        return Classifier(checkpoint.classifier, checkpoint.renderer, checkpoint.notes)
    return RewardModel.of(checkpoint)
