"""Rows to be scored, and their scores as columns.

A row has one response (`prompt` and `response`, or `messages`) or several (`responses`, or
those of any preference format). One response gets a number, several get lists in their order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from plaudit.data.columns import Mapped
from plaudit.data.readers import READERS
from plaudit.data.readers.messages import prompt_messages, response_messages
from plaudit.data.readers.ranked import RESPONSES, responses_of
from plaudit.data.readers.reader import NOTHING, PROMPTS, Fields
from plaudit.data.readers.trl import MESSAGES
from plaudit.data.reading import Columns
from plaudit.errors import DataError
from plaudit.types import Conversation, Scores, Slate, Source

RESPONSE = ("response", "reply", "completion", "answer", "output")
NOWHERE = Source("", 0)


class Request(NamedTuple):
    """Conversations of a row; `several` says whether the result is a list."""

    conversations: tuple[Conversation, ...]
    several: bool


def request(row: Mapping[str, Any], columns: str | Mapping[str, Any] | None = None) -> Request:
    """What a row asks to be scored.

    Raises DataError naming the columns found; and where one that looks like a part of the
    conversation (`input`, `context`) was not read, since rows that differ in it alone would
    get one score.
    """
    mapped = None if columns is None else _mapped(columns)
    if mapped is not None:
        if missing := mapped.missing([row]):
            raise DataError(f"column {missing!r} is not there; columns: {', '.join(row)}")
        row = mapped.rename(row)
    fields = Fields(row, shown=mapped.shown if mapped else NOTHING)
    slate, several = _slate(fields)
    found = Columns()
    found.note(fields, slate, NOWHERE)
    if found.unread:
        name = next(iter(found.unread))
        raise DataError(
            f"column {name!r} looks like a part of the conversation and was not read ({found}); "
            f"say what it is: --columns input={name} (also prompt=, system=, history=), or that "
            f"it is to be left out: --columns ignore={name}"
        )
    return Request(tuple(slate.conversation(i) for i in range(len(slate.responses))), several)


@lru_cache(maxsize=8)
def _parsed(columns: str) -> Mapped:
    return Mapped(columns)


def _mapped(columns: str | Mapping[str, Any]) -> Mapped:
    return _parsed(columns) if isinstance(columns, str) else Mapped(columns)


def _slate(fields: Fields) -> tuple[Slate, bool]:
    """The responses of a row under their prompt, and whether it asks for several."""
    for reader in READERS.values():
        if reader.key is None and reader.recognises(fields.row):
            return reader.read(fields, NOWHERE), True
    if fields.name(MESSAGES) is not None:
        messages = prompt_messages(fields.get("messages", *MESSAGES))
        return fields.slate(NOWHERE, messages[:-1], [response_messages(messages[-1:])]), False
    if fields.name(PROMPTS) is not None:
        if fields.name(RESPONSE) is not None:
            response = response_messages(fields.get("response", *RESPONSE))
            return fields.slate(NOWHERE, fields.prompt(*PROMPTS), [response]), False
        several = fields.get("responses", *RESPONSES)
        if isinstance(several, list) and several:
            return fields.slate(NOWHERE, fields.prompt(*PROMPTS), responses_of(several)), True
    raise DataError(
        f"nothing to score: columns {', '.join(fields.row)}; expected prompt and response, "
        "messages, or prompt and responses (or name them: --columns prompt=question,"
        "response=answer)"
    )


def scored(asked: Request, scores: Scores, start: int, stop: int) -> dict[str, Any]:
    """`score` and `std` of rows start to stop of Scores; `rank` and `best` of several."""
    means = [None if math.isnan(v) else float(v) for v in scores.mean[start:stop]]
    stds = None
    if scores.std is not None:
        stds = [None if math.isnan(v) else float(v) for v in scores.std[start:stop]]
    problem = next((scores.problems[i] for i in range(start, stop) if i in scores.problems), None)
    result: dict[str, Any]
    if asked.several:
        known = [m for m in means if m is not None]
        ranks = [None if m is None else 1 + sum(other > m for other in known) for m in means]
        best = means.index(max(known)) if known else None
        result = {"score": means, "std": stds, "rank": ranks, "best": best}
    else:
        result = {"score": means[0], "std": stds[0] if stds else None}
    return result | ({"error": problem} if problem else {})
