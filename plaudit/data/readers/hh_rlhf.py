"""Anthropic's HH-RLHF: `chosen` and `rejected` transcripts with Human: and Assistant: messages."""

from __future__ import annotations

import itertools
import re

from plaudit.data.readers.reader import Row, field
from plaudit.errors import DataError
from plaudit.types import Message, Messages, Slate, Source

SPEAKER = re.compile(r"\n\n(Human|Assistant):")
ROLE = {"Human": "user", "Assistant": "assistant"}


def recognises(row: Row) -> bool:
    sides = [row.get("chosen"), row.get("rejected")]
    return all(isinstance(s, str) and s.startswith("\n\nHuman:") for s in sides)


def read(row: Row, source: Source) -> Slate:
    sides = [_turns(field(row, name), name) for name in ("chosen", "rejected")]
    prompts = [side[:-1] for side in sides]
    if prompts[0] != prompts[1]:
        raise DataError("the prompts of chosen and rejected differ")
    return Slate(
        prompts[0],
        tuple((side[-1],) for side in sides),
        source,
        preferred=(0,),
        verdict="preferred",
        columns={k: v for k, v in row.items() if k not in ("chosen", "rejected")},
    )


def _turns(text: str, name: str) -> Messages:
    parts = SPEAKER.split(text)
    speakers, contents = parts[1::2], parts[2::2]
    if not speakers or parts[0].strip():
        raise DataError(f"field {name!r} does not begin with '\\n\\nHuman:'")
    messages = [Message(ROLE[s], c.strip()) for s, c in zip(speakers, contents, strict=True)]
    if messages[-1].role != "assistant":
        raise DataError(f"field {name!r} does not end with an Assistant: turn")
    if any(one.role == two.role for one, two in itertools.pairwise(messages)):
        raise DataError(f"field {name!r} has the same speaker twice in a row")
    return tuple(messages)
