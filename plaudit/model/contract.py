"""The contract beside a saved model: what it was saved with, and whether that still holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plaudit.errors import CheckpointError
from plaudit.model.download import sha256_of
from plaudit.model.engine import Engine
from plaudit.model.golden import GOLDEN
from plaudit.model.renderer import Renderer
from plaudit.model.scoring import linear_scores
from plaudit.model.writer import CONTRACT

# Golden scores may move by this share of the scores' spread: rounding, not a changed model.
GOLDEN_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.25}


def contract_of(folder: Path) -> dict[str, Any]:
    """The contract of a folder of safetensors; empty for other people's checkpoints."""
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} has no .safetensors file; plaudit reads nothing else "
            "(convert it with transformers' save_pretrained)"
        )
    path = folder / CONTRACT
    if not path.exists():
        return {}
    contract = read_json(path)
    try:
        _ = contract["renderer"]["fingerprint"], contract["renderer"]["max_length"]
        whole = isinstance(contract["files"], dict)
        whole = whole and len(contract["golden"]["scores"]) == len(GOLDEN)
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise CheckpointError(
            f"{path} is not a whole contract: save the model again, or delete the file to load "
            "the folder as an unverified checkpoint"
        )
    return contract


def changed_files(folder: Path, contract: dict[str, Any]) -> list[str]:
    """Files that are missing, or not what they were when the model was saved."""
    listed: dict[str, str] = contract.get("files", {})
    return [
        name
        for name, expected in listed.items()
        if not (folder / name).exists() or sha256_of(folder / name) != expected
    ]


def refuse_changed(folder: Path, contract: dict[str, Any]) -> None:
    for name in changed_files(folder, contract):
        path = folder / name
        if not path.exists():
            raise CheckpointError(f"{path} is missing, but its contract ({CONTRACT}) lists it")
        raise CheckpointError(
            f"{path} was changed after the model was saved (its hash differs from "
            f"{CONTRACT}): its scores cannot be trusted. Save the model again, or delete "
            f"{CONTRACT} to load the folder as an unverified checkpoint"
        )


def refuse_other_scores(
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
    scores = linear_scores(engine, head[0], renderer, GOLDEN).mean
    worst, allowed = golden_gap(scores.tolist(), contract, engine.dtype)
    if not worst <= allowed:
        raise CheckpointError(
            f"{name}: golden scores differ by {worst:.3g} (allowed {allowed:.3g} in "
            f"{engine.dtype}); this engine does not compute what the model was saved with"
        )


def golden_gap(
    scores: list[float], contract: dict[str, Any], dtype: torch.dtype
) -> tuple[float, float]:
    """How far the golden scores are from the saved ones, and how far they may be in a dtype."""
    spread = float(contract.get("normalisation", {}).get("std") or 1.0)
    allowed = GOLDEN_TOLERANCE.get(dtype, 0.25) * max(spread, 1e-3)
    saved = contract["golden"]["scores"]
    return max(abs(a - b) for a, b in zip(scores, saved, strict=True)), allowed


def read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} has no {path.name}: not a saved model") from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return values
