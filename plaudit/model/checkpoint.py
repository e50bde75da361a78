"""A reward model on disk: an ordinary XForSequenceClassification folder, and its contract.

transformers 5 and 4.57, vLLM, SGLang, TRL, OpenRLHF and verl load the folder unmodified with
equal scores. Beside it, `plaudit.json` holds what produced the scores and the scores of the
golden conversations; loading verifies both. Only safetensors are read, and no code of a
checkpoint is ever run.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from plaudit import __version__
from plaudit.errors import CheckpointError, ModelError
from plaudit.model.backbone import run_in
from plaudit.model.download import model_folder, sha256_of
from plaudit.model.golden import GOLDEN
from plaudit.model.pooled import PooledClassifier
from plaudit.model.precision import race
from plaudit.model.renderer import Renderer
from plaudit.model.reward_model import Posterior, RewardModel

__all__ = ["CONTRACT", "add_pad_token", "load", "save"]

CONTRACT = "plaudit.json"
# In a folder of its own: vLLM takes every .safetensors file beside the model for weights.
POSTERIOR = "plaudit/posterior.safetensors"
HASHED = (
    "*.safetensors",
    POSTERIOR,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "*.jinja",
)
DEFAULT_MAX_LENGTH = 4096
# Golden scores may move by this share of the scores' spread: rounding, not a changed model.
GOLDEN_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.25}


# ---------------------------------------------------------------------------------- saving


def save(model: RewardModel, folder: Path) -> None:
    """Write the folder. The head is rounded to the body's dtype, so every loader agrees."""
    renderer = model.renderer
    assert renderer is not None  # save_pretrained has raised otherwise
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONTRACT).unlink(missing_ok=True)  # an interrupted save has no contract
    backbone = model.backbone
    add_pad_token(backbone, renderer)
    dtype = next(backbone.parameters()).dtype
    model.head.weight.data = model.head.weight.data.to(dtype).float()
    architecture = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(backbone.config), None)
    if architecture is None:
        raise ModelError(
            f"transformers has no sequence classifier for {type(backbone.config).__name__}"
        )
    prefix = architecture.base_model_prefix
    state = {k: v.to(dtype).contiguous().cpu() for k, v in backbone.state_dict().items()}
    tensors = {f"{prefix}.{name}": value for name, value in state.items()}
    tensors["score.weight"] = model.head.weight.data.to(dtype).contiguous().cpu()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    _write_config(backbone.config, architecture.__name__, dtype, renderer, model, folder)
    _write_tokenizer(renderer, folder)
    if model.posterior is not None:
        (folder / POSTERIOR).parent.mkdir(exist_ok=True)
        save_file(
            {"factor": model.posterior.factor, "center": model.posterior.center},
            folder / POSTERIOR,
        )
    reference = RewardModel(_exact(backbone, state), renderer=renderer)
    reference.head.weight.data = model.head.weight.data
    reference.packing = model.packing  # the same layers: one self-check is enough
    contract = model.contract | {
        "format": 1,
        "plaudit": __version__,
        "renderer": {"fingerprint": renderer.fingerprint, "max_length": renderer.max_length},
        "scoring_token": "the last token, which is the end of the last turn",
        "layers": int(backbone.config.num_hidden_layers),  # type: ignore[union-attr,arg-type]
        "golden": {"dtype": "float32", "scores": reference.score(GOLDEN).mean.tolist()},
        "files": _hashes(folder),
    }
    _write_json(folder / CONTRACT, contract)
    model.contract = contract


def _exact(backbone: Any, state: dict[str, Tensor]) -> Any:
    """The backbone with its saved weights in float32, which golden scores are computed in."""
    if next(backbone.parameters()).dtype == torch.float32:
        return backbone
    copy = type(backbone)(backbone.config)
    copy.load_state_dict(state)
    return copy.float().eval()


def add_pad_token(backbone: Any, renderer: Renderer) -> None:
    """Give tokenizer and config a pad token that can never end a conversation.

    transformers reads the score at the last token that is not padding; with pad = end token
    it would read one token early. An unused special token is taken before a row is added.
    """
    tokenizer = renderer.tokenizer
    template = str(tokenizer.chat_template)
    used = {tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token}
    used |= {t for t in tokenizer.all_special_tokens if t in template}
    probe = renderer.render(GOLDEN)
    used |= set(tokenizer.convert_ids_to_tokens([int(r.ids[-1]) for r in probe]))
    if tokenizer.pad_token is None or tokenizer.pad_token in used:
        special = [
            t.content for _, t in sorted(tokenizer.added_tokens_decoder.items()) if t.special
        ]
        spare = [token for token in special if token not in used and token not in template]
        # Names that say so come first; then the last of the reserved ones.
        spare.sort(key=lambda t: not any(w in t.lower() for w in ("pad", "reserved", "unused")))
        named = spare and any(w in spare[0].lower() for w in ("pad", "reserved", "unused"))
        if spare:
            tokenizer.pad_token = spare[0] if named else spare[-1]
        else:
            tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    rows = backbone.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        backbone.resize_token_embeddings(len(tokenizer))
    backbone.config.pad_token_id = tokenizer.pad_token_id


