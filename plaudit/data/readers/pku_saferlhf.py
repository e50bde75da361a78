"""PKU-SafeRLHF: `response_0`, `response_1` and the index of the better one.

`better_response_id` says which is more helpful, and is the label; `safer_response_id` and the
harms stay as columns.
"""

from __future__ import annotations

from plaudit.data.readers.messages import response_messages
from plaudit.data.readers.reader import Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source


def recognises(row: Row) -> bool:
    return {"prompt", "response_0", "response_1", "better_response_id"} <= row.keys()


def read(fields: Fields, source: Source) -> Slate:
    better = fields.number("better_response_id", "label")
    if better not in (0.0, 1.0, None):
        raise DataError(f"better_response_id must be 0 or 1, found {better:g}")
    return fields.slate(
        source,
        fields.prompt("prompt"),
        [
            response_messages(fields.need(f"response {side}", f"response_{i}"))
            for i, side in enumerate("ab")
        ],
        preferred=() if better is None else (int(better),),
        verdict=None if better is None else "preferred",
    )
