"""Other layouts: `--columns prompt=question,response_a=answer_1,…`, and what to type for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plaudit.data.readers import READERS
from plaudit.data.readers.reader import Reader
from plaudit.errors import DataError, UsageError
from plaudit.types import Slate, Source

__all__ = ["ROLES", "column_reader", "parse_columns", "suggestion"]

# What a column can be; for two responses with a label, a chosen and a rejected, or K ranked.
ROLES = (
    "prompt",
    "response_a",
    "response_b",
    "label",
    "chosen",
    "rejected",
    "responses",
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
    "response_a": ("answer_1", "answer_a", "response_1", "response_1", "output_1", "option_a", "a"),
    "response_b": ("answer_2", "answer_b", "response_2", "response_2", "output_2", "option_b", "b"),
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
    sets = ({"response_a", "response_b"}, {"chosen", "rejected"}, {"responses"})
    if not any(names <= mapping.keys() for names in sets):
        raise UsageError(
            "--columns: name the responses: response_a and response_b (with label or votes), "
            "chosen and rejected, or responses (with ranks or ratings)"
        )
    return mapping


def column_reader(mapping: Mapping[str, str], labels: Mapping[str, str] | None = None) -> Reader:
    """A Reader of rows whose columns have other names; the rest stay as columns.

    The renamed row is read as two responses, TRL pairs or ranked responses. Labels that are
    neither a nor b may name the column of the preferred response (`answer_1`).
    """
    kind = "ranked" if "responses" in mapping else "trl" if "chosen" in mapping else "two-responses"
    reader = READERS[kind]
    sides = {
        mapping[role].lower(): role[-1] for role in ("response_a", "response_b") if role in mapping
    }

    def read(row: Mapping[str, Any], source: Source) -> Slate:
        missing = [column for column in mapping.values() if column not in row]
        if missing:
            raise DataError(f"column {missing[0]!r} is not there; columns: {', '.join(row)}")
        renamed = {name: value for name, value in row.items() if name not in mapping.values()}
        renamed |= {role: row[column] for role, column in mapping.items()}
        if kind == "two-responses" and "label" in mapping:
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
