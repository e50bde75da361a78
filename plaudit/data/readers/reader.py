"""What a reader is, and the small pieces that readers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from plaudit.errors import DataError
from plaudit.types import Slate, Source, Turn, Turns, as_turns

__all__ = ["Reader", "field", "number", "prompt_turns", "remaining", "reply_turns"]

Row = Mapping[str, Any]


class Reader(NamedTuple):
    """`recognises(row)` and `read(row, source) -> Slate`, which raises DataError on a bad row."""

    recognises: Callable[[Row], bool]
    read: Callable[[Row, Source], Slate]


def field(row: Row, name: str) -> Any:
    """A field that must be there."""
    if row.get(name) is None:
        raise DataError(f"field {name!r} is missing")
    return row[name]


def number(row: Row, name: str) -> float | None:
    """A finite number, None where the field is absent or empty."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise DataError(f"field {name!r} must be a number, found {value!r:.40}") from None
    if not math.isfinite(result):
        raise DataError(f"field {name!r} must be finite, found {value!r:.40}")
    return result


def prompt_turns(value: Any) -> Turns:
    """A prompt: plain text is one user turn; messages are taken as they are."""
    if isinstance(value, str):
        return (Turn("user", value),)
    if isinstance(value, (list, tuple)):
        return as_turns(value)
    raise DataError(f"a prompt must be text or messages, found {type(value).__name__}")


def reply_turns(value: Any) -> Turns:
    """A reply: plain text is one assistant turn; messages must end with one."""
    if isinstance(value, str):
        return (Turn("assistant", value),)
    if isinstance(value, (list, tuple)):
        turns = as_turns(value)
        if turns and turns[-1].role == "assistant":
            return turns
        raise DataError("a reply's messages must end with an assistant turn")
    raise DataError(f"a reply must be text or messages, found {type(value).__name__}")


def remaining(row: Row, used: Collection[str]) -> dict[str, Any]:
    """The columns not used for the comparison, as they are, for slices and groups."""
    return {
        name: value
        for name, value in row.items()
        if name not in used and isinstance(value, (str, int, float, bool))
    }
