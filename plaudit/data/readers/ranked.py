"""K ranked responses to a prompt, as InstructGPT (2203.02155) collects them.

`responses` (or completions, answers) with `ranks` (1 is best, equal ranks tie), `ratings` (or
scores; higher is better), `ranking` (indices, best first) or `preferred` (the indices of the
good ones). A response may be text, messages, or an object with the text and its own rank or
rating. A rank or rating that is null or NaN is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.data.readers.messages import KEYS, listed, response_messages
from plaudit.data.readers.reader import PROMPTS, Fields, Row, known_number
from plaudit.errors import DataError
from plaudit.types import Messages, Slate, Source

RESPONSES = ("responses", "replies", "completions", "answers", "generations", "outputs")
RANKS = ("ranks", "rank")
RATINGS = ("ratings", "rating", "scores", "score")
TEXT = ("text", "content", "response", "reply", "completion", "answer")


def recognises(row: Row) -> bool:
    items = next((row[name] for name in RESPONSES if row.get(name) is not None), None)
    if isinstance(items, str) and items.lstrip().startswith("["):
        items = [items]  # a list in a table, as text
    if (
        not isinstance(items, list)
        or not items
        or not any(row.get(name) is not None for name in PROMPTS)
    ):
        return False
    inside = isinstance(items[0], dict) and any(known in items[0] for known in RANKS + RATINGS)
    return inside or any(known in row for known in (*RANKS, *RATINGS, "ranking", "preferred"))


def read(fields: Fields, source: Source) -> Slate:
    items = listed(fields.need("responses", *RESPONSES), "a list of responses")
    if not isinstance(items, list) or len(items) < 2:
        raise DataError(f"expected a list of two or more responses, found {items!r:.60}")
    ranking = _ranking(listed(fields.get("ranking"), "indices"), len(items))
    preferred = _preferred(listed(fields.get("preferred"), "indices"), len(items))
    return fields.slate(
        source,
        fields.prompt(),
        responses_of(items),
        items,
        preferred=preferred,
        verdict="preferred" if preferred else None,
        ranks=ranking or _numbers(fields, items, "ranks", RANKS),
        ratings=_numbers(fields, items, "ratings", RATINGS),
    )


def responses_of(items: Sequence[Any]) -> tuple[Messages, ...]:
    """Responses that are text, messages, or objects with a text."""
    return tuple(map(_messages, items))


def _messages(item: Any) -> Messages:
    if isinstance(item, dict) and not KEYS & item.keys():
        name = next((name for name in TEXT if item.get(name) is not None), None)
        if name is None:
            raise DataError(f"a response object needs one of {', '.join(TEXT)}")
        return response_messages(item[name])
    return response_messages(item)


def _numbers(
    fields: Fields, items: list[Any], role: str, names: Sequence[str]
) -> tuple[float | None, ...] | None:
    values = listed(fields.get(role, *names), f"a list of {role}")
    inner = [item for item in items if isinstance(item, dict)]
    if values is None and len(inner) == len(items):
        name = next((name for name in names if any(name in item for item in inner)), None)
        values = [item.get(name) for item in inner] if name is not None else None
    if values is None:
        return None
    if not isinstance(values, list):
        raise DataError(f"{role} must be a list of numbers, found {values!r:.60}")
    return tuple(known_number(value, f"each of the {role}") for value in values)


def _preferred(value: Any, count: int) -> tuple[int, ...]:
    """Indices of the good responses: one, or a list of them."""
    if isinstance(value, str):  # of a table
        value = int(value) if len(value) < 10 and value.strip().isdecimal() else value or None
    indices = value if isinstance(value, list) else [] if value is None else [value]
    if not all(type(index) is int and 0 <= index < count for index in indices):
        raise DataError(f"'preferred' must hold indices 0 to {count - 1}, found {value!r:.60}")
    return tuple(indices)


def _ranking(order: Any, count: int) -> tuple[float, ...] | None:
    if order is None:
        return None
    places = list(range(count))
    if not isinstance(order, list) or [i for i in places if i in order] != places[: len(order)]:
        raise DataError(
            f"'ranking' must list each index 0 to {count - 1} once, found {order!r:.60}"
        )
    if len(order) != count:
        raise DataError(
            f"'ranking' must list each index 0 to {count - 1} once, found {order!r:.60}"
        )
    return tuple(float(order.index(index) + 1) for index in places)
