"""A saved one-label sequence classifier from disk, verified against its contract.

The score is that of transformers' own class: where a linear head on the engine's features gives
it, the engine runs; else transformers' own forward does. Only safetensors are read, and no code
of a checkpoint is ever run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers import __version__ as transformers_version

from plaudit.errors import CheckpointError, ModelError, first_line
from plaudit.model.adapters import merged_folder
from plaudit.model.backbone import decoder_of, final_norm, layers_of, set_dtype
from plaudit.model.classifier import Classifier, Input, PairRenderer, set_body_dtype
from plaudit.model.contract import (
    GOLDEN_TOLERANCE,
    contract_of,
    read_json,
    refuse_changed,
    refuse_other_scores,
)
from plaudit.model.download import model_folder, quiet_transformers
from plaudit.model.engine import Engine, choose_device
from plaudit.model.golden import GOLDEN
from plaudit.model.precision import race
from plaudit.model.renderer import Renderer
from plaudit.model.scoring import Posterior
from plaudit.model.writer import POSTERIOR, architecture_of

# The engine's score and transformers' own may differ by this share of their size.
OWN_TOLERANCE = {torch.float32: 1e-4}
UNLIMITED = 1 << 20
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


class Checkpoint(NamedTuple):
    """The parts of a saved model.

    `classifier` is transformers' own class; `engine` and `head` are there where its score is a
    linear head on a decoder's token. `notes` say what was done where the folder left a choice.
    """

    classifier: Any
    renderer: Renderer | PairRenderer
    engine: Engine | None
    head: Tensor | None
    posterior: Posterior | None
    contract: dict[str, Any]
    notes: tuple[str, ...]


def open_checkpoint(
    name: str,
    dtype: torch.dtype | str | None = None,
    max_length: int | None = None,
    device: str = "auto",
    template: str | None = None,
    input: Input | None = None,
    *,
    verify: bool = True,
) -> Checkpoint:
    """The parts of a folder or hub id of any one-label sequence classifier; see `plaudit.load`.

    Without `verify` a folder that differs from its contract is opened too.
    """
    where = choose_device(device)
    folder = merged_folder(model_folder(name), classifier=True)
    contract = contract_of(folder)
    if verify:
        refuse_changed(folder, contract)
    config = _config(folder)
    taken = _dtype(dtype, config, where)
    classifier, notes = _classifier(folder, _loaded_in(config, taken))
    limit = length_limit(classifier)
    saved_length = contract.get("renderer", {}).get("max_length")
    length = (saved_length or limit) if max_length is None else max_length
    if length > limit:
        raise ModelError(f"--max-length {length}: {name} takes no more than {limit} tokens")
    renderer = _renderer(folder, classifier, length, template, input)
    notes = (*renderer.notes, *notes)
    try:
        engine, head = _linear_head(folder, classifier, renderer)
        if engine is None:
            Classifier(classifier, renderer).score(GOLDEN[:1])
    except (TypeError, RuntimeError, ValueError, LookupError, AttributeError) as error:
        raise CheckpointError(
            f"{folder}: transformers' own {type(classifier).__name__} cannot score with this "
            f"config.json: {first_line(error)}; take the one that the weights were saved with"
        ) from error
    if engine is None or head is None or not isinstance(renderer, Renderer):
        set_body_dtype(classifier, taken)
        return Checkpoint(classifier.to(where), renderer, None, None, None, contract, notes)
    set_dtype(engine.backbone, taken)
    engine = Engine(engine.backbone.to(where))
    posterior = None
    if (folder / POSTERIOR).exists():
        posterior = Posterior(**load_file(folder / POSTERIOR))
    if contract and verify:
        as_saved = replace(renderer, max_length=saved_length or length)
        refuse_other_scores(name, engine, head, as_saved, contract)
    return Checkpoint(classifier, renderer, engine, head, posterior, contract, notes)


def _config(folder: Path) -> dict[str, Any]:
    """config.json of a one-label classifier; raises CheckpointError on any other."""
    config = _refuse_unreadable(folder)
    kind = config["model_type"]
    if CONFIG_MAPPING[kind] not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise CheckpointError(
            f"{folder / 'config.json'}: transformers has no sequence classifier for {kind}; a "
            "reward model is one (…ForSequenceClassification), of a family such as Llama or Qwen"
        )
    labels = config.get("id2label")
    if labels is None:
        # A folder without labels has two by transformers' default: say how to make it one.
        if config.get("num_labels") != 1:
            raise CheckpointError(
                f"{folder / 'config.json'}: no labels (id2label); a reward model has one: write "
                '"id2label": {"0": "REWARD"} if score.weight has one row'
            )
    elif len(labels) != 1:
        raise CheckpointError(
            f"{folder / 'config.json'}: {len(labels)} labels "
            f"({', '.join(map(str, labels.values()))}); a reward model has one"
        )
    return config


def _refuse_unreadable(folder: Path) -> dict[str, Any]:
    """config.json of a model of transformers in plain weights; raises CheckpointError."""
    path = folder / "config.json"
    config = read_json(path)
    quantised = config.get("quantization_config")
    if quantised:
        raise CheckpointError(
            f"{path}: quantised weights ({quantised.get('quant_method')}); "
            "plaudit reads plain safetensors: dequantise the model and save it again"
        )
    if "auto_map" in config:
        raise CheckpointError(
            f"{path}: the model needs code of its own (auto_map), and plaudit "
            "runs no code of a checkpoint; use a model whose class transformers has"
        )
    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING:
        what = f"model_type {kind!r} is unknown to" if kind else "no model_type for"
        raise CheckpointError(
            f"{path}: {what} transformers {transformers_version}; take the config.json of the "
            "model's own class, or a version of transformers that has it"
        )
    return config


def _loaded_in(config: dict[str, Any], taken: torch.dtype) -> torch.dtype:
    """float32, but for weights that are stored in the very dtype they will run in."""
    stored = getattr(torch, str(config.get("dtype") or config.get("torch_dtype")), None)
    return taken if stored == taken else torch.float32


def _classifier(folder: Path, dtype: torch.dtype) -> tuple[Any, tuple[str, ...]]:
    """transformers' own class with its weights, and what was not read of the folder."""
    model, unread = _load(AutoModelForSequenceClassification, folder, dtype, num_labels=1)
    notes = []
    for key in unread:
        if key.endswith("score.bias"):
            bias = float(_tensor(folder, key).float().reshape(-1)[0])
            if bias:
                notes.append(
                    f"{key} is {bias:g}: transformers' class does not add it, SGLang does; the "
                    "scores here are without it"
                )
        elif not key.startswith("lm_head"):
            notes.append(f"the tensor {key} is not part of the model and is not read")
    return model, tuple(notes[:5])


