"""RewardBench 1 (a chosen and a rejected response) and 2 (best of four; ties) rows.

A column named `subset` alone makes no RewardBench row: the subset must be one of theirs.
"""

from __future__ import annotations

from typing import Any

from plaudit.data.readers.reader import Row, field, prompt_messages, remaining, response_messages
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
    return "id" in row and row.get("subset") in SUBSETS_1 and all(isinstance(s, str) for s in sides)


def recognises_2(row: Row) -> bool:
    lists = all(isinstance(row.get(name), list) for name in ("chosen", "rejected"))
    return lists and "num_correct" in row and "subset" in row


def read_1(row: Row, source: Source) -> Slate:
    return _read(row, source, [field(row, "chosen")], [field(row, "rejected")])


def read_2(row: Row, source: Source) -> Slate:
    slate = _read(row, source, list(field(row, "chosen")), list(field(row, "rejected")))
    expected = int(field(row, "num_correct"))
    if len(slate.preferred) != expected:
        raise DataError(f"num_correct is {expected}, but there are {len(slate.preferred)} chosen")
    return slate


def _read(row: Row, source: Source, chosen: list[Any], rejected: list[Any]) -> Slate:
    return Slate(
        prompt_messages(field(row, "prompt")),
        tuple(response_messages(response) for response in chosen + rejected),
        source,
        preferred=tuple(range(len(chosen))),
        verdict="preferred",
        columns=remaining(row, ("prompt", "chosen", "rejected")),
    )
