"""Other layouts: `--columns prompt=question,response_a=answer_1,…`, and what to type for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.errors import UsageError

Row = Mapping[str, Any]
# What a column can be; for two responses with a label, a chosen and a rejected, or K ranked.
ROLES = (
    *("prompt", "system", "input", "history", "tools"),
    *("response_a", "response_b", "label", "p", "votes_a", "votes_b", "votes_tie", "strength"),
    *("chosen", "rejected", "margin", "model_a", "model_b"),
    *("responses", "ranks", "ratings", "preferred", "response", "messages"),
    *("group", "ignore"),
)
GUESSES = {
    "prompt": ("prompt", "question", "query", "instruction", "input", "history", "ticket", "post"),
    "chosen": ("chosen", "preferred", "accepted", "good", "positive", "better_response", "win"),
    "rejected": ("rejected", "other", "bad", "negative", "worse_response", "lose", "dispreferred"),
    "label": ("label", "labels", "winner", "better", "best", "preferred", "choice", "preference",
              "vote", "verdict", "human_pref"),
}  # fmt: skip
NOTHING: Row = {}
# What exports write beside `columns`, where a table can only hold its JSON.
EXPORTED = ({"p", "aggregate", "votes_a", "votes_b"}, {"chosen", "rejected", "margin"})
ENDS = (("a", "b"), ("1", "2"), ("0", "1"), ("left", "right"), ("one", "two"))


class Mapped:
    """Which column is what, as --columns says: `roles` from column to role."""

    def __init__(self, columns: str | Mapping[str, Any]) -> None:
        items = columns.items() if isinstance(columns, Mapping) else _items(columns)
        self.roles: dict[str, str] = {}
        for role, names in items:
            if role not in ROLES:
                raise UsageError(f"--columns: {role!r} is not one of {', '.join(ROLES)}")
            for name in [names] if isinstance(names, str) else names:
                if role in self.roles.values() and role != "ignore":
                    raise UsageError(f"--columns: {role!r} is given twice")
                self.roles[str(name)] = role
        given = set(self.roles.values())
        half = [{"response_a", "response_b"}, {"chosen", "rejected"}]
        if any(len(given & names) == 1 for names in half):
            raise UsageError("--columns: name both responses: response_a and response_b, "
                             "or chosen and rejected")  # fmt: skip
        self.format = next((name for role, name in FORMATS.items() if role in given), None)
        self.shown = {role: name for name, role in self.roles.items()}

    def rename(self, row: Row) -> Row:
        """The row with its columns under the names of their roles; the others stay."""
        inner = nested(row) or NOTHING
        renamed = {
            f"{name} (column)" if name in self.shown else name: value
            for name, value in row.items()
            if name not in self.roles
        }
        if inner and "columns" in renamed:
            renamed["columns"] = {
                name: value for name, value in inner.items() if not self.roles.keys() & _names(name)
            }
        values = {each: value for name, value in inner.items() for each in _names(name)} | {**row}
        for name, role in self.roles.items():
            if role != "ignore" and name in values:
                renamed[role] = values[name]
        return renamed

    def missing(self, rows: Sequence[Row]) -> str | None:
        """A column that is in none of the rows."""
        found = {name for row in rows for name in row}
        found |= {each for row in rows for name in nested(row) or () for each in _names(name)}
        return next((name for name in self.roles if name not in found), None)


def _names(column: str) -> set[str]:
    """What a nested column is called in --columns."""
    return {column, f"columns.{column}"}


def nested(row: Row) -> Row | None:
    """The data's own columns in a row that `plaudit export` wrote: under the key `columns`.

    An object, or the JSON of one beside fields that exports have; None in any other row.
    """
    value = row.get("columns")
    if isinstance(value, str) and any(names <= row.keys() for names in EXPORTED):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


FORMATS = {"response_a": "two-responses", "chosen": "trl", "responses": "ranked"}


def _items(text: str) -> list[tuple[str, str]]:
    items = []
    for item in text.split(","):
        role, equals, column = item.strip().partition("=")
        if not equals or not column:
            raise UsageError(f"--columns: expected role=column, found {item!r}")
        items.append((role, column))
    return items


def suggestion(columns: Sequence[str]) -> str:
    """The flag to type for a layout that no reader recognises."""
    lowered = {column.lower().strip(): column for column in columns}
    found = {
        role: next((lowered[name] for name in names if name in lowered), None)
        for role, names in GUESSES.items()
    }
    pair = _pair(lowered)
    if pair is None and found["chosen"] and found["rejected"]:
        roles = {role: found[role] for role in ("prompt", "chosen", "rejected")}
    else:
        a, b = pair or (None, None)
        roles = {"prompt": found["prompt"], "response_a": a, "response_b": b,
                 "label": found["label"]}  # fmt: skip
    return "--columns " + ",".join(
        f"{role}={name or f'COLUMN_{role.upper()}'}" for role, name in roles.items()
    )


def _pair(lowered: Mapping[str, str]) -> tuple[str, str] | None:
    """Two columns whose names differ in their end alone: answer_1 and answer_2."""
    for name, column in lowered.items():
        for one, two in ENDS:
            other = name.removesuffix(one) + two
            if name.endswith(one) and other in lowered and other != name:
                return column, lowered[other]
    return None
