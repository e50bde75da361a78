"""What a reader is, and the small pieces that readers share."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from plaudit.errors import DataError
from plaudit.types import Message, Messages, Origin, Slate, Source, as_messages

__all__ = [
    "Reader",
    "field",
    "number",
    "origins",
    "prompt_messages",
    "remaining",
    "response_messages",
]

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
    """A finite number; None where the field is absent, empty, NaN or infinite: unknown."""
    return known_number(row.get(name), f"field {name!r}")


def known_number(value: Any, what: str) -> float | None:
    """The finite number that a value is, None where it is unknown."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{what} must be a number, found {value!r:.40}") from None
    return result if math.isfinite(result) else None


def prompt_messages(value: Any) -> Messages:
    """A prompt: plain text is one user turn; messages are taken as they are."""
    if isinstance(value, str):
        return (Message("user", value),)
    if isinstance(value, (list, tuple)):
        return as_messages(value)
    raise DataError(f"a prompt must be text or messages, found {type(value).__name__}")


def response_messages(value: Any) -> Messages:
    """A response: plain text is one assistant turn; messages must end with one."""
    if isinstance(value, str):
        return (Message("assistant", value),)
    if isinstance(value, (list, tuple)):
        messages = as_messages(value)
        if messages and messages[-1].role == "assistant":
            return messages
        raise DataError("a response's messages must end with an assistant turn")
    raise DataError(f"a response must be text or messages, found {type(value).__name__}")


NOTHING: Mapping[str, Any] = {}


def remaining(row: Row, used: Collection[str]) -> Mapping[str, Any]:
    """The columns not used for the comparison, as they are, for slices and groups."""
    found = {
        name: value
        for name, value in row.items()
        if name not in used and isinstance(value, (str, int, float, bool))
    }
    return found or NOTHING  # one for all the rows that have none


def origins(row: Row, items: Sequence[Any] = ()) -> tuple[Origin | None, ...]:
    """Who wrote the responses, where the row or the responses' own objects say so."""
    for name in ("model", "origin", "generator"):
        if row.get(f"{name}_a") and row.get(f"{name}_b"):
            return tuple(_origin(row[f"{name}_{side}"]) for side in "ab")
    for name in ("models", "origins", "generators"):
        if isinstance(row.get(name), list) and (not items or len(row[name]) == len(items)):
            return tuple(map(_origin, row[name]))
    found = tuple(_origin(item) if isinstance(item, dict) else None for item in items)
    return found if any(found) else ()


def _origin(value: Any) -> Origin | None:
    if isinstance(value, dict):
        model = value.get("model") or value.get("origin") or value.get("generator")
        sampling = value.get("sampling")
        return Origin(str(model), sampling if isinstance(sampling, dict) else {}) if model else None
    return Origin(str(value)) if value else None
