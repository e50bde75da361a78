"""Rows to be scored, and their scores as columns.

A row has one response (`prompt` and `response`, or `messages`) or several (`responses`, or
those of any preference format). One response gets a number, several get lists in their order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from plaudit.data.readers import READERS
from plaudit.data.readers.reader import prompt_messages, response_messages
from plaudit.errors import DataError, UsageError
from plaudit.types import Conversation, Scores, Source, as_messages

__all__ = ["Request", "request", "scored"]

RESPONSE = ("response", "reply", "completion", "answer", "output")
RESPONSES = ("responses", "replies", "completions", "answers")
PROMPT = ("prompt", "question", "instruction", "input")


class Request(NamedTuple):
    """Conversations of a row; `several` says whether the result is a list."""

    conversations: tuple[Conversation, ...]
    several: bool


def request(row: Mapping[str, Any], columns: str | None = None) -> Request:
    """What a row asks to be scored. Raises DataError naming the columns found."""
    if columns is not None:
        row = _renamed(row, columns)
    if isinstance(row.get("messages"), list):
        return Request((Conversation(as_messages(row["messages"])),), False)
    prompt = next((row[name] for name in PROMPT if row.get(name) is not None), None)
    if prompt is not None:
        head = prompt_messages(prompt)
        response = next((row[name] for name in RESPONSE if row.get(name) is not None), None)
        if response is not None:
            return Request((Conversation(head + response_messages(response)),), False)
        several = next((row[name] for name in RESPONSES if isinstance(row.get(name), list)), None)
        if several and not isinstance(several[0], dict):
            return Request(tuple(Conversation(head + response_messages(r)) for r in several), True)
    for reader in READERS.values():
        if reader.recognises(row):
            slate = reader.read(row, Source("", 0))
            return Request(tuple(slate.conversation(i) for i in range(len(slate.responses))), True)
    raise DataError(
        f"nothing to score: columns {', '.join(row)}; expected prompt and response, messages, or "
        "prompt and responses (or name them: --columns prompt=question,response=answer)"
    )


def _renamed(row: Mapping[str, Any], columns: str) -> dict[str, Any]:
    renamed = dict(row)
    for item in columns.split(","):
        role, equals, column = item.strip().partition("=")
        if not equals:
            raise UsageError(f"--columns: expected role=column, found {item!r}")
        if column not in row:
            raise DataError(f"column {column!r} is not there; columns: {', '.join(row)}")
        renamed[role] = row[column]
    return renamed


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
