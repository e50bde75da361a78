"""NVIDIA's HelpSteer2 and 3: preferences from −3 (1) to 3 (2), and ratings of single responses.

The rating rows (`helpfulness` from 0 to 4 and four more) of one prompt become one Slate whose
responses are rated by helpfulness; the other attributes are not read.
"""

from __future__ import annotations

from collections.abc import Sequence

from plaudit.data.readers.messages import response_messages
from plaudit.data.readers.reader import Fields, Row, known_number
from plaudit.errors import DataError
from plaudit.types import Slate, Source, canonical_json

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def recognises_2(row: Row) -> bool:
    return {"prompt", "response_1", "response_2", "preference_strength"} <= row.keys()


def recognises_3(row: Row) -> bool:
    return {"context", "response1", "response2", "overall_preference"} <= row.keys()


def recognises_ratings(row: Row) -> bool:
    return {"prompt", "response", "helpfulness"} <= row.keys()


def read_2(fields: Fields, source: Source) -> Slate:
    return _read(fields, source, "prompt", ("response_1", "response_2"), "preference_strength")


def read_3(fields: Fields, source: Source) -> Slate:
    return _read(fields, source, "context", ("response1", "response2"), "overall_preference")


def _read(
    fields: Fields, source: Source, prompt: str, names: tuple[str, str], preference: str
) -> Slate:
    value = fields.number(preference, "label")
    if value is not None and not -3 <= value <= 3:
        raise DataError(f"field {preference!r} must lie between -3 and 3, found {value:g}")
    return fields.slate(
        source,
        fields.prompt(prompt),
        [
            response_messages(fields.need(f"response {s}", n))
            for s, n in zip("ab", names, strict=True)
        ],
        preferred=() if not value else (0,) if value < 0 else (1,),
        verdict=None if value is None else "tie" if value == 0 else "preferred",
        strength=None if value is None else abs(value),
    )


def key(row: Row) -> str:
    """What rows of one prompt share."""
    if row.get("prompt") is None or row.get("response") is None:
        raise DataError("fields 'prompt' and 'response' are needed")
    known_number(row.get("helpfulness"), "field 'helpfulness'")
    return canonical_json(row["prompt"])


def together(rows: Sequence[Row]) -> Row:
    """One row of the rating rows of a prompt."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {"prompt": rows[0]["prompt"]} | {
        name: [row.get(name) for row in rows] for name in names if name != "prompt"
    }


def read_ratings(fields: Fields, source: Source) -> Slate:
    helpful = fields.need("ratings", "helpfulness")
    return fields.slate(
        source,
        fields.prompt("prompt"),
        [response_messages(each) for each in fields.need("responses", "response")],
        ratings=tuple(known_number(each, "field 'helpfulness'") for each in helpful),
    )
