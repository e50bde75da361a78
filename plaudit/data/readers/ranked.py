"""K ranked responses to a prompt, as InstructGPT (2203.02155) collects them.

`responses` (or responses, completions, answers) with `ranks` (1 is best, equal ranks tie),
`ratings` (or scores; higher is better), `ranking` (indices, best first) or `preferred` (the
indices of the good ones). A response may be text, messages, or an object with the text and its
own rank or rating. A rank or rating that is null or NaN is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.data.readers.reader import (
    Row,
    known_number,
    origins,
    prompt_messages,
    remaining,
    response_messages,
)
from plaudit.errors import DataError
from plaudit.types import Messages, Slate, Source

RESPONSES = ("responses", "replies", "completions", "answers")
RANKS = ("ranks", "rank")
RATINGS = ("ratings", "rating", "scores", "score")
TEXT = ("text", "content", "response", "reply", "completion", "answer")


def recognises(row: Row) -> bool:
    name = _first(row, RESPONSES)
    if "prompt" not in row or name is None or not isinstance(row[name], list) or not row[name]:
        return False
    first = row[name][0]
    inside = isinstance(first, dict) and any(known in first for known in RANKS + RATINGS)
    return inside or any(known in row for known in (*RANKS, *RATINGS, "ranking", "preferred"))


def read(row: Row, source: Source) -> Slate:
    name = _first(row, RESPONSES)
    if name is None or not isinstance(row[name], list):
        raise DataError(f"expected a list of responses in one of {', '.join(RESPONSES)}")
    items: list[Any] = row[name]
    count = len(items)
    if count < 2:
        raise DataError(f"expected at least two responses, found {count}")
    preferred = _preferred(row, count)
    return Slate(
        prompt_messages(row.get("prompt")),
        responses_of(items),
        source,
        preferred=preferred,
        verdict="preferred" if preferred else None,
        ranks=_ranking(row, count) or _numbers(row, items, RANKS),
        ratings=_numbers(row, items, RATINGS),
        group=str(row["group"]) if row.get("group") is not None else None,
        origins=origins(row, items),
        columns=remaining(row, ("prompt", "group", "preferred")),
    )


def _first(row: Row, names: Sequence[str]) -> str | None:
    return next((name for name in names if row.get(name) is not None), None)


def responses_of(items: Sequence[Any]) -> tuple[Messages, ...]:
    """Responses that are text, messages, or objects with a text."""
    return tuple(map(_turns, items))


def _turns(item: Any) -> Messages:
    if isinstance(item, dict):
        name = _first(item, TEXT)
        if name is None:
            raise DataError(f"a response object needs one of {', '.join(TEXT)}")
        return response_messages(item[name])
    return response_messages(item)


def _numbers(row: Row, items: list[Any], names: Sequence[str]) -> tuple[float | None, ...] | None:
    name = _first(row, names)
    values = row[name] if name is not None else None
    if values is None and isinstance(items[0], dict):
        inner = next((name for name in names if any(name in i for i in items)), None)
        values = [item.get(inner) for item in items] if inner is not None else None
    if values is None:
        return None
    if not isinstance(values, list):
        raise DataError(f"ranks and ratings must be a list of numbers, found {values!r:.60}")
    return tuple(known_number(value, f"each of {names[0]}") for value in values)


def _preferred(row: Row, count: int) -> tuple[int, ...]:
    """Indices of the good responses: `preferred` is one, or a list of them."""
    value = row.get("preferred")
    indices = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(index) is int and 0 <= index < count for index in indices):
        raise DataError(f"'preferred' must hold indices 0 to {count - 1}, found {value!r:.60}")
    return tuple(indices)


def _ranking(row: Row, count: int) -> tuple[float, ...] | None:
    order = row.get("ranking")
    if order is None:
        return None
    if not isinstance(order, list) or set(order) != set(range(count)) or len(order) != count:
        raise DataError(f"'ranking' must list each index 0 to {count - 1} once, found {order!r}")
    return tuple(float(list(order).index(index) + 1) for index in range(count))
