"""A reward model to disk: an ordinary XForSequenceClassification folder, and its contract.

transformers 5 and 4.57, vLLM, SGLang, TRL, OpenRLHF and verl load the folder unmodified with
equal scores. Beside it, `plaudit.json` holds what produced the scores and the scores of the
golden conversations; `loading` verifies both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from plaudit.errors import ModelError
from plaudit.model.download import sha256_of
from plaudit.model.engine import Engine
from plaudit.model.golden import GOLDEN
from plaudit.model.renderer import Renderer
from plaudit.model.scoring import Posterior, linear_scores
from plaudit.version import __version__

CONTRACT = "plaudit.json"
# In a folder of its own: vLLM takes every .safetensors file beside the model for weights.
POSTERIOR = "plaudit/posterior.safetensors"
# SGLang's heads of these have a bias, which starts at random where the folder has none.
RANDOM_BIAS = ("qwen2", "qwen3")
HASHED = (
    "*.safetensors",
    POSTERIOR,
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "*.jinja",
)


class Saved(Protocol):
    """What is saved of a reward model."""

    engine: Engine
    head: nn.Linear
    renderer: Renderer | None
    posterior: Posterior | None
    contract: dict[str, Any]


def save(model: Saved, folder: Path) -> None:
    """Write the folder. The head is rounded to the body's dtype, so every loader agrees."""
    renderer = model.renderer
    assert renderer is not None  # save_pretrained has raised otherwise
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONTRACT).unlink(missing_ok=True)  # an interrupted save has no contract
    backbone: Any = model.engine.backbone
    add_pad_token(backbone, renderer)
    dtype = next(backbone.parameters()).dtype
    model.head.weight.data = model.head.weight.data.to(dtype).float()
    architecture = architecture_of(backbone.config)
    prefix = architecture.base_model_prefix
    state = {k: v.to(dtype).contiguous().cpu() for k, v in backbone.state_dict().items()}
    tensors = {f"{prefix}.{name}": value for name, value in state.items()}
    tensors["score.weight"] = model.head.weight.data.to(dtype).contiguous().cpu()
    if backbone.config.model_type in RANDOM_BIAS:
        tensors["score.bias"] = torch.zeros(1, dtype=dtype)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    _write_config(backbone.config, architecture.__name__, dtype, renderer, model, folder)
    _write_tokenizer(renderer, folder)
    if model.posterior is not None:
        (folder / POSTERIOR).parent.mkdir(exist_ok=True)
        save_file(model.posterior.tensors(), folder / POSTERIOR)
    exact = Engine(_exact(backbone, state), model.engine.packing)  # the same layers, one check
    golden = linear_scores(exact, model.head.weight[0], renderer, GOLDEN)
    contract = model.contract | {
        "format": 1,
        "plaudit": __version__,
        "renderer": {"fingerprint": renderer.fingerprint, "max_length": renderer.max_length},
        "scoring_token": "the last token, which is the end of the last turn",
        "layers": int(backbone.config.num_hidden_layers),
        "golden": {"dtype": "float32", "scores": golden.mean.tolist()},
        "files": _hashes(folder),
    }
    _write_json(folder / CONTRACT, contract)
    model.contract = contract


def architecture_of(config: Any) -> Any:
    """transformers' sequence classifier of a config, a decoder with a linear head.

    Raises ModelError where it has none, and on encoders, which pool with a head of their own.
    """
    architecture = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    if architecture is None:
        raise ModelError(
            f"transformers has no sequence classifier for {type(config).__name__}: no engine "
            "could load the trained model; take a base that has one, such as Llama or Qwen"
        )
    with torch.device("meta"):
        head = getattr(architecture(config), "score", None)
    if not isinstance(head, nn.Linear):
        raise ModelError(
            f"{architecture.__name__} is an encoder or pools with a head of its own: train takes "
            "decoders (Llama, Qwen, Gemma, Mistral, SmolLM …); score and evaluate take both"
        )
    return architecture


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
