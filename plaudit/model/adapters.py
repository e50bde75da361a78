"""LoRA adapters as models and as bases: found, merged into their base, kept in the cache.

The merged folder is an ordinary one, named by the hash of adapter and base, so that everything
that reads it (scores, cached features) knows both.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from plaudit.errors import CheckpointError, ModelError, first_line
from plaudit.model.download import cache_folder, model_folder, quiet_transformers, sha256_of

ADAPTER = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
HEADS = ("score.", "classifier.")


def merged_folder(folder: Path, *, classifier: bool) -> Path:
    """The folder itself, or where it is an adapter, the cached folder of it merged into its base.

    Raises CheckpointError where the base cannot be had, or where a folder holds an adapter and
    whole weights, so that it cannot be known which is the model.
    """
    if not (folder / ADAPTER).exists():
        return folder
    if any(folder.glob("model*.safetensors")):
        raise CheckpointError(
            f"{folder} holds whole weights and an adapter ({ADAPTER}): which is the model cannot "
            "be known; move one of them to a folder of its own"
        )
    try:
        settings = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
        base = str(settings["base_model_name_or_path"])
    except (ValueError, KeyError, OSError) as error:
        raise CheckpointError(f"{folder / ADAPTER}: names no base model ({error})") from None
    kind = settings.get("task_type")
    if classifier and kind != "SEQ_CLS":
        raise CheckpointError(
            f"{folder / ADAPTER}: an adapter of task {kind}, without a head to score with; "
            "a reward model's is SEQ_CLS"
        )
    if not classifier and kind not in ("CAUSAL_LM", None):
        raise CheckpointError(
            f"{folder / ADAPTER}: an adapter of task {kind}; a base's is CAUSAL_LM"
        )
    try:
        base_folder = model_folder(base)
    except ModelError as error:
        raise CheckpointError(
            f"{folder / ADAPTER}: its base model {base!r} is needed to merge it: {error}"
        ) from None
    has_head = _has_head(folder / WEIGHTS, *base_folder.glob("*.safetensors"))
    if classifier and not has_head:
        raise CheckpointError(
            f"{folder / WEIGHTS}: neither the adapter nor its base holds a head (score.weight), so "
            'it would be random: train it again with modules_to_save=["score"]'
        )
    sources = [*sorted(folder.glob("adapter_*")), *sorted(base_folder.glob("*.safetensors"))]
    target = cache_folder() / "merged" / sha256_of(*sources)[:20]
    if not (target / "config.json").exists():
        _merge(folder, base_folder, target, classifier)
    return target


def _has_head(*paths: Path) -> bool:
    """Whether a head is among the tensors; raises CheckpointError on a file that is not whole."""
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                if any(head in key for key in file.keys() for head in HEADS):  # noqa: SIM118
                    return True
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path}: not a whole safetensors file ({first_line(error)}); download or save it "
                "again (pickled weights, .bin, are not read)"
            ) from error
    return False


def _merge(adapter: Path, base: Path, target: Path, classifier: bool) -> None:
    from peft import PeftModel

    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=target.parent))
    auto: Any = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    labels = {"num_labels": 1} if classifier else {}
    try:
        with quiet_transformers():
            model = auto.from_pretrained(
                base, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **labels
            )
            merged: Any = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        source = adapter if (adapter / "tokenizer_config.json").exists() else base
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        if getattr(merged.config, "pad_token_id", None) is None:
            merged.config.pad_token_id = tokenizer.pad_token_id
        merged.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        scratch.chmod(0o755)
        scratch.rename(target)
    except Exception as error:  # whatever peft and transformers raise on what does not fit
        shutil.rmtree(scratch, ignore_errors=True)
        if not (target / "config.json").exists():  # another process may have been first
            raise CheckpointError(
                f"{adapter}: the adapter cannot be merged into {base}: {first_line(error)}; the "
                "base that it was trained on is needed, unchanged"
            ) from error
