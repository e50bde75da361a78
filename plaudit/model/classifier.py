"""Other people's one-label classifiers, scored through transformers' own forward.

Encoders, whose special tokens their tokenizer makes, as a pair (prompt, response) or as one
text; and decoders whose score is not a linear head on the engine's features. `train` refuses
them. Heads run in float32 whatever the body runs in: in bfloat16 most scores would be ties.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from plaudit.errors import ModelError
from plaudit.model.renderer import Rendered, Renderer, refuse_unknown_tokens
from plaudit.model.scoring import score_rendered
from plaudit.scoring_api import Scoring
from plaudit.types import Conversation, Message, Scores

BATCH_TOKENS = 4096
Input = Literal["pair", "text"]


class Classifier(Scoring):
    """A Scorer around a transformers sequence classifier and what makes its tokens."""

    def __init__(
        self, model: Any, renderer: Renderer | PairRenderer, notes: tuple[str, ...] = ()
    ) -> None:
        self.model, self.renderer, self.notes = model, renderer, notes
        self.contract: dict[str, Any] = {}
        # Right padding leaves an encoder's score alone; a decoder's is read by the pad token, so
        # only equal lengths share a batch, and none where the class refuses it for want of a pad.
        self._pads = isinstance(renderer, PairRenderer)
        self._batches = model.config.get_text_config().pad_token_id is not None

    @property
    def how(self) -> str:
        """The precision that scores are computed with, in words."""
        dtype = str(self.model.base_model.dtype).removeprefix("torch.")
        return f"{dtype}, head float32, on {self.model.device}; transformers' own forward"

    def score_conversations(self, conversations: Sequence[Conversation]) -> Scores:
        """Raw logits in input order."""
        return score_rendered(self.renderer.render_each(conversations), self._score_ids)

    @torch.inference_mode()
    def _score_ids(self, inputs: Sequence[Rendered]) -> Iterator[tuple[list[int], Any, None]]:
        order = sorted(range(len(inputs)), key=lambda i: len(inputs[i].ids), reverse=True)
        start = 0
        while start < len(order):
            length = len(inputs[order[start]].ids)
            size = max(1, BATCH_TOKENS // max(1, length))
            if not self._pads:
                size = sum(len(inputs[i].ids) == length for i in order[start : start + size])
                size = size if self._batches else 1
            indices = order[start : start + size]
            start += size
            batch = self._batch([inputs[index] for index in indices])
            logits = self.model(**batch).logits
            yield indices, logits[:, 0].double().cpu().numpy(), None

    def _batch(self, inputs: list[Rendered]) -> dict[str, torch.Tensor]:
        if isinstance(self.renderer, PairRenderer):
            batch = self.renderer.padded(inputs)
        else:
            ids = torch.from_numpy(np.stack([one.ids for one in inputs]))
            batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if getattr(self.model.config, "type_vocab_size", 2) < 2:
            batch.pop("token_type_ids", None)  # RoBERTa has one type, whatever its tokenizer says
        return {name: value.to(self.model.device) for name, value in batch.items()}


class PairRenderer:
    """Conversation to an encoder's token ids, with the special tokens that its tokenizer makes.

    Args:
        input: "pair" gives the tokenizer (prompt, response), "text" one text; None takes the
            pair where the tokenizer has one.
        vocabulary: how many tokens the model has embeddings for.
    """

    def __init__(
        self,
        tokenizer: Any,
        max_length: int,
        input: Input | None = None,
        vocabulary: int | None = None,
    ) -> None:
        special = tokenizer.num_special_tokens_to_add
        has_pair = special(pair=True) > special(pair=False) > 0
        if input == "pair" and not has_pair:
            raise ModelError(f"--input pair: {tokenizer.name_or_path} has no pairs; use text")
        if tokenizer.pad_token is None:
            raise ModelError(
                f"the tokenizer of {tokenizer.name_or_path} has no pad token (pad_token); "
                "set one in its tokenizer_config.json"
            )
        self.tokenizer, self.max_length = copy.deepcopy(tokenizer), max_length
        self.vocabulary = vocabulary
        self.tokenizer.truncation_side = "left"  # the response's end stays
        self.pairs = has_pair if input is None else input == "pair"
        kind = "a pair (prompt, response)" if self.pairs else "one text"
        other = "text" if self.pairs else "pair"
        self.notes = (f"an encoder, given {kind}; --input {other} for the other way",)

    def render_each(self, conversations: Sequence[Conversation]) -> list[Rendered | ModelError]:
        """Ids and token types of each, or why it has none."""
        found: list[Rendered | ModelError] = []
        for conversation in conversations:
            try:
                found.append(self._render(conversation))
            except (ModelError, UnicodeError, TypeError) as error:
                found.append(ModelError(str(error)))
        return found

    def render(self, conversations: Sequence[Conversation]) -> list[Rendered]:
        """As `render_each`; raises ModelError on the first that cannot be rendered."""
        return [self._render(conversation) for conversation in conversations]

    def padded(self, inputs: list[Rendered]) -> dict[str, torch.Tensor]:
        """The model's inputs [B, T], padded right."""
        rows = [{"input_ids": one.ids, "token_type_ids": one.types} for one in inputs]
        batch = dict(self.tokenizer.pad(rows, return_tensors="pt", padding_side="right"))
        if "token_type_ids" not in self.tokenizer.model_input_names:
            batch.pop("token_type_ids")
        return batch

    def _render(self, conversation: Conversation) -> Rendered:
        *prompt, response = conversation.messages
        for message in conversation.messages:
            if message.fields or not isinstance(message.content, str):
                raise ModelError("tools, images and reasoning are not read by an encoder")
        texts = [self._prompt(prompt), response.text]
        if not self.pairs:
            texts = [self._labelled(conversation.messages)]
        whole = self.tokenizer(*texts, verbose=False)["input_ids"]
        encoded = self.tokenizer(
            *texts,
            truncation="only_first" if self.pairs else True,
            max_length=self._room(texts),
            return_token_type_ids=True,
            verbose=False,
        )
        ids, types = (
            np.array(encoded[name], dtype=np.int64) for name in ("input_ids", "token_type_ids")
        )
        refuse_unknown_tokens(ids, self.vocabulary)
        return Rendered(ids, 0, len(whole) - len(ids), types)

    def _room(self, texts: list[str]) -> int:
        """The limit; refuses a response that alone is beyond it."""
        if self.pairs:
            response = len(self.tokenizer(texts[1], verbose=False)["input_ids"])
            if response + 4 > self.max_length:
                raise ModelError(
                    f"the response alone has {response:,} tokens, and no more than "
                    f"{self.max_length:,} are taken"
                )
        return self.max_length

    def _prompt(self, messages: list[Message]) -> str:
        return messages[0].text if len(messages) == 1 else self._labelled(messages)

    @staticmethod
    def _labelled(messages: Sequence[Message]) -> str:
        return "\n\n".join(f"{m.role.capitalize()}: {m.text}" for m in messages)


def set_body_dtype(model: Any, dtype: torch.dtype) -> None:
    """Run a classifier's body in `dtype` and everything after it in float32, in place."""
    body = model.base_model
    body.to(dtype)

    def exact(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            x.float() if torch.is_tensor(x) and x.is_floating_point() else x for x in inputs
        )

    for child in model.children():
        if child is not body:
            child.float().register_forward_pre_hook(exact)
