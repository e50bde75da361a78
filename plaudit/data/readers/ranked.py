"""K ranked responses to a prompt, as InstructGPT (2203.02155) collects them.

`responses` (or responses, completions, answers) with `ranks` (1 is best, equal ranks tie),
`ratings` (or scores; higher is better), or `ranking` (indices, best first). A response may be
text, messages, or an object with the text and its own rank or rating.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plaudit.data.readers.reader import Row, origins, prompt_messages, remaining, response_messages
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
    inside = isinstance(row[name][0], dict) and _first(row[name][0], RANKS + RATINGS) is not None
    return inside or _first(row, (*RANKS, *RATINGS, "ranking")) is not None


def read(row: Row, source: Source) -> Slate:
    name = _first(row, RESPONSES)
    if name is None or not isinstance(row[name], list):
        raise DataError(f"expected a list of responses in one of {', '.join(RESPONSES)}")
    items: list[Any] = row[name]
    count = len(items)
    if count < 2:
        raise DataError(f"expected at least two responses, found {count}")
    return Slate(
        prompt_messages(row.get("prompt")),
        responses_of(items),
        source,
        ranks=_ranking(row, count) or _numbers(row, items, RANKS),
        ratings=_numbers(row, items, RATINGS),
        group=str(row["group"]) if row.get("group") is not None else None,
        origins=origins(row, items),
        columns=remaining(row, ("prompt", "group")),
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


def _numbers(row: Row, items: list[Any], names: Sequence[str]) -> tuple[float, ...] | None:
    name = _first(row, names)
    values = row[name] if name is not None else None
    if values is None and isinstance(items[0], dict):
        inner = _first(items[0], names)
        values = [item.get(inner) for item in items] if inner is not None else None
    if values is None:
        return None
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise DataError(f"ranks and ratings must be numbers, found {values!r:.60}") from None


def _ranking(row: Row, count: int) -> tuple[float, ...] | None:
    order = row.get("ranking")
    if order is None:
        return None
    if sorted(order) != list(range(count)):
        raise DataError(f"'ranking' must list each index 0 to {count - 1} once, found {order!r}")
    return tuple(float(list(order).index(index) + 1) for index in range(count))
