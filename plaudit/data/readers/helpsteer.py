"""NVIDIA's HelpSteer2-Preference and HelpSteer3-Preference: strength from −3 (1) to 3 (2)."""

from __future__ import annotations

from plaudit.data.readers.reader import (
    Row,
    field,
    number,
    prompt_messages,
    remaining,
    response_messages,
)
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises_2(row: Row) -> bool:
    return {"prompt", "response_1", "response_2", "preference_strength"} <= row.keys()


def recognises_3(row: Row) -> bool:
    return {"context", "response1", "response2", "overall_preference"} <= row.keys()


def read_2(row: Row, source: Source) -> Slate:
    return _read(row, source, "prompt", ("response_1", "response_2"), "preference_strength")


def read_3(row: Row, source: Source) -> Slate:
    return _read(row, source, "context", ("response1", "response2"), "overall_preference")


def _read(
    row: Row, source: Source, prompt: str, responses: tuple[str, str], preference: str
) -> Slate:
    value = number(row, preference)
    if value is None or not -3 <= value <= 3:
        raise DataError(f"field {preference!r} must lie between -3 and 3, found {value}")
    return Slate(
        prompt_messages(field(row, prompt)),
        tuple(response_messages(field(row, name)) for name in responses),
        source,
        preferred=() if value == 0 else (0,) if value < 0 else (1,),
        verdict="tie" if value == 0 else "preferred",
        strength=abs(value),
        columns=remaining(row, (prompt, *responses, preference)),
    )
