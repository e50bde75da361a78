"""Anthropic's HH-RLHF: `chosen` and `rejected` transcripts with Human: and Assistant: turns."""

from __future__ import annotations

from plaudit.data.readers import trl
from plaudit.data.readers.reader import Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    sides = [row.get("chosen"), row.get("rejected")]
    return row.get("prompt") is None and all(
        isinstance(side, str) and side.startswith("\n\nHuman:") for side in sides
    )


def read(fields: Fields, source: Source) -> Slate:
    slate = trl.read(fields, source)
    if any(len(response) > 1 for response in slate.responses):
        raise DataError("the prompts of chosen and rejected differ")
    return slate
