"""What the pages of annotators share: who may judge and how fast, and a comparison as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from plaudit.config import StudySettings
from plaudit.study.assignment import Assignment
from plaudit.study_app.context import AppState, Session, allowed, state_of
from plaudit.types import Message, Messages

Judge = Annotated[Session, Depends(allowed("annotator", "owner"))]


def _unhurried(request: Request, me: Judge) -> Session:
    if not state_of(request).vote_limit.allows(me.person.pseudonym):
        raise HTTPException(429, "more than ten requests a second for a minute; slow down")
    return me


Judging = Annotated[Session, Depends(_unhurried)]  # of every route that writes


def with_columns(item: Assignment, settings: StudySettings) -> Assignment:
    """The comparison with those columns of the data that annotators may see."""
    chosen = {name: item.columns[name] for name in settings.columns_shown if name in item.columns}
    return replace(item, columns=chosen)


def shown(state: AppState, items: Sequence[Assignment]) -> list[dict[str, Any]]:
    """Comparisons as the screen takes them: HTML of their texts, and columns as text.

    Call it outside of a transaction: a text that has no HTML yet gets it in one of its own.
    """
    texts = [text for item in items for text in _texts(item).values()]
    html = iter(state.study.shown(texts))
    return [
        {"token": item.token, **{name: next(html) for name in _texts(item)}}
        | ({"columns": [[k, _plain(v)] for k, v in item.columns.items()]} if item.columns else {})
        for item in items
    ]


def _texts(item: Assignment) -> dict[str, Messages]:
    """What is on the screen: the prompt, and two sides or the responses to rank by their places."""
    if item.ranked:
        return {"prompt": item.prompt} | {str(n): text for n, text in enumerate(item.ranked)}
    return {"prompt": item.prompt, "left": item.left, "right": item.right}


def as_written(item: Assignment) -> dict[str, Any]:
    """The texts of a comparison as they were written, message by message."""
    return {name: _written(text) for name, text in _texts(item).items()}


def _written(messages: Messages) -> list[dict[str, str]]:
    return [{"role": message.role, "text": _source(message)} for message in messages]


def _source(message: Message) -> str:
    """A message's text; all that it holds as JSON where that is more than text.

    A `name` is left out: it may be that of the model.
    """
    more = {name: value for name, value in message.fields.items() if name != "name"}
    if isinstance(message.content, str) and not more:
        return message.content
    content = message.content if isinstance(message.content, str) else [*map(dict, message.content)]
    return json.dumps({"content": content, **more}, ensure_ascii=False, indent=2)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
