"""The judging screen for owners who only look: nothing is held for them, no answer is stored."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from sqlalchemy import Connection, or_, select

from plaudit.study import schema as s
from plaudit.study.assignment import Assignment, panel_texts
from plaudit.study.study import settings_of
from plaudit.study_app.context import Owner, state_of
from plaudit.study_app.pages.judging import as_written, shown, with_columns
from plaudit.types import as_messages

router = APIRouter()
COUNT = 3
Number = Annotated[int, Path(ge=1, le=2**62)]


@router.get("/api/preview")
def look(
    request: Request, me: Owner, after: Annotated[int, Query(ge=0, le=2**62)] = 0
) -> dict[str, Any]:
    """The comparisons after the one with this number, as annotators see them; none is leased."""
    state = state_of(request)
    with state.study.database.read() as db:
        settings = settings_of(db)
        items = _comparisons(db, s.comparison_text.c.id > after, COUNT)
    return {"items": shown(state, [with_columns(item, settings) for item in items])}


@router.get("/api/preview/{number}/raw")
def raw(request: Request, me: Owner, number: Number) -> dict[str, Any]:
    with state_of(request).study.database.read() as db:
        found = _comparisons(db, s.comparison_text.c.id == number, 1)
    if not found:
        raise HTTPException(404, f"no comparison {number}")
    return as_written(found[0])


def _comparisons(db: Connection, condition: Any, count: int) -> list[Assignment]:
    """Comparisons under their own numbers, sides in turn."""
    c = s.comparison_text.c
    asked = c.withdrawn_at.is_(None), c.explanation.is_(None), or_(c.panel.is_(None), c.overlap > 0)
    query = (
        select(s.comparison_text, s.panel.c.responses)
        .outerjoin(s.panel, s.panel.c.id == c.panel)
        .where(condition, *asked)
        .order_by(c.id)
        .limit(count)
    )
    found = []
    for row in db.execute(query).mappings():
        a, b = as_messages(row["a_messages"]), as_messages(row["b_messages"])
        left, right = (a, b) if row["id"] % 2 else (b, a)
        token, prompt = str(row["id"]), as_messages(row["prompt_messages"])
        ranked = panel_texts(db, token, row["responses"]) if row["responses"] else ()
        found.append(Assignment(token, prompt, left, right, row["columns"], ranked))
    return found
