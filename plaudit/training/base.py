"""The base of a run: its frozen backbone in the dtype of the pass, its renderer, its hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from plaudit.config import TrainConfig
from plaudit.model.adapters import merged_folder
from plaudit.model.backbone import keep_layers, set_dtype
from plaudit.model.download import base_folder, sha256_of
from plaudit.model.engine import Engine, choose_device
from plaudit.model.loading import length_limit, load_backbone, load_tokenizer
from plaudit.model.precision import Precision, race
from plaudit.model.renderer import Renderer
from plaudit.model.reward_model import RewardModel
from plaudit.model.writer import architecture_of
from plaudit.training.frozen.features import known_self_check

Say = Callable[[str], None]


class Base(NamedTuple):
    """A frozen backbone and what belongs to it; `weights` is the hash of its files."""

    folder: Path
    engine: Engine
    renderer: Renderer
    precision: Precision
    weights: str


def load_base(config: TrainConfig, say: Say) -> Base:
    """Load the base; raises ModelError on one that will not do."""
    folder = merged_folder(base_folder(config.base, say), classifier=False)
    asked = None if config.dtype == "auto" else getattr(torch, config.dtype)
    tokenizer = load_tokenizer(folder)
    values = load_backbone(folder)
    shape = values.config
    architecture_of(shape)  # a base that could not be saved is refused before the pass
    device = choose_device(config.device)
    inner = getattr(shape, "intermediate_size", None) or 4 * shape.hidden_size
    precision = race(shape.hidden_size, inner, asked, device.type)
    renderer = Renderer.of(tokenizer, min(config.max_length, length_limit(values)), config.template)
    backbone = values.requires_grad_(False)
    set_dtype(backbone, precision.dtype)
    weights = sha256_of(*sorted(folder.glob("*.safetensors")))
    engine = Engine(backbone.to(device))
    engine = Engine(backbone, known_self_check(engine, weights, str(precision.dtype)))
    return Base(folder, engine, renderer, precision, weights)


def with_stored_weights(model: RewardModel, folder: Path, layer: int) -> RewardModel:
    """The same model around the base's weights as they are stored."""
    backbone = load_backbone(folder)
    keep_layers(backbone, layer)
    stored = RewardModel(backbone, renderer=model.renderer)
    stored.engine = Engine(backbone, model.engine.packing)
    stored.head.weight.data = model.head.weight.data.cpu()
    stored.posterior, stored.contract = model.posterior, model.contract
    return stored
