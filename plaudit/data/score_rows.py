"""Rows to be scored, and their scores as columns.

A row has one response (`prompt` and `response`, or `messages`) or several (`responses`, or
those of any preference format). One response gets a number, several get lists in their order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from plaudit.data.columns import Mapped
from plaudit.data.readers import READERS
from plaudit.data.readers.messages import prompt_messages, response_messages
from plaudit.data.readers.ranked import RESPONSES, responses_of
from plaudit.data.readers.reader import NOTHING, PROMPTS, Fields
from plaudit.data.readers.trl import MESSAGES
from plaudit.data.reading import Columns
from plaudit.errors import DataError
from plaudit.types import Conversation, Scores, Slate, Source, is_empty

OWN = ("score", "std", "rank", "best", "probability", "note", "error")  # plaudit's columns
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
