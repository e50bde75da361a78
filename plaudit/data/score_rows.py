"""Rows to be scored, and their scores as columns.

A row has one response (`prompt` and `response`, or `messages`) or several (`responses`, or
those of any preference format). One response gets a number, several get lists in their order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from plaudit.data.readers import READERS
from plaudit.data.readers.reader import prompt_messages, response_messages
from plaudit.errors import DataError, UsageError
from plaudit.types import Conversation, Scores, Source, as_messages, is_empty

OWN = ("score", "std", "rank", "best", "probability", "note", "error")  # plaudit's columns
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


def scored(
    asked: Request, scores: Scores, start: int, pairs: bool = False, best_of: bool = False
) -> dict[str, Any]:
    """plaudit's columns for a row whose conversations begin at `start` of Scores.

    `score` and `std`; of several responses also `rank` and `best`, both counted from 1, so that
    the response number `best` has rank 1. `probability` is, with `pairs`, that the first of two
    beats the second and, with `best_of`, that `best` is the best. `note` says what was cut.
    """
    span = range(start, start + len(asked.conversations))
    means = [None if math.isnan(v) else float(v) for v in scores.mean[span.start : span.stop]]
    stds: list[float | None] = [None] * len(span)
    if scores.std is not None:
        stds = [None if math.isnan(v) else float(v) for v in scores.std[span.start : span.stop]]
    notes = [f"{_which(asked, i - start)}{scores.notes[i]}" for i in span if i in scores.notes]
    problems = [
        f"{_which(asked, i - start)}{scores.problems[i]}" for i in span if i in scores.problems
    ]
    result: dict[str, Any] = {"score": means[0], "std": stds[0]}
    if asked.several:
        known = [m for m in means if m is not None]
        ranks = [None if m is None else 1 + sum(other > m for other in known) for m in means]
        best = ranks.index(1) if known else None
        result = {
            "score": means,
            "std": stds,
            "rank": ranks,
            "best": None if best is None else best + 1,
        }
        if best is not None and is_empty(asked.conversations[best].messages[-1]):
            notes.append("the best response is empty")
        if pairs or best_of:
            result["probability"] = None
            if not problems and best is not None:
                result["probability"] = (
                    scores.difference(start, start + 1).probability
                    if pairs
                    else probability_of_best(scores, span, best)
                )
    if notes:
        result["note"] = "; ".join(notes)
    return result | ({"error": "; ".join(problems)} if problems else {})


def _which(asked: Request, index: int) -> str:
    return f"response {index + 1}: " if asked.several else ""


def probability_of_best(scores: Scores, span: range, best: int, draws: int = 4000) -> float | None:
    """How often response `best` of a span has the highest reward, over draws of the posterior.

    None where the model has no posterior. The draws are the same in every call.
    """
    if scores.factors is None:
        return None
    factors = scores.factors[span.start : span.stop].astype(np.float64)
    # K responses have a covariance of K x K, however wide the posterior is.
    values, vectors = np.linalg.eigh(factors @ factors.T)
    spread = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = np.random.default_rng(0).standard_normal((draws, len(span)))
    rewards = scores.mean[span.start : span.stop] + normal @ spread.T
    return float(np.mean(rewards.argmax(axis=1) == best))


def with_scores(
    row: Mapping[str, Any], result: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The row with plaudit's columns, and the row's own columns that got another name.

    plaudit's names are plaudit's: a row's own `score` is kept as `input_score`, and so on.
    """
    kept: dict[str, Any] = {}
    for name, value in row.items():
        free = name
        while free in OWN or (free != name and free in row):
            free = f"input_{free}"
        kept[free] = value
    return {**kept, **result}, [name for name in row if name in OWN]
