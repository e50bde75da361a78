"""What the pages of annotators share: who may judge and how fast, and a comparison as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from plaudit.config import StudySettings
from plaudit.study.assignment import Assignment
from plaudit.study_app.context import Session, allowed, state_of
from plaudit.study_app.rendering import render_messages
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


def shown(item: Assignment) -> dict[str, Any]:
    """A comparison as the screen takes it: HTML of its texts, and columns as text."""
    columns = {"columns": [[k, _plain(v)] for k, v in item.columns.items()]} if item.columns else {}
    return {
        "token": item.token,
        "prompt": render_messages(item.prompt),
        "left": render_messages(item.left),
        "right": render_messages(item.right),
        **columns,
    }


def as_written(item: Assignment) -> dict[str, Any]:
    """The texts of a comparison as they were written, message by message."""
    return {
        "prompt": _written(item.prompt),
        "left": _written(item.left),
        "right": _written(item.right),
    }


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
