"""The doctor for models: what a model is, and why another engine or another day could score it
otherwise. The reasons themselves stand in `findings` and `token_findings`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from plaudit.errors import PlauditError
from plaudit.model.adapters import merged_folder
from plaudit.model.classifier import PairRenderer
from plaudit.model.contract import contract_of
from plaudit.model.download import model_folder, quiet_transformers
from plaudit.model.findings import OF_FOLDER_AND_HEAD
from plaudit.model.loading import (
    UNLIMITED,
    Checkpoint,
    length_limit,
    load_tokenizer,
    open_checkpoint,
)
from plaudit.model.patient import Finding, Patient
from plaudit.model.token_findings import OF_TOKENS


@dataclass(frozen=True)
class ModelCheck:
    """What a model is, in facts by name, and what was found."""

    name: str
    facts: dict[str, str]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that makes a score wrong."""
        return not any(finding.wrong for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The check as JSON takes it."""
        findings = [asdict(finding) for finding in self.findings]
        return {"model": self.name, "ok": self.ok, "facts": self.facts, "findings": findings}

    def lines(self) -> list[str]:
        """The check as it is printed, the gravest findings first."""
        width = max(map(len, self.facts), default=0)
        lines = [self.name, *(f"  {key:<{width}}  {self.facts[key]}" for key in self.facts)]
        for finding in sorted(self.findings, key=lambda finding: not finding.wrong):
            lines += ["", f"{'✗' if finding.wrong else '!'} {finding.name}: {finding.what}"]
            concerned = [("engines", ", ".join(finding.engines)), ("size", finding.size)]
            for word, value in [*concerned, ("remedy", finding.remedy)]:
                lines += [f"    {word:<7}  {value}"] if value else []
        return [*lines, "", self._verdict()]

    def _verdict(self) -> str:
        wrong = sum(finding.wrong for finding in self.findings)
        if wrong:
            return f"Scores would be wrong: {wrong} of {len(self.findings)} findings."
        if self.findings:
            return f"Scores are right here; {len(self.findings)} findings concern other engines."
        return "Healthy: every engine scores it alike."


def check_model(name: str) -> ModelCheck:
    """Examine a folder or hub id, on the processor and in float32; never raises on its faults."""
    try:
        folder = model_folder(name)
    except PlauditError as error:
        return ModelCheck(name, {}, (Finding.unloadable(error),))
    patient = Patient(folder)
    _open(patient, name)
    found = [finding for check in (*OF_FOLDER_AND_HEAD, *OF_TOKENS) for finding in check(patient)]
    if patient.problem is not None and not any(finding.stops for finding in found):
        found.append(Finding.unloadable(patient.problem))
    facts = _facts(patient) if patient.checkpoint else _facts_of_files(patient)
    return ModelCheck(name, facts, tuple(found))


def _open(patient: Patient, name: str) -> None:
    """Open as much of the model as can be; the first reason why not is kept."""
    try:
        with quiet_transformers():
            # An adapter is examined as the model that it makes of its base.
            patient.folder = merged_folder(patient.folder, classifier=True)
            patient.contract = contract_of(patient.folder)
            patient.tokenizer = load_tokenizer(patient.folder)
            patient.checkpoint = open_checkpoint(name, "float32", device="cpu", verify=False)
    except PlauditError as error:
        patient.problem = error


def _facts_of_files(patient: Patient) -> dict[str, str]:
    config = patient.config
    layers = config.get("num_hidden_layers") or config.get("n_layer")
    facts = {
        "class": ", ".join(config.get("architectures") or []),
        "family": str(config.get("model_type") or ""),
        "depth": f"{layers} layers" if layers else "",
    }
    return {key: value for key, value in facts.items() if value}


def _facts(patient: Patient) -> dict[str, str]:
    checkpoint = patient.checkpoint
    assert checkpoint is not None
    classifier, renderer = checkpoint.classifier, checkpoint.renderer
    config = classifier.config.get_text_config()
    size = sum(parameter.numel() for parameter in classifier.parameters())
    size_words = f"{size / 1e6:,.1f} M" if size >= 1e6 else f"{size:,}"
    limit = length_limit(classifier)
    stored = sorted({dtype for dtype, _ in patient.tensors.values()})
    facts = {
        "class": type(classifier).__name__,
        "family": f"{config.model_type}, {size_words} parameters, {', '.join(stored)}",
        "depth": f"{config.num_hidden_layers} layers, width {config.hidden_size}",
        "head": _head(checkpoint),
        "template": _template(patient),
        "scored at": _scored_at(patient),
        "limit": f"{limit:,} tokens" if limit < UNLIMITED else "none stated",
        "contract": _contract(patient.contract),
    }
    if renderer.max_length != limit:
        facts["limit"] += f", {renderer.max_length:,} taken"
    scores = patient.scores[np.isfinite(patient.scores)]
    if len(scores):
        facts["scores"] = f"{scores.min():.3f} to {scores.max():.3f} on the golden conversations"
    return facts


def _head(checkpoint: Checkpoint) -> str:
    if checkpoint.head is not None:
        rows, width = checkpoint.head.shape
        return f"linear, score.weight [{rows}, {width}], computed in float32"
    if isinstance(checkpoint.renderer, PairRenderer):
        return "the encoder's own pooling head, computed in float32"
    return "transformers' own forward (its layers are not known to the engine)"


def _template(patient: Patient) -> str:
    assert patient.checkpoint is not None
    renderer = patient.checkpoint.renderer
    if isinstance(renderer, PairRenderer):
        return "none; " + ("a pair (prompt, response)" if renderer.pairs else "one text")
    if patient.template is None:
        return "none; plain text (User: … Assistant: …)"
    ids = patient.golden()[0]
    first, last = (repr(patient.token(ids[place])) for place in (0, -1))
    return f"{len(patient.template):,} characters, from {first} to {last}"


def _scored_at(patient: Patient) -> str:
    assert patient.checkpoint is not None
    renderer = patient.checkpoint.renderer
    if isinstance(renderer, PairRenderer):
        return "its pooling head"
    read = renderer.render(patient.conversations[:1])[0].ids
    return f"{patient.token(read[-1])!r}, the last token that is not the pad token"


def _contract(contract: dict[str, Any]) -> str:
    if not contract:
        return "none (not saved by plaudit)"
    layer = contract.get("layers")
    return f"plaudit {contract.get('plaudit')}, {layer} layers, golden scores"