def _write_config(
    config: Any, architecture: str, dtype: torch.dtype, renderer: Renderer, model: Any, folder: Path
) -> None:
    values = config.to_dict()
    for dropped in ("quantization_config", "_name_or_path", "_model_name_or_path", "num_labels"):
        values.pop(dropped, None)
    values |= {
        "architectures": [architecture],
        "id2label": {"0": "REWARD"},
        "label2id": {"REWARD": 0},
        "problem_type": "regression",
        "pad_token_id": renderer.tokenizer.pad_token_id,
        "eos_token_id": renderer.tokenizer.eos_token_id,
        "value_head_prefix": "score",
        "dtype": str(dtype).removeprefix("torch."),
        "torch_dtype": str(dtype).removeprefix("torch."),
    }
    normalisation = model.contract.get("normalisation")
    if normalisation:
        values |= normalisation  # mean and std, which OpenRLHF reads
    _write_json(folder / "config.json", values | _old_rope(values))


def _old_rope(values: dict[str, Any]) -> dict[str, Any]:
    """The rotary settings under the names that transformers 4 reads.

    transformers 5 writes `rope_parameters` only; 4.57 would silently take a base of 10,000.
    """
    rope = values.get("rope_parameters") or {}
    if "full_attention" in rope:  # Gemma 3: one set a kind of layer
        local = rope.get("sliding_attention", {}).get("rope_theta")
        names = _old_rope({"rope_parameters": rope["full_attention"]})
        return names | ({"rope_local_base_freq": local} if local else {})
    names = {"rope_theta": rope["rope_theta"]} if "rope_theta" in rope else {}
    if rope.get("rope_type", "default") != "default":
        names["rope_scaling"] = {k: v for k, v in rope.items() if k != "rope_theta"}
    return names


def _write_tokenizer(renderer: Renderer, folder: Path) -> None:
    """Save the tokenizer so that transformers 4 takes it too."""
    renderer.tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text())
    if values.get("tokenizer_class") == "TokenizersBackend":
        values["tokenizer_class"] = "PreTrainedTokenizerFast"
    for dropped in ("backend", "is_local", "local_files_only"):
        values.pop(dropped, None)
    extra = values.get("extra_special_tokens")
    if isinstance(extra, list):  # transformers 4 wants a mapping there
        values["additional_special_tokens"] = values.pop("extra_special_tokens")
    values["model_max_length"] = renderer.max_length
    _write_json(path, values)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted({path for pattern in HASHED for path in folder.glob(pattern)})
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


# --------------------------------------------------------------------------------- loading


def load(
    name: str, dtype: torch.dtype | str | None = None, max_length: int | None = None
) -> RewardModel | PooledClassifier:
    """A Scorer from a folder or hub id of any one-label sequence classifier.

    `dtype` None takes the faster of float32 and bfloat16 on this machine. A plaudit
    checkpoint is verified against its contract; raises CheckpointError naming what differs.
    """
    folder = model_folder(name)
    contract = _verified_contract(folder)
    config = _json(folder / "config.json")
    if len(config.get("id2label") or {}) != 1 and config.get("num_labels") != 1:
        raise CheckpointError(
            f"{name}: a reward model has one label (id2label), found "
            f"{len(config.get('id2label') or {}) or 'none'}"
        )
    taken = _dtype(dtype, config)
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
    tokenizer = AutoTokenizer.from_pretrained(folder)
    renderer = Renderer.as_saved(tokenizer, max_length or length)
    head = getattr(model, "score", None)
    if head is None or not hasattr(model.base_model, "layers"):
        return PooledClassifier(model.to(taken), renderer)
    run_in(model.base_model, taken)
    scorer = RewardModel(model.base_model, renderer=renderer)
    scorer.head.weight.data = _stored_head(folder).float()
    scorer.contract = contract
    if (folder / POSTERIOR).exists():
        scorer.posterior = Posterior(**load_file(folder / POSTERIOR))
    if contract:
        _verify(name, scorer, contract, length)
    return scorer.eval()


def _dtype(asked: torch.dtype | str | None, config: dict[str, Any]) -> torch.dtype:
    if isinstance(asked, str):
        asked = getattr(torch, asked, None)
        if not isinstance(asked, torch.dtype):
            raise ModelError("dtype must be one of float32, bfloat16, float16")
    width = int(config.get("hidden_size") or 512)
    return race(width, int(config.get("intermediate_size") or 4 * width), asked).dtype


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
                tensor: Tensor = file.get_tensor("score.weight")
                return tensor
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


def _verify(name: str, model: RewardModel, contract: dict[str, Any], max_length: int) -> None:
    renderer = model.renderer
    assert renderer is not None
    expected = contract["renderer"]["fingerprint"]
    if replace(renderer, max_length=max_length).fingerprint != expected:
        raise CheckpointError(
            f"{name}: its chat template or tokenizer renders the golden conversations to other "
            "tokens than when it was saved; the versions of transformers or tokenizers differ "
            "too far, or the files were changed"
        )
    scores = model.score(GOLDEN).mean
    spread = float(contract.get("normalisation", {}).get("std") or 1.0)
    dtype = next(model.backbone.parameters()).dtype
    allowed = GOLDEN_TOLERANCE.get(dtype, 0.25) * max(spread, 1e-3)
    worst = max(abs(a - b) for a, b in zip(scores, contract["golden"]["scores"], strict=True))
    if not worst <= allowed:
        raise CheckpointError(
            f"{name}: golden scores differ by {worst:.3g} (allowed {allowed:.3g} in {dtype}); "
            "this engine does not compute what the model was saved with"
        )
