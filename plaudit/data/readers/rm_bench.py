"""RM-Bench (THU-KEG): `chosen[3]` and `rejected[3]`, each concise, detailed, with Markdown."""

from __future__ import annotations

from plaudit.data.readers.reader import Row, field, prompt_messages, remaining, response_messages
from plaudit.errors import DataError
from plaudit.types import Slate, Source

STYLES = 3


def recognises(row: Row) -> bool:
    sides = (row.get("chosen"), row.get("rejected"))
    triples = all(
        isinstance(s, list) and len(s) == STYLES and all(isinstance(t, str) for t in s)
        for s in sides
    )
    return triples and "prompt" in row and "num_correct" not in row


def read(row: Row, source: Source) -> Slate:
    chosen, rejected = field(row, "chosen"), field(row, "rejected")
    if len(chosen) != STYLES or len(rejected) != STYLES:
        raise DataError(f"expected {STYLES} chosen and {STYLES} rejected responses, one a style")
    return Slate(
        prompt_messages(field(row, "prompt")),
        tuple(response_messages(response) for response in [*chosen, *rejected]),
        source,
        preferred=tuple(range(STYLES)),
        verdict="preferred",
        columns=remaining(row, ("prompt", "chosen", "rejected")),
    )