def load_backbone(folder: Path) -> Any:
    """A base's decoder as stored; raises CheckpointError or ModelError in one line."""
    _refuse_unreadable(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # whatever transformers raises on a config it cannot use
        raise CheckpointError(f"{folder / 'config.json'}: {first_line(error)}") from error
    architecture_of(config)  # what has no linear head is refused before its weights are read
    backbone, _ = _load(AutoModel, folder, "auto")
    layers_of(backbone), final_norm(backbone)
    return backbone


def _load(auto: Any, folder: Path, dtype: Any, **settings: Any) -> tuple[Any, list[str]]:
    """A model in evaluation mode, and the tensors of its files that are no part of it."""
    _refuse_missing_shards(folder)
    try:
        with quiet_transformers():
            model, info = auto.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                **settings,
            )
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{_broken_file(folder)}: not a whole safetensors file ({first_line(error)}); "
            "download or save it again"
        ) from error
    except Exception as error:  # whatever transformers raises on a config it cannot use
        raise CheckpointError(
            f"{folder / 'config.json'}: transformers cannot make this model: {first_line(error)}; "
            "take the config.json that the weights were saved with"
        ) from error
    missing, unread = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    mismatched = sorted(str(key) for key in info.get("mismatched_keys") or ())
    if missing or mismatched:
        hint = f" (it has {', '.join(unread[:3])})" if unread else ""
        raise CheckpointError(
            f"{folder}: the weights lack {', '.join((missing + mismatched)[:3])}{hint}; a part "
            "that was never trained would give random scores: rename the tensors, or save the "
            "model with transformers' save_pretrained"
        )
    return model.eval(), unread


