"""Why another engine or another day could score a model otherwise: the folder and the head.

One function per reason. Sizes are differences of scores on the golden conversations, in the
model's own units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from plaudit.model.adapters import ADAPTER
from plaudit.model.contract import changed_files, golden_gap
from plaudit.model.patient import Check, Finding, Patient
from plaudit.model.writer import RANDOM_BIAS

COARSE = ("F16", "BF16")


# ---------------------------------------------------------------------------------- the folder


def changed_since_saved(patient: Patient) -> Iterator[Finding]:
    """Weights, tokenizer or template are not those that the contract was written for."""
    for name in changed_files(patient.folder, patient.contract):
        kinds = {".safetensors": "weights", ".jinja": "template"}
        kind = kinds.get(Path(name).suffix, "tokenizer" if "token" in name else "config")
        yield Finding(
            f"{kind} changed since saved",
            f"{name} is not the file that plaudit.json was written for",
            ("all",),
            "save the model again, or delete plaudit.json if the change was meant",
            wrong=True,
        )


def golden_scores(patient: Patient) -> Iterator[Finding]:
    """The golden scores, or the tokens of the golden conversations, are not the saved ones."""
    renderer, contract = patient.decoder, patient.contract
    if renderer is None or "golden" not in contract or patient.checkpoint is None:
        return
    as_saved = replace(renderer, max_length=contract["renderer"]["max_length"])
    if as_saved.fingerprint != contract["renderer"]["fingerprint"]:
        yield Finding(
            "tokens of the golden conversations changed",
            "template or tokenizer render them otherwise than when the model was saved",
            ("all",),
            "take the tokenizer's files and the versions that the model was saved with",
            wrong=True,
        )
    worst, allowed = golden_gap(patient.scores.tolist(), contract, torch.float32)
    if not worst <= allowed:
        yield Finding(
            "golden scores off",
            "the model does not give the scores that it was saved with",
            ("all",),
            "save the model again, or delete plaudit.json if the change was meant",
            f"they differ by up to {worst:.3g}; {allowed:.3g} is allowed",
            wrong=True,
        )


def dead_scores(patient: Patient) -> Iterator[Finding]:
    """Scores that are not finite, or the same for every text."""
    scores = patient.scores
    if len(scores) < 2 or (np.isfinite(scores).all() and np.ptp(scores) > 1e-9):
        return
    what = "all golden scores are equal" if np.isfinite(scores).all() else "a score is not finite"
    yield Finding("no score", what, ("all",), "train the head, or save the weights again", "", True)


def adapter(patient: Patient) -> Iterator[Finding]:
    """An adapter that cannot be merged: without its base, or beside whole weights."""
    if patient.problem is not None and (patient.folder / ADAPTER).exists():
        whole = any(patient.folder.glob("model*.safetensors"))
        yield Finding(
            "adapter beside whole weights" if whole else "adapter without its base",
            str(patient.problem),
            ("all",),
            "merge the adapter into its base and save the whole model",
            wrong=True,
            stops=True,
        )


def code(patient: Patient) -> Iterator[Finding]:
    """Code of its own, which plaudit never runs."""
    own = "auto_map" in patient.config or "auto_map" in patient.tokenizer_config
    files = sorted(path.name for path in patient.folder.glob("*.py"))
    if own or files:
        named = " and ".join([*(["auto_map"] if own else []), *files[:3]])
        yield Finding(
            "code in the folder",
            f"{named}: engines with trust_remote_code run it, and may compute another score",
            ("vLLM --trust-remote-code", "transformers trust_remote_code=True"),
            "save the model with transformers' own class, without auto_map and .py files",
            wrong=own,
            stops=own,
        )


# ------------------------------------------------------------------------------------ the head


def labels(patient: Patient) -> Iterator[Finding]:
    """A reward model has one label."""
    found = patient.config.get("id2label")
    count = len(found) if isinstance(found, dict) else patient.config.get("num_labels")
    if count != 1 and patient.config and not (patient.folder / ADAPTER).exists():
        yield Finding(
            "more than one label" if count else "no label",
            f"config.json has {count or 'no'} labels",
            ("all",),
            'write "id2label": {"0": "REWARD"} if score.weight has one row',
            wrong=True,
            stops=True,
        )


def activation(patient: Patient) -> Iterator[Finding]:
    """Without problem_type, engines put a sigmoid on a single label."""
    kind = patient.config.get("problem_type")
    if kind != "regression" and patient.checkpoint is not None:
        top = float(patient.scores[np.abs(patient.scores).argmax()]) if len(patient.scores) else 1.0
        squashed = float(1.0 / (1.0 + np.exp(-top)))
        yield Finding(
            "activation other than identity",
            f"problem_type is {kind!r}: a sigmoid is applied to the single label",
            ("vLLM /classify", "transformers' pipeline"),
            'write "problem_type": "regression" into config.json',
            f"a score of {top:.3f} comes out as {squashed:.3f}",
            wrong=True,
        )


def precision(patient: Patient) -> Iterator[Finding]:
    """A head that is stored in few bits, or quantised."""
    quantised = patient.config.get("quantization_config")
    if quantised:
        yield Finding(
            "quantised weights",
            f"quantization_config ({quantised.get('quant_method')}): engines differ in how, and "
            "may quantise the head, which then gives equal scores to all",
            ("plaudit", "vLLM", "SGLang"),
            "dequantise the model and save plain safetensors",
            wrong=True,
            stops=True,
        )
    heads = {k: v for k, v in patient.tensors.items() if k.endswith("score.weight")}
    for name, (dtype, _) in heads.items():
        if dtype in COARSE and len(patient.scores):
            step = float(np.abs(patient.scores).max()) * 2.0 ** (-7 if dtype == "BF16" else -10)
            yield Finding(
                "head in low precision",
                f"{name} is stored in {dtype}; engines that compute the head in it round scores",
                ("transformers in that dtype", "SGLang"),
                "load it in float32 where near scores matter, as plaudit and vLLM run the head",
                f"scores come in steps of up to {step:.2g}",
            )
        elif dtype not in (*COARSE, "F32", "F64") and not quantised:
            yield Finding(
                "quantised weights",
                f"{name} is stored in {dtype}",
                ("all",),
                "save the head in float32 or bfloat16",
                wrong=True,
            )


def bias(patient: Patient) -> Iterator[Finding]:
    """A bias that some engines add: SGLang's, random where the folder has none."""
    checkpoint = patient.checkpoint
    for note in checkpoint.notes if checkpoint else ():
        if "score.bias is" in note:
            yield Finding(
                "a bias that transformers does not add",
                note.split(": ", 1)[-1],
                ("SGLang",),
                "set score.bias to zero, or subtract it from SGLang's scores",
                note.split(":")[0],
                wrong=True,
            )
        elif "is not read" in note:
            yield Finding(
                "tensors that are not read",
                note,
                ("transformers", "plaudit"),
                "check that the head was saved under the name score.weight",
            )
    held = any(name.endswith("score.bias") for name in patient.tensors)
    if checkpoint and patient.config.get("model_type") in RANDOM_BIAS and not held:
        most = int(patient.config["hidden_size"]) ** -0.5
        yield Finding(
            "no score.bias",
            "SGLang's head of this family has a bias and starts it at random: each process adds a "
            "constant of its own to every score",
            ("SGLang 0.5.23",),
            "save the model with plaudit, or add a tensor score.bias = [0] to the weights",
            f"up to ±{most:.3f}",
            wrong=True,
        )


OF_FOLDER_AND_HEAD: tuple[Check, ...] = (
    changed_since_saved,
    golden_scores,
    dead_scores,
    adapter,
    code,
    labels,
    activation,
    precision,
    bias,
)
