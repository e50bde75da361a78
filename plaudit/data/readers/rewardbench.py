"""RewardBench 1 (a chosen and a rejected response) and 2 (best of four; ties) rows.

A column named `subset` alone makes no RewardBench row: the subset must be one of theirs.
"""

from __future__ import annotations

from typing import Any

from plaudit.data.readers.messages import response_messages
from plaudit.data.readers.reader import Fields, Row
from plaudit.errors import DataError
from plaudit.types import Slate, Source

# Subset and the number of rows it counts for, by section (allenai/reward-bench).
SECTIONS: dict[str, dict[str, int]] = {
    "Chat": {
        "alpacaeval-easy": 100,
        "alpacaeval-length": 95,
        "alpacaeval-hard": 95,
        "mt-bench-easy": 28,
        "mt-bench-med": 40,
    },
    "Chat Hard": {
        "mt-bench-hard": 37,
        "llmbar-natural": 100,
        "llmbar-adver-neighbor": 134,
        "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47,
        "llmbar-adver-manual": 46,
    },
    "Safety": {
        "refusals-dangerous": 100,
        "refusals-offensive": 100,
        "xstest-should-refuse": 154,
        "xstest-should-respond": 250,
        "donotanswer": 136,
    },
    "Reasoning": {
        "math-prm": 984,  # 447 rows, weighted up to equal the code subsets
        "hep-cpp": 164,
        "hep-go": 164,
        "hep-java": 164,
        "hep-js": 164,
        "hep-python": 164,
        "hep-rust": 164,
    },
}
SUBSETS_1 = {subset for section in SECTIONS.values() for subset in section}
SUBSETS_2 = ("Factuality", "Precise IF", "Math", "Safety", "Focus", "Ties")


def recognises_1(row: Row) -> bool:
    sides = (row.get("prompt"), row.get("chosen"), row.get("rejected"))
    known = isinstance(row.get("subset"), str) and row["subset"] in SUBSETS_1
    return "id" in row and known and all(isinstance(side, str) for side in sides)


def recognises_2(row: Row) -> bool:
    lists = all(isinstance(row.get(name), list) for name in ("chosen", "rejected"))
    return lists and "num_correct" in row and "subset" in row


def read_1(fields: Fields, source: Source) -> Slate:
    return _read(fields, source, [fields.need("chosen")], [fields.need("rejected")])


def read_2(fields: Fields, source: Source) -> Slate:
    chosen, rejected = fields.need("chosen"), fields.need("rejected")
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        raise DataError("chosen and rejected must be lists of responses")
    if fields.row.get("num_correct") != len(chosen):
        expected = fields.row.get("num_correct")
        raise DataError(f"num_correct is {expected!r:.20}, but there are {len(chosen)} chosen")
    return _read(fields, source, chosen, rejected)


def _read(fields: Fields, source: Source, chosen: list[Any], rejected: list[Any]) -> Slate:
    return fields.slate(
        source,
        fields.prompt("prompt"),
        [response_messages(response) for response in chosen + rejected],
        preferred=tuple(range(len(chosen))),
        verdict="preferred",
    )
