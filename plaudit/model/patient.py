"""A model under examination, opened as far as it can be, and what is found of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from plaudit.errors import PlauditError
from plaudit.model.classifier import Classifier
from plaudit.model.golden import GOLDEN
from plaudit.model.loading import Checkpoint
from plaudit.model.prefix_tree import Ids
from plaudit.model.renderer import Rendered, Renderer
from plaudit.types import Conversation


@dataclass(frozen=True)
class Finding:
    """A reason why a score could differ: what, for whom, by how much, and what to do.

    `wrong`: an engine that takes the folder as it is gives another score, or none. `stops`: it
    is why plaudit cannot load the model.
    """

    name: str
    what: str
    engines: tuple[str, ...]
    remedy: str
    size: str = ""
    wrong: bool = False
    stops: bool = False

    @classmethod
    def unloadable(cls, error: PlauditError) -> Finding:
        """What plaudit cannot load, with its reason."""
        return cls("cannot be loaded", str(error), ("plaudit",), "", wrong=True, stops=True)


@dataclass
class Patient:
    """A folder, and as much of the model in it as could be opened."""

    folder: Path
    contract: dict[str, Any] = field(default_factory=dict)
    tokenizer: Any = None
    checkpoint: Checkpoint | None = None
    problem: PlauditError | None = None

    @cached_property
    def config(self) -> dict[str, Any]:
        return _json(self.folder / "config.json")

    @cached_property
    def tokenizer_config(self) -> dict[str, Any]:
        return _json(self.folder / "tokenizer_config.json")

    @cached_property
    def tensors(self) -> dict[str, tuple[str, list[int]]]:
        """Name -> (dtype, shape) of every tensor in the folder's safetensors that can be read."""
        found: dict[str, tuple[str, list[int]]] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    for key in file.keys():  # noqa: SIM118 (not a mapping)
                        part = file.get_slice(key)
                        found[key] = part.get_dtype(), part.get_shape()
            except (SafetensorError, OSError):
                continue
        return found

    @property
    def template(self) -> str | dict[str, str] | None:
        """The template as stored: one, several by name, or none."""
        found: str | dict[str, str] | None = getattr(self.tokenizer, "chat_template", None)
        return found

    @cached_property
    def conversations(self) -> list[Conversation]:
        """The golden conversations that the model's template takes."""
        assert self.checkpoint is not None
        rendered = self.checkpoint.renderer.render_each(GOLDEN)
        return [c for c, r in zip(GOLDEN, rendered, strict=True) if isinstance(r, Rendered)]

    @property
    def decoder(self) -> Renderer | None:
        """The renderer, where the score is read at a decoder's token by the engine."""
        if self.checkpoint is None or self.checkpoint.engine is None:
            return None
        renderer = self.checkpoint.renderer
        return renderer if isinstance(renderer, Renderer) else None

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Scores of the golden conversations; none where the model could not be opened."""
        if self.checkpoint is None:
            return np.zeros(0)
        own = Classifier(self.checkpoint.classifier, self.checkpoint.renderer)
        found: NDArray[np.float64] = own.score(self.conversations).mean
        return found

    def golden(self, **changes: Any) -> list[Ids]:
        """Ids of the golden conversations, to the very last token; by a changed renderer."""
        assert self.checkpoint is not None
        renderer = self.checkpoint.renderer
        if isinstance(renderer, Renderer):
            renderer = replace(renderer, **({"pad_id": None} | changes))
        return [rendered.ids for rendered in renderer.render(self.conversations)]

    @torch.inference_mode()
    def score(self, ids: Sequence[Ids], classifier: Any = None) -> NDArray[np.float64]:
        """Scores that transformers' own class gives token ids, one by one."""
        model = classifier or self.checkpoint.classifier  # type: ignore[union-attr]
        rows = [torch.from_numpy(np.ascontiguousarray(one))[None] for one in ids]
        return np.array([float(model(input_ids=row).logits[0, 0]) for row in rows])

    def score_at_end(self, ids: Sequence[Ids]) -> NDArray[np.float64]:
        """Scores read at the very last token, as vLLM and SGLang do."""
        engine, head = self.checkpoint.engine, self.checkpoint.head  # type: ignore[union-attr]
        assert engine is not None
        assert head is not None
        found = []
        for one in ids:
            (_, values), *_ = engine.features([one], packed=False)
            found.append(float(values[0, -1] @ head[0]))
        return np.array(found)

    def token(self, index: int) -> str:
        """A token as it is written."""
        return str(self.tokenizer.decode([int(index)]))


Check = Callable[[Patient], Iterator[Finding]]


def gap_of(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, str]:
    """The largest difference of two lists of scores, and in words."""
    gap = float(np.abs(one - other).max()) if len(one) else 0.0
    return gap, f"golden scores differ by up to {gap:.3g} (they spread over {np.ptp(one):.3g})"


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
