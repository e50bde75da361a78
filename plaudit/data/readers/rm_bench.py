"""RM-Bench (THU-KEG): `chosen[3]` and `rejected[3]`, each concise, detailed, with Markdown."""

from __future__ import annotations

from plaudit.data.readers.messages import response_messages
from plaudit.data.readers.reader import Fields, Row
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


def read(fields: Fields, source: Source) -> Slate:
    chosen, rejected = fields.need("chosen"), fields.need("rejected")
    if not isinstance(chosen, list) or not len(chosen) == len(rejected) == STYLES:
        raise DataError(f"expected {STYLES} chosen and {STYLES} rejected responses, one per style")
    return fields.slate(
        source,
        fields.prompt("prompt"),
        [response_messages(response) for response in [*chosen, *rejected]],
        preferred=tuple(range(STYLES)),
        verdict="preferred",
    )
