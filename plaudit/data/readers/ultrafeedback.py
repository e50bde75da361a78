"""UltraFeedback: `instruction` and `completions` with an `overall_score` (or fine-grained)."""

from __future__ import annotations

from typing import Any

from plaudit.data.readers.messages import response_messages
from plaudit.data.readers.reader import Fields, Row, known_number
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    items = row.get("completions")
    return "instruction" in row and isinstance(items, list) and bool(items) and (
        isinstance(items[0], dict) and "response" in items[0]
    )  # fmt: skip


def read(fields: Fields, source: Source) -> Slate:
    items = fields.need("completions")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise DataError("'completions' must be a list of objects")
    return fields.slate(
        source,
        fields.prompt("instruction"),
        [response_messages(item.get("response")) for item in items],
        items,
        ratings=tuple(_rating(item) for item in items),
    )


def _rating(completion: dict[str, Any]) -> float | None:
    for name in ("overall_score", "fine-grained_score"):
        if completion.get(name) is not None:
            return known_number(completion[name], name)
    return None
