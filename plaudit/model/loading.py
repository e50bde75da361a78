"""A saved one-label sequence classifier from disk, verified against its contract.

Only safetensors are read, and no code of a checkpoint is ever run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from plaudit.errors import CheckpointError, ModelError
from plaudit.model.backbone import decoder_of, set_dtype
from plaudit.model.download import model_folder, sha256_of
from plaudit.model.engine import Engine, choose_device
from plaudit.model.golden import GOLDEN
from plaudit.model.precision import race
from plaudit.model.renderer import Renderer
from plaudit.model.scoring import Posterior, score_conversations
from plaudit.model.writer import CONTRACT, POSTERIOR

DEFAULT_MAX_LENGTH = 4096
# Golden scores may move by this share of the scores' spread: rounding, not a changed model.
GOLDEN_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.25}


class Checkpoint(NamedTuple):
    """The parts of a saved model.

    `classifier` is transformers' own class; `engine` and `head` are there where its score is a
    linear head on a decoder's token, and not where it pools in a way of its own.
    """

    classifier: Any
    renderer: Renderer
    engine: Engine | None
    head: Tensor | None
    posterior: Posterior | None
    contract: dict[str, Any]


def open_checkpoint(
    name: str,
    dtype: torch.dtype | str | None = None,
    max_length: int | None = None,
    device: str = "auto",
) -> Checkpoint:
    """The parts of a folder or hub id of any one-label sequence classifier.

    `dtype` None takes the faster of float32 and bfloat16 on this machine. A plaudit checkpoint
    is verified against its contract; raises CheckpointError naming what differs.
    """
    folder = model_folder(name)
    contract = _verified_contract(folder)
    config = _json(folder / "config.json")
    if len(config.get("id2label") or {}) != 1 and config.get("num_labels") != 1:
        raise CheckpointError(
            f"{name}: a reward model has one label (id2label), found "
            f"{len(config.get('id2label') or {}) or 'none'}"
        )
    where = choose_device(device)
    taken = _dtype(dtype, config, where)
    model, info = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype="auto", use_safetensors=True, output_loading_info=True, num_labels=1
    )
    if info["missing_keys"]:
        raise CheckpointError(
            f"{name}: the weights lack {', '.join(sorted(info['missing_keys'])[:3])}; a head "
            "that was never trained would give random scores"
        )
    model.eval()
    length = contract.get("renderer", {}).get("max_length") or min(
        DEFAULT_MAX_LENGTH, int(config.get("max_position_embeddings") or DEFAULT_MAX_LENGTH)
    )
    renderer = Renderer.as_saved(AutoTokenizer.from_pretrained(folder), max_length or length)
    if not hasattr(model, "score") or not hasattr(model.base_model, "layers"):
        return Checkpoint(model.to(where, taken), renderer, None, None, None, contract)
    backbone = decoder_of(model)
    set_dtype(backbone, taken)
    engine = Engine(backbone.to(where))
    head = _stored_head(folder)
    posterior = Posterior(**load_file(folder / POSTERIOR)) if _has_posterior(folder) else None
    if contract:
        _verify(name, engine, head, replace(renderer, max_length=length), contract)
    return Checkpoint(model, renderer, engine, head, posterior, contract)


def _has_posterior(folder: Path) -> bool:
    return (folder / POSTERIOR).exists()


def _dtype(
    asked: torch.dtype | str | None, config: dict[str, Any], device: torch.device
) -> torch.dtype:
    if isinstance(asked, str):
        asked = getattr(torch, asked, None)
        if not isinstance(asked, torch.dtype):
            raise ModelError("dtype must be one of float32, bfloat16, float16")
    width = int(config.get("hidden_size") or 512)
    inner = int(config.get("intermediate_size") or 4 * width)
    return race(width, inner, asked, device.type).dtype


def _json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} has no {path.name}: not a saved model") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from None
    return values


def _stored_head(folder: Path) -> Tensor:
    """`score.weight` as stored: the head stays float32 whatever the body runs in."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if "score.weight" in file.keys():  # noqa: SIM118 (not a mapping)
                head: Tensor = file.get_tensor("score.weight")
                return head.float()
    raise CheckpointError(f"{folder}: no tensor score.weight in its safetensors files")


def _verified_contract(folder: Path) -> dict[str, Any]:
    """The contract, its files hashed again; empty for other people's checkpoints."""
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} has no .safetensors file; plaudit reads nothing else "
            "(convert it with transformers' save_pretrained)"
        )
    if not (folder / CONTRACT).exists():
        return {}
    contract = _json(folder / CONTRACT)
    for name, expected in contract.get("files", {}).items():
        path = folder / name
        if not path.exists():
            raise CheckpointError(f"{path} is missing, but its contract ({CONTRACT}) lists it")
        if sha256_of(path) != expected:
            raise CheckpointError(
                f"{path} was changed after the model was saved (its hash differs from "
                f"{CONTRACT}): its scores cannot be trusted. Save the model again, or delete "
                f"{CONTRACT} to load the folder as an unverified checkpoint"
            )
    return contract


def _verify(
    name: str, engine: Engine, head: Tensor, renderer: Renderer, contract: dict[str, Any]
) -> None:
    """Raise CheckpointError unless tokens and golden scores are those that were saved."""
    expected = contract["renderer"]["fingerprint"]
    if renderer.fingerprint != expected:
        raise CheckpointError(
            f"{name}: its chat template or tokenizer renders the golden conversations to other "
            "tokens than when it was saved; the versions of transformers or tokenizers differ "
            "too far, or the files were changed"
        )
    scores = score_conversations(engine, head[0], renderer, GOLDEN).mean
    spread = float(contract.get("normalisation", {}).get("std") or 1.0)
    allowed = GOLDEN_TOLERANCE.get(engine.dtype, 0.25) * max(spread, 1e-3)
    worst = max(abs(a - b) for a, b in zip(scores, contract["golden"]["scores"], strict=True))
    if not worst <= allowed:
        raise CheckpointError(
            f"{name}: golden scores differ by {worst:.3g} (allowed {allowed:.3g} in "
            f"{engine.dtype}); this engine does not compute what the model was saved with"
        )