def _renderer(
    folder: Path, classifier: Any, length: int, template: str | None, input: Input | None
) -> Renderer | PairRenderer:
    tokenizer = load_tokenizer(folder)
    decoder = hasattr(classifier, "score")
    vocabulary = classifier.get_input_embeddings().num_embeddings
    if not decoder and (input is not None or tokenizer.chat_template is None):
        return PairRenderer(tokenizer, length, input, vocabulary)
    if input is not None:
        raise ModelError(f"--input {input} is for encoders; {folder} is a decoder")
    pad = classifier.config.get_text_config().pad_token_id if decoder else None
    renderer = replace(Renderer.as_saved(tokenizer, length, pad, template), vocabulary=vocabulary)
    try:
        renderer.render(GOLDEN[:1])
    except ModelError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    return renderer


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder; raises CheckpointError in one line."""
    if not any((folder / name).exists() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer ({', '.join(TOKENIZER_FILES)}): copy the files of the "
            "model that it was trained from"
        )
    settings = folder / "tokenizer_config.json"
    if settings.exists() and "AutoTokenizer" in (read_json(settings).get("auto_map") or {}):
        raise CheckpointError(
            f"{settings}: the tokenizer needs code of its own (auto_map), and plaudit runs no code "
            "of a checkpoint; save it as a fast tokenizer (tokenizer.json) without auto_map"
        )
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # whatever transformers and tokenizers raise
        raise CheckpointError(
            f"{folder}: no tokenizer that transformers can load (tokenizer.json, "
            f"tokenizer_config.json): {first_line(error)}; copy the tokenizer's files of the "
            "model that it was trained from"
        ) from error


def length_limit(model: Any) -> int:
    """Tokens that a model has positions for.

    RoBERTa and its like count positions from behind the padding index: 512 of 514.
    """
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return UNLIMITED
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            return positions - int(padding) - 1
    return positions


def _linear_head(
    folder: Path, classifier: Any, renderer: Renderer | PairRenderer
) -> tuple[Engine | None, Tensor | None]:
    """Engine and head where they give transformers' own score of the first golden texts."""
    head = getattr(classifier, "score", None)
    if not isinstance(head, nn.Linear) or not isinstance(renderer, Renderer):
        return None, None
    try:
        engine = Engine(decoder_of(classifier))
    except ModelError:
        return None, None
    weight = _tensor(folder, "score.weight").float()
    whole = replace(renderer, max_length=length_limit(classifier))
    for rendered in whole.render(GOLDEN[:2]):
        ids = torch.from_numpy(rendered.ids)[None]
        with torch.inference_mode():
            own = float(classifier(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, 0])
        (_, values), *_ = engine.features([rendered.ids], packed=False)
        gap = abs(float(values[0, -1] @ weight[0]) - own)
        if not gap <= OWN_TOLERANCE.get(engine.dtype, 0.05) * max(1.0, abs(own)):
            return None, None
    return engine, weight


def _refuse_missing_shards(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.exists() or (folder / "model.safetensors").exists():
        return
    values = read_json(index)
    shards = values.get("weight_map")
    if not isinstance(shards, dict) or not isinstance(values.get("metadata"), dict):
        raise CheckpointError(f"{index} lists no shards (weight_map, metadata): download it again")
    for name in sorted({str(name) for name in shards.values()}):
        if not (folder / name).exists():
            raise CheckpointError(
                f"{folder / name} is missing, but {index.name} lists it: download it again"
            )


def _broken_file(folder: Path) -> Path:
    """The first safetensors file that cannot be read."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError):
            return path
    return folder


def _dtype(
    asked: torch.dtype | str | None, config: dict[str, Any], device: torch.device
) -> torch.dtype:
    if isinstance(asked, str):
        asked = getattr(torch, asked, None)
        if asked not in GOLDEN_TOLERANCE:
            raise ModelError("dtype must be one of float32, bfloat16, float16")
    width = int(config.get("hidden_size") or 512)
    inner = int(config.get("intermediate_size") or 4 * width)
    return race(width, inner, asked, device.type).dtype


def _tensor(folder: Path, name: str) -> Tensor:
    """One tensor as stored."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                if key == name or key.endswith(f".{name}"):
                    tensor: Tensor = file.get_tensor(key)
                    return tensor
    raise CheckpointError(f"{folder}: no tensor {name} in its safetensors files")
