"""The Renderer: the one function from a Conversation to token ids.

Training, evaluation and serving all call it, so a conversation cannot become different tokens
in different places. Its rules:

- The chat template is the base's own, made final before training: nothing follows the end
  token of the last turn (many templates add a newline there), the end token is always there,
  and a template that prints today's date is pinned to one date. The amended template is what
  the checkpoint saves, so vLLM, TRL and verl render the same. A model trained elsewhere keeps
  its template as saved.
- The template writes every special token; the tokenizer adds none, so no BOS is doubled.
- Too long a conversation loses its oldest messages first (a system turn stays), then the start of
  its prompt; never the end of the response. Every cut is counted.
- Text that spells a special token is read as that token, as every other consumer does.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from plaudit.errors import ModelError
from plaudit.model.golden import GOLDEN
from plaudit.model.prefix_tree import Ids
from plaudit.types import Conversation

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if not loop.last %}{{ '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}"
)
PINNED_DATE = "{%- set date_string = '26 Jul 2024' -%}"
HEAD, MIDDLE = "{%- set plaudit_text %}", "{% endset -%}{{ plaudit_text"
TAIL = " if add_generation_prompt else plaudit_text.rstrip() }}"
ENDED_TAIL = " if add_generation_prompt else plaudit_text.rstrip() ~ eos_token }}"


TemplateRule = Callable[[PreTrainedTokenizerBase], str]


class Rendered(NamedTuple):
    """Token ids of a conversation, and what was cut to fit: whole messages, single tokens."""

    ids: Ids
    dropped_turns: int
    dropped_tokens: int

    @property
    def truncated(self) -> bool:
        return bool(self.dropped_turns or self.dropped_tokens)


@dataclass(frozen=True)
class Renderer:
    """Conversation to token ids, by the tokenizer's chat template.

    Make it with `Renderer.of(tokenizer, max_length)`, which makes the template final, or, for
    a model already trained, with `Renderer.as_saved`.
    Raises ModelError where the tokenizer has no end token.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Renderer:
        """The Renderer of a model to be trained: it makes the tokenizer's template final."""
        return cls._checked(tokenizer, max_length, _final_template)

    @classmethod
    def as_saved(cls, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Renderer:
        """The Renderer of a trained model: its template as it is, but for today's date.

        Other people's models are read where they learned to be read, at the newline after
        the end token where their template adds one; at another token they score by chance.
        """
        return cls._checked(tokenizer, max_length, _saved_template)

    @classmethod
    def _checked(
        cls, tokenizer: PreTrainedTokenizerBase, max_length: int, rule: TemplateRule
    ) -> Renderer:
        if tokenizer.eos_token is None:
            raise ModelError(
                f"the tokenizer of {tokenizer.name_or_path!r} has no end token (eos_token); "
                "set one in its tokenizer_config.json"
            )
        if max_length < 16:
            raise ModelError(f"max_length must be at least 16 tokens, found {max_length}")
        tokenizer = copy.deepcopy(tokenizer)  # the caller's stays as it is
        tokenizer.chat_template = rule(tokenizer)
        tokenizer.truncation_side = "left"
        tokenizer.padding_side = "right"
        return cls(tokenizer, max_length)

    def render(self, conversations: Sequence[Conversation]) -> list[Rendered]:
        """Ids of each conversation, in order."""
        if not conversations:
            return []
        texts = [self._text(c.chat()) for c in conversations]
        encoded = self._encode(texts)
        return [
            Rendered(ids, 0, 0) if len(ids) <= self.max_length else self._cut(conversation)
            for conversation, ids in zip(conversations, encoded, strict=True)
        ]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the rules and of what they make of the golden conversations."""
        rules = {
            "version": 1,
            "template": self.tokenizer.chat_template,
            "max_length": self.max_length,
            "ids": [rendered.ids.tolist() for rendered in self.render(GOLDEN)],
            "vocabulary": len(self.tokenizer),
        }
        return sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

    def _text(self, messages: list[dict[str, str]]) -> str:
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False))
        except Exception as error:  # a template raises what its author chose
            roles = ", ".join(message["role"] for message in messages)
            raise ModelError(f"the chat template refuses messages ({roles}): {error}") from error

    def _encode(self, texts: list[str]) -> list[Ids]:
        batch = self.tokenizer(texts, add_special_tokens=False, verbose=False)
        return [np.array(ids, dtype=np.int64) for ids in batch["input_ids"]]

    def _cut(self, conversation: Conversation) -> Rendered:
        """Drop the oldest messages until it fits; then the first tokens."""
        messages = conversation.chat()
        kept = 1 if messages[0]["role"] == "system" else 0
        system, messages = messages[:kept], messages[kept:]
        dropped = 0
        ids = self._encode([self._text(system + messages)])[0]
        while len(ids) > self.max_length and len(messages) > 2:
            # Drop to the next user turn, so that roles go on alternating.
            step = next(
                (k for k in range(1, len(messages) - 1) if messages[k]["role"] == "user"), None
            )
            if step is None:
                break
            messages, dropped = messages[step:], dropped + step
            ids = self._encode([self._text(system + messages)])[0]
        excess = max(0, len(ids) - self.max_length)
        return Rendered(ids[excess:], dropped, excess)


def _saved_template(tokenizer: PreTrainedTokenizerBase) -> str:
    own = _own_template(tokenizer)
    return _final_template(tokenizer) if own is None else _date(own) + own


def _final_template(tokenizer: PreTrainedTokenizerBase) -> str:
    own = _own_template(tokenizer)
    if own is not None and HEAD in own:
        return own  # already final: a plaudit checkpoint
    original = own or PLAIN_TEMPLATE
    final = _date(original) + HEAD + original + MIDDLE + TAIL
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    tokenizer.chat_template = final
    text = str(tokenizer.apply_chat_template(probe, tokenize=False))
    if _ends_turn(tokenizer, text):
        return final
    return _date(original) + HEAD + original + MIDDLE + ENDED_TAIL


def _own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    return None if template is None else str(template)


def _date(template: str) -> str:
    pinned = PINNED_DATE in template or "strftime_now" not in template
    return "" if pinned else PINNED_DATE


def _ends_turn(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a rendered conversation ends with a special token."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    token: Any = tokenizer.convert_ids_to_tokens(ids[-1])
    added = tokenizer.added_tokens_decoder.get(ids[-1])
    return token in tokenizer.all_special_tokens or bool(added and added.special)
