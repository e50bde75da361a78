"""Other people's one-label classifiers with a pooling head of their own (encoders).

They are scored and evaluated through their own forward; `train` refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from plaudit.model.prefix_tree import Ids
from plaudit.model.renderer import Renderer
from plaudit.model.scoring import score_rendered
from plaudit.types import Conversation, Scores

BATCH_TOKENS = 4096


class PooledClassifier:
    """A Scorer around a transformers sequence classifier: sorted, padded batches."""

    def __init__(self, model: Any, renderer: Renderer) -> None:
        self.model, self.renderer = model, renderer

    def score(self, conversations: Sequence[Conversation]) -> Scores:
        """Raw logits in input order."""
        return score_rendered(self.renderer, conversations, self._score_ids)

    @torch.inference_mode()
    def _score_ids(self, sequences: Sequence[Ids]) -> Iterator[tuple[list[int], Any, None]]:
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]), reverse=True)
        start = 0
        while start < len(order):
            size = max(1, BATCH_TOKENS // max(1, len(sequences[order[start]])))
            indices = order[start : start + size]
            start += size
            ids = [sequences[index] for index in indices]
            batch = self.renderer.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
            logits = self.model(
                **{k: batch[k].to(self.model.device) for k in ("input_ids", "attention_mask")}
            ).logits
            yield indices, logits[:, 0].double().cpu().numpy(), None
