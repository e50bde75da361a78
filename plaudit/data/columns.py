"""Other layouts: `--columns prompt=question,reply_a=answer_1,…`, and what to type for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.data.readers import READERS
from plaudit.data.readers.reader import Reader
from plaudit.errors import DataError, UsageError
from plaudit.types import Slate, Source

__all__ = ["ROLES", "column_reader", "parse_columns", "suggestion"]

# What a column can be; for two replies with a label, a chosen and a rejected, or K ranked.
ROLES = (
    "prompt",
    "reply_a",
    "reply_b",
    "label",
    "chosen",
    "rejected",
    "replies",
    "ranks",
    "ratings",
    "votes_a",
    "votes_b",
    "votes_tie",
    "strength",
    "margin",
    "group",
)
GUESSES = {
    "prompt": ("prompt", "question", "query", "instruction", "input", "ticket", "customer"),
    "reply_a": ("answer_1", "answer_a", "reply_1", "response_1", "output_1", "option_a", "a"),
    "reply_b": ("answer_2", "answer_b", "reply_2", "response_2", "output_2", "option_b", "b"),
    "label": ("label", "winner", "better", "best", "preferred", "choice", "preference", "vote"),
}


def parse_columns(text: str) -> dict[str, str]:
    """{"prompt": "question", …} from "prompt=question,…"; raises UsageError on unknown roles."""
    mapping = {}
    for item in text.split(","):
        role, equals, column = item.strip().partition("=")
        if not equals or not column:
            raise UsageError(f"--columns: expected role=column, found {item!r}")
        if role not in ROLES:
            raise UsageError(f"--columns: {role!r} is not one of {', '.join(ROLES)}")
        mapping[role] = column
    sets = ({"reply_a", "reply_b"}, {"chosen", "rejected"}, {"replies"})
    if not any(names <= mapping.keys() for names in sets):
        raise UsageError(
            "--columns: name the replies: reply_a and reply_b (with label or votes), "
            "chosen and rejected, or replies (with ranks or ratings)"
        )
    return mapping


def column_reader(mapping: Mapping[str, str], labels: Mapping[str, str] | None = None) -> Reader:
    """A Reader of rows whose columns have other names; the rest stay as columns.

    The renamed row is read as two replies, TRL pairs or ranked replies. Labels that are
    neither a nor b may name the column of the preferred reply (`answer_1`).
    """
    kind = "ranked" if "replies" in mapping else "trl" if "chosen" in mapping else "two-replies"
    reader = READERS[kind]
    sides = {mapping[role].lower(): role[-1] for role in ("reply_a", "reply_b") if role in mapping}

    def read(row: Mapping[str, Any], source: Source) -> Slate:
        missing = [column for column in mapping.values() if column not in row]
        if missing:
            raise DataError(f"column {missing[0]!r} is not there; columns: {', '.join(row)}")
        renamed = {name: value for name, value in row.items() if name not in mapping.values()}
        renamed |= {role: row[column] for role, column in mapping.items()}
        if kind == "two-replies" and "label" in mapping:
            label = str(renamed["label"]).strip().lower()
            renamed["label"] = sides.get(label, renamed["label"])
        return reader.read(renamed, source)

    return Reader(lambda row: set(mapping.values()) <= row.keys(), read)


def suggestion(columns: list[str]) -> str:
    """The flag to type for a layout that no reader recognises."""
    lowered = {column.lower(): column for column in columns}
    guess = {
        role: next((lowered[name] for name in names if name in lowered), f"COLUMN_{role.upper()}")
        for role, names in GUESSES.items()
    }
    return "--columns " + ",".join(f"{role}={column}" for role, column in guess.items())
