"""The Renderer: the one function from a Conversation to token ids.

Training, evaluation and serving all call it, so a conversation cannot become different tokens
in different places. Its rules:

- The chat template is the base's own, made final before training: nothing follows the end
  token of the last message (many templates add a newline there), the end token is always there,
  and a template that prints today's date is pinned to one date. The amended template is what
  the checkpoint saves, so vLLM, TRL and verl render the same. A model trained elsewhere keeps
  its template as saved, and is read at the token that transformers' own class reads.
- The template writes every special token; the tokenizer adds none, so no BOS is doubled.
- Too long a conversation loses its oldest messages first, then the start of its response, then
  the start of the message it answers; never the begin token, the system message or the end of
  the response. Every cut is counted.
- What the template does not show (a message, tool calls, reasoning, tools) or cannot (images) is
  refused; what it leaves out of the response (<think>) is noted.
- Text that spells a special token is read as that token, as every other consumer does.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from plaudit.errors import ModelError, first_line
from plaudit.model.golden import GOLDEN
from plaudit.model.prefix_tree import Ids
from plaudit.types import Conversation

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}"
    "{% if not loop.last %}{{ '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}"
)
PINNED_DAY = date(2024, 7, 26)
PINNED_DATE = f"{{%- set date_string = '{PINNED_DAY:%d %b %Y}' -%}}"
LEADING = ("system", "developer")
CONTENTS = ("tool_calls", "reasoning_content")  # what a message says beside its content
HEAD, MIDDLE = "{%- set plaudit_text %}", "{% endset -%}{{ plaudit_text"
TAIL = " if add_generation_prompt else plaudit_text.rstrip() }}"
ENDED_TAIL = " if add_generation_prompt else plaudit_text.rstrip() ~ eos_token }}"
SHORTEST = 16  # tokens of the message answered that stay

Chat = list[dict[str, Any]]


def clock_of(day: date) -> str:
    """A template's `strftime_now` that stands still, for every format.

    It stands in the template itself, since transformers 5 takes no function from outside.
    """
    formats = ["-d", "-m", "-H", "-I", "-M", "-S", *"aAwdbBmyYHIpMSfzZjUWcxXGuVeDFT"]
    replaced = "".join(f" | replace('%{how}', '{day.strftime('%' + how)}')" for how in formats)
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{replaced} }}}}{{%- endmacro -%}}"


def prints_today(template: str) -> bool:
    """Whether a template reads the clock of the day on which it is rendered."""
    return "strftime_now" in template and "macro strftime_now(" not in template


class Rendered(NamedTuple):
    """Token ids of a conversation, and what was cut to fit: whole messages, tokens in all.

    `types` are an encoder's token types: which of its two texts a token belongs to. `partial`:
    the template leaves out a part of the response.
    """

    ids: Ids
    dropped_messages: int = 0
    dropped_tokens: int = 0
    types: Ids | None = None
    partial: bool = False

    @property
    def key(self) -> bytes:
        """Equal for equal inputs of the model."""
        return self.ids.tobytes() + (b"" if self.types is None else self.types.tobytes())

    @property
    def truncated(self) -> bool:
        return bool(self.dropped_messages or self.dropped_tokens)

    @property
    def notes(self) -> str:
        """What was cut or left out; empty where nothing was."""
        messages = f"{self.dropped_messages} messages and " if self.dropped_messages else ""
        cut = f"cut by {messages}{self.dropped_tokens} tokens to {len(self.ids)}"
        left = "the chat template leaves out a part of the response (<think>, for example)"
        return "; ".join([cut] * self.truncated + [left] * self.partial)


@dataclass(frozen=True)
class Renderer:
    """Conversation to token ids, by the tokenizer's chat template.

    Make it with `Renderer.of(tokenizer, max_length)`, which makes the template final, or, for
    a model already trained, with `Renderer.as_saved`. `pad_id` is the token that transformers'
    class skips at the end of a text; `notes` say what was done where a folder left a choice;
    `vocabulary` is how many tokens the model has embeddings for, where that is known.
    """

    tokenizer: PreTrainedTokenizerBase
    max_length: int
    pad_id: int | None = None
    notes: tuple[str, ...] = ()
    vocabulary: int | None = None

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, max_length: int, template: str | None = None
    ) -> Renderer:
        """The Renderer of a model to be trained: it makes the tokenizer's template final.

        `template` names one of several. Raises ModelError where the tokenizer has no end token.
        """
        if tokenizer.eos_token is None:
            raise ModelError(
                f"the tokenizer of {tokenizer.name_or_path!r} has no end token (eos_token); "
                "set one in its tokenizer_config.json"
            )
        own = copy.deepcopy(tokenizer)  # the caller's stays as it is
        chosen, notes = _own_template(own, template)
        own.chat_template = chosen if HEAD in chosen else _final_template(own, chosen)
        return cls._made(own, max_length, None, notes)

    @classmethod
    def as_saved(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        pad_id: int | None = None,
        template: str | None = None,
    ) -> Renderer:
        """The Renderer of a trained model: its template as it is, but for today's date.

        Other people's models are read where they learned to be read, at the newline after
        the end token where their template adds one; at another token they score by chance.
        `template` names one of several. Raises ModelError where it has to be named.
        """
        own = copy.deepcopy(tokenizer)
        own.chat_template, notes = _own_template(own, template)
        if prints_today(own.chat_template):
            own.chat_template = clock_of(PINNED_DAY) + own.chat_template
            notes += (f"the template prints today's date; {PINNED_DAY:%d %b %Y} is used",)
        return cls._made(own, max_length, pad_id, notes)

    @classmethod
    def _made(
        cls, tokenizer: Any, max_length: int, pad_id: int | None, notes: tuple[str, ...]
    ) -> Renderer:
        if max_length < 16:
            raise ModelError(f"max_length must be at least 16 tokens, found {max_length}")
        tokenizer.truncation_side = "left"
        tokenizer.padding_side = "right"
        return cls(tokenizer, max_length, pad_id, notes)

    def render(self, conversations: Sequence[Conversation]) -> list[Rendered]:
        """Ids of each conversation, in order; raises ModelError on the first that cannot be."""
        if not conversations:
            return []
        texts = [self._text(_chat(c), c.tools) for c in conversations]
        found = []
        for one, text, ids in zip(conversations, texts, self._encode(texts), strict=True):
            refuse_unknown_tokens(ids, self.vocabulary)
            fits = len(ids) <= self.max_length
            rendered = Rendered(self._read(ids)) if fits else self._cut(one)
            shown = _shows(text, one.messages[-1].text)
            found.append(rendered if shown else rendered._replace(partial=True))
        return found

    def render_each(self, conversations: Sequence[Conversation]) -> list[Rendered | ModelError]:
        """Ids of each conversation, or the reason why it has none; one harms none of the others."""
        try:
            return [*self.render(conversations)]
        except ModelError:
            pass
        found: list[Rendered | ModelError] = []
        for conversation in conversations:
            try:
                found += self.render([conversation])
            except ModelError as error:
                found.append(error)
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the rules and of what they make of the golden conversations."""
        rules = {
            "version": 2,
            "template": self.tokenizer.chat_template,
            "max_length": self.max_length,
            "ids": [rendered.ids.tolist() for rendered in self.render(GOLDEN)],
            "vocabulary": len(self.tokenizer),
        }
        return sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()

    # ------------------------------------------------------------------------------- text

    def _text(self, messages: Chat, tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """The conversation in the first spelling that the template takes and shows whole."""
        problem: ModelError | None = None
        for chat in self._spellings(messages):
            try:
                text = self._templated(chat, tools)
            except ModelError as error:
                problem = problem or error
                continue
            hidden = self._hidden(chat, tools, text)
            if hidden is None:
                return text
            problem = ModelError(f"the chat template does not show {hidden}: it would not count")
        raise problem or ModelError("the conversation has no messages")

    def _spellings(self, messages: Chat) -> Iterator[Chat]:
        """As given; `developer` by its older name; arguments and content in their other forms."""
        messages = [_with_arguments(m, _parsed) for m in messages]
        yield messages
        if any(m["role"] == "developer" for m in messages):
            yield [m | {"role": "system"} if m["role"] == "developer" else m for m in messages]
        if any("tool_calls" in m for m in messages):
            yield [_with_arguments(m, json.dumps) for m in messages]
        if "type" in str(self.tokenizer.chat_template):
            yield [m | {"content": [{"type": "text", "text": m["content"]}]} for m in messages]

    def _hidden(self, chat: Chat, tools: Sequence[Mapping[str, Any]], text: str) -> str | None:
        """What of a conversation changes nothing in its text: a message, or what it holds."""
        for index, message in enumerate(chat):
            content = message["content"]
            content = content if isinstance(content, str) else content[0]["text"]
            if not _shows(text, content):
                other = message | {"content": "0" if content != "0" else "1"}
                if self._unchanged([*chat[:index], other, *chat[index + 1 :]], tools, text):
                    return f"message {index + 1} ({message['role']})"
        for name in CONTENTS:
            if any(name in message for message in chat):
                bare = [{k: v for k, v in m.items() if k != name} for m in chat]
                if self._unchanged(bare, tools, text):
                    return f"{name}, which this conversation has"
        if tools and self._unchanged(chat, (), text):
            return "tools, which this conversation has"
        return None

    def _unchanged(self, messages: Chat, tools: Sequence[Mapping[str, Any]], text: str) -> bool:
        try:
            return self._templated(messages, tools) == text
        except ModelError:  # it cannot do without
            return False

    def _templated(self, messages: Chat, tools: Sequence[Mapping[str, Any]]) -> str:
        how: dict[str, Any] = {"tools": list(map(dict, tools))} if tools else {}
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, **how))
        except Exception as error:  # a template raises what its author chose
            roles = ", ".join(message["role"] for message in messages)
            raise ModelError(
                f"the chat template refuses the messages ({roles}): {first_line(error)}"
            ) from error

    def _encode(self, texts: list[str]) -> list[Ids]:
        try:
            batch = self.tokenizer(texts, add_special_tokens=False, verbose=False)
        except (UnicodeError, TypeError) as error:
            raise ModelError(f"the text is not valid Unicode (a lone surrogate): {error}") from None
        return [np.array(ids, dtype=np.int64) for ids in batch["input_ids"]]

    def _read(self, ids: Ids) -> Ids:
        """The ids up to the token that is read: the rightmost that is not the pad token.

        What follows it cannot change a decoder's score. Where every token is the pad token,
        transformers' class reads the first one.
        """
        if not len(ids):
            raise ModelError("the chat template makes no token of this conversation")
        if self.pad_id is None or ids[-1] != self.pad_id:
            return ids
        kept = np.flatnonzero(ids != self.pad_id)
        return ids[: int(kept[-1]) + 1 if len(kept) else 1]

    # --------------------------------------------------------------------------- truncation

    def _cut(self, conversation: Conversation) -> Rendered:
        """Whole messages from the oldest on; then the starts of texts, the response's first."""
        messages = _chat(conversation)
        whole = self._encode([self._text(messages, conversation.tools)])[0]
        fixed = next((i for i, m in enumerate(messages) if m["role"] not in LEADING), 0)
        asked = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=fixed)
        starts = [i for i in range(fixed + 1, asked + 1) if messages[i]["role"] == "user"]
        kept, ids = messages, whole
        for start in starts:  # up to the next user message, so that roles go on alternating
            if len(ids) <= self.max_length:
                break
            kept = messages[:fixed] + messages[start:]
            ids = self._encode([self._text(kept, conversation.tools)])[0]
        gone = len(messages) - len(kept)
        answered = asked - gone
        for index, shortest in (
            (len(kept) - 1, self.max_length // 2),
            *((i, 0) for i in range(answered + 1, len(kept) - 1)),
            (answered, SHORTEST),
        ):
            for _ in range(4):  # a cut text may come out a token longer than counted
                if len(ids) <= self.max_length:
                    break
                text = self._without_start(kept[index], len(ids) - self.max_length, shortest)
                kept = [*kept[:index], kept[index] | {"content": text}, *kept[index + 1 :]]
                ids = self._encode([self._text(kept, conversation.tools)])[0]
        if len(ids) > self.max_length:
            raise ModelError(
                f"{len(whole):,} tokens, and no more than {self.max_length:,} are taken; what must "
                "stay (system message, end of the response) is longer: raise --max-length"
            )
        return Rendered(self._read(ids), gone, len(whole) - len(ids))

    def _without_start(self, message: dict[str, Any], tokens: int, shortest: int) -> str:
        text = str(message["content"])
        if not self.tokenizer.is_fast:
            raise ModelError(
                f"longer than {self.max_length:,} tokens, and this tokenizer cannot tell where to "
                "cut (it is not a fast one, tokenizer.json): raise --max-length or shorten the text"
            )
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        offsets = encoded["offset_mapping"]
        first = min(tokens, max(0, len(offsets) - shortest))
        return text[offsets[first][0] :] if first < len(offsets) else ""


def refuse_unknown_tokens(ids: Ids, vocabulary: int | None) -> None:
    """Raise ModelError on a token that the model has no embedding for."""
    if vocabulary is not None and len(ids) and ids.max() >= vocabulary:
        raise ModelError(
            f"the tokenizer makes token {ids.max()}, and the model has embeddings for "
            f"{vocabulary:,}: take the tokenizer that it was trained with"
        )


def _shows(text: str, content: str) -> bool:
    """Whether a rendered text holds a content, as it is or as JSON, its thoughts set apart."""
    parts = [part.strip() for part in re.split("</?think>", content)]
    return all(part in text or json.dumps(part)[1:-1] in text for part in parts)


def _with_arguments(message: dict[str, Any], form: Callable[[Any], Any]) -> dict[str, Any]:
    """A message whose tool calls have their arguments in another form."""
    if "tool_calls" not in message:
        return message
    calls = []
    for call in message["tool_calls"]:
        function = call.get("function", call)
        function = function | {"arguments": form(function.get("arguments", {}))}
        calls.append(call | {"function": function} if "function" in call else function)
    return message | {"tool_calls": calls}


def _parsed(arguments: Any) -> Any:
    """OpenAI's arguments are JSON text, transformers' templates take what it says."""
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments


def _chat(conversation: Conversation) -> Chat:
    """The messages for a chat template of text; raises ModelError on images and audio."""
    chat = conversation.chat()
    for message, own in zip(chat, conversation.messages, strict=True):
        if not isinstance(own.content, str):
            others = sorted({str(p["type"]) for p in own.content if p["type"] != "text"})
            if others:
                raise ModelError(
                    f"the conversation holds {', '.join(others)}; this model reads text"
                )
            message["content"] = own.text
    return chat


# -------------------------------------------------------------------------------- templates


def _own_template(tokenizer: Any, name: str | None) -> tuple[str, tuple[str, ...]]:
    """The tokenizer's template, and what is to be said of it."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        chosen = name or "default"
        if chosen not in template:
            raise ModelError(
                f"{tokenizer.name_or_path} has several chat templates and no {chosen!r}: choose "
                f"one with --template {' | '.join(template)}"
            )
        return str(template[chosen]), ()
    if name is not None and name not in ("default", "plain"):
        raise ModelError(f"--template {name}: {tokenizer.name_or_path} has no named templates")
    if template is None or name == "plain":
        note = "no chat template: the conversation is read as plain text (User: … Assistant: …)"
        return PLAIN_TEMPLATE, (note,)
    return str(template), ()


def _final_template(tokenizer: Any, original: str) -> str:
    clock = clock_of(PINNED_DAY) + PINNED_DATE if prints_today(original) else ""
    tokenizer.chat_template = clock + HEAD + original + MIDDLE + TAIL
    probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    try:
        text = str(tokenizer.apply_chat_template(probe, tokenize=False))
    except Exception as error:
        raise ModelError(
            f"the chat template of {tokenizer.name_or_path} cannot be used: {error}"
        ) from error
    end = TAIL if _ends_turn(tokenizer, text) else ENDED_TAIL
    return clock + HEAD + original + MIDDLE + end


def _ends_turn(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether a rendered conversation ends with a special token."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    token: Any = tokenizer.convert_ids_to_tokens(ids[-1])
    added = tokenizer.added_tokens_decoder.get(ids[-1])
    return token in tokenizer.all_special_tokens or bool(added and added.special)
