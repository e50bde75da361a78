"""The base of a run: its frozen backbone in the dtype of the pass, its renderer, its hash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
)

from plaudit.config import TrainConfig
from plaudit.errors import ModelError
from plaudit.model.backbone import SelfCheck, cut, final_norm, layers_of, run_in
from plaudit.model.download import base_folder, sha256_of
from plaudit.model.precision import Precision, race
from plaudit.model.renderer import Renderer
from plaudit.model.reward_model import RewardModel
from plaudit.training.frozen.features import known_self_check

Say = Callable[[str], None]


class Base(NamedTuple):
    """A frozen backbone and what belongs to it; `weights` is the hash of its files."""

    folder: Path
    backbone: Any
    renderer: Renderer
    precision: Precision
    weights: str
    packing: SelfCheck


def load_base(config: TrainConfig, say: Say) -> Base:
    """Load the base; raises ModelError on one that will not do."""
    folder = base_folder(config.base, say)
    refuse_without_classifier(folder, config.base)
    asked = None if config.dtype == "auto" else getattr(torch, config.dtype)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    values: Any = AutoModel.from_pretrained(folder, dtype="auto", use_safetensors=True)
    layers_of(values), final_norm(values)  # an encoder is refused here, by name
    shape = values.config
    precision = race(
        shape.hidden_size, getattr(shape, "intermediate_size", shape.hidden_size), asked
    )
    limit = getattr(shape, "max_position_embeddings", None) or config.max_length
    renderer = Renderer.of(tokenizer, min(config.max_length, limit))
    backbone = values.eval().requires_grad_(False)
    run_in(backbone, precision.dtype)
    weights = sha256_of(*sorted(folder.glob("*.safetensors")))
    packing = known_self_check(backbone, weights, str(precision.dtype))
    return Base(folder, backbone, renderer, precision, weights, packing)


def refuse_without_classifier(folder: Path, name: str) -> None:
    """Raise ModelError where transformers could not load what would be saved.

    A reward model is saved as the base family's sequence classifier; a family that has none is
    refused here, before the weights are read and the backbone runs.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None) is None:
        raise ModelError(
            f"{name} is a {config.model_type} model, and transformers has no sequence classifier "
            f"for that family ({config.model_type}ForSequenceClassification), so a reward model "
            "on it could not be saved; take a base such as Llama, Qwen, Gemma, Mistral, Phi or "
            "SmolLM"
        )


def with_stored_weights(model: RewardModel, folder: Path, layer: int) -> RewardModel:
    """The same model around the base's weights as they are stored."""
    backbone: Any = AutoModel.from_pretrained(folder, dtype="auto", use_safetensors=True).eval()
    cut(backbone, layer)
    stored = RewardModel(backbone, renderer=model.renderer)
    stored.packing = model.packing
    stored.head.weight.data = model.head.weight.data
    stored.posterior, stored.contract = model.posterior, model.contract
    return stored
