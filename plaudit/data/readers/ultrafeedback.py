"""UltraFeedback: `instruction` and `completions` with an `overall_score` (or fine-grained)."""

from __future__ import annotations

from typing import Any

from plaudit.data.readers.reader import (
    Row,
    field,
    known_number,
    prompt_messages,
    remaining,
    response_messages,
)
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    completions = row.get("completions")
    return "instruction" in row and isinstance(completions, list) and bool(completions)


def read(row: Row, source: Source) -> Slate:
    completions = field(row, "completions")
    return Slate(
        prompt_messages(field(row, "instruction")),
        tuple(response_messages(field(completion, "response")) for completion in completions),
        source,
        ratings=tuple(_rating(completion) for completion in completions),
        columns=remaining(row, ("instruction", "completions")),
    )


def _rating(completion: Any) -> float | None:
    for name in ("overall_score", "fine-grained_score"):
        if completion.get(name) is not None:
            return known_number(completion[name], name)
    return None
