"""OpenAI's preference fine-tuning: `input`, `preferred_output`, `non_preferred_output`."""

from __future__ import annotations

from plaudit.data.readers.messages import prompt_messages, response_messages
from plaudit.data.readers.reader import Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    return {"input", "preferred_output", "non_preferred_output"} <= row.keys()


def read(fields: Fields, source: Source) -> Slate:
    given = fields.need("prompt", "input")
    if not isinstance(given, dict):
        raise DataError(f"'input' must be an object with messages, found {type(given).__name__}")
    sides = (("chosen", "preferred_output"), ("rejected", "non_preferred_output"))
    return fields.slate(
        source,
        prompt_messages(given.get("messages")),
        [response_messages(fields.need(*side)) for side in sides],
        tools=given.get("tools"),
        preferred=(0,),
        verdict="preferred",
    )
