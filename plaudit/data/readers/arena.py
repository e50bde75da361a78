"""Chatbot Arena battles: two conversations and a `winner`, in the layouts published so far."""

from __future__ import annotations

import json
from typing import Any

from plaudit.data.readers.reader import (
    Row,
    field,
    origins,
    prompt_messages,
    remaining,
    response_messages,
)
from plaudit.data.readers.two_responses import Label, read_label
from plaudit.errors import DataError
from plaudit.types import Slate, Source, as_messages

WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")


def recognises(row: Row) -> bool:
    conversations = {"conversation_a", "conversation_b", "winner"} <= row.keys()
    return conversations or {"response_a", "response_b", *WINNERS} <= row.keys()


def read(row: Row, source: Source) -> Slate:
    if "conversation_a" in row:
        sides = [as_messages(field(row, name)) for name in ("conversation_a", "conversation_b")]
        if not sides[0] or not sides[1] or sides[0][0] != sides[1][0]:
            raise DataError("the two conversations begin with different prompts")
        # Later user messages may repeat, but each model answered its own history: the responses
        # are everything after the first user turn.
        start = next(i for i, message in enumerate(sides[0]) if message.role == "user") + 1
        prompt, responses = sides[0][:start], [response_messages(list(s[start:])) for s in sides]
        label = read_label(field(row, "winner"))
    else:
        prompts, texts = _list(row, "prompt"), [_list(row, f"response_{s}") for s in "ab"]
        if len(prompts) != 1:
            raise DataError(f"{len(prompts)} prompts in one row; only single messages are read")
        prompt, responses = (
            prompt_messages(prompts[0]),
            [response_messages(text[0]) for text in texts],
        )
        label = _flags(row)
    return Slate(
        prompt,
        tuple(responses),
        source,
        preferred=label.preferred,
        verdict=label.verdict,
        origins=origins(row),
        columns=remaining(row, ("conversation_a", "conversation_b", "winner", *WINNERS)),
    )


def _list(row: Row, name: str) -> list[Any]:
    value = field(row, name)
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise DataError(f"field {name!r} looks like a JSON list, but is none") from None
    return value if isinstance(value, list) else [value]


def _flags(row: Row) -> Label:
    a, b = (str(row[name]) in ("1", "1.0", "True", "true") for name in WINNERS[:2])
    return read_label("a" if a else "b" if b else "tie")
