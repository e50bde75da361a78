"""The judging screen and what it asks for.

A payload holds rendered texts under a random token: no model, no id that could be the same for
two people, no score.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection, and_, select, update

from plaudit.collection import schema as s
from plaudit.collection.assignment import Assignment, assign, assignments
from plaudit.collection.desk import Desk, Visitor, allowed, desk_of
from plaudit.collection.judging import Answer, Recent, edit, recent, undo, vote
from plaudit.collection.people import Person
from plaudit.collection.rendering import render_turns
from plaudit.collection.study import guideline_of, settings_of

router = APIRouter()
Judge = Annotated[Visitor, Depends(allowed("annotator", "owner"))]
AHEAD = 3  # on the screen, and two prefetched


class Given(BaseModel):
    """An answer as the screen sends it; judging.Answer checks the rest."""

    key: str = Field(min_length=8, max_length=64)
    answer: str
    strength: int | None = None
    reasons: list[str] = Field(default=[], max_length=20)
    rationale: str = ""
    report: str = ""
    active_ms: int | None = Field(default=None, ge=0, le=2**31 - 1)
    wall_ms: int | None = Field(default=None, ge=0, le=2**31 - 1)
    first_input_ms: int | None = Field(default=None, ge=0, le=2**31 - 1)
    guideline: int | None = None

    def answered(self) -> Answer:
        values = self.model_dump(include=set(Given.model_fields))
        return Answer(**{**values, "reasons": tuple(self.reasons)})


class Vote(Given):
    token: str = Field(min_length=32, max_length=32)


class Key(BaseModel):
    key: str = Field(min_length=8, max_length=64)


class Preferences(BaseModel):
    shortcuts: bool | None = None
    mode: str | None = Field(default=None, pattern="^(fast|graded)$")


@router.get("/judge")
def screen(request: Request, visitor: Judge) -> Response:
    desk = desk_of(request)
    version, guideline = desk.study.guideline()
    return desk.page(
        request,
        "judge.html",
        guideline=guideline,
        guideline_version=version,
        preferences=visitor.person.preferences,
    )


@router.post("/api/next")
def next_comparisons(request: Request, visitor: Judge) -> dict[str, Any]:
    desk = desk_of(request)
    return desk.study.database.transact(lambda db: _next(db, desk, visitor.person))


@router.post("/api/votes")
def store_vote(request: Request, visitor: Judge, given: Vote) -> dict[str, Any]:
    desk = desk_of(request)
    if not desk.vote_limit.allows(visitor.person.pseudonym):
        raise HTTPException(429, "more than ten votes a second for a minute; slow down")
    answer = given.answered()

    def work(db: Connection) -> dict[str, Any]:
        number = vote(db, visitor.person, given.token, answer)
        return {"number": number, **_next(db, desk, visitor.person)}

    return desk.study.database.transact(work)


@router.post("/api/undo")
def take_back(request: Request, visitor: Judge, given: Key) -> dict[str, Any]:
    desk = desk_of(request)

    def work(db: Connection) -> dict[str, Any]:
        lease = settings_of(db).lease_seconds
        token = undo(db, visitor.person, given.key, lease)
        item = assignments(db, and_(s.assignment.c.token == token)) if token else []
        return {"item": _shown(item[0]) if item else None, **_progress(db, desk, visitor.person)}

    return desk.study.database.transact(work)


@router.get("/api/recent")
def own_recent(request: Request, visitor: Judge) -> dict[str, list[Recent]]:
    with desk_of(request).study.database.read() as db:
        return {"judgments": recent(db, visitor.person)}


@router.get("/api/judgments/{number}")
def show_again(request: Request, visitor: Judge, number: int) -> dict[str, Any]:
    """One of the person's last ten answers with its comparison, sides as they were."""
    with desk_of(request).study.database.read() as db:
        mine = next((r for r in recent(db, visitor.person) if r.number == number), None)
        if mine is None:
            raise HTTPException(404, "only your last ten answers can be looked at again")
        item = assignments(db, s.assignment.c.token == mine.token)[0]
    return {"judgment": mine, "item": _shown(item)}


@router.post("/api/judgments/{number}")
def change(request: Request, visitor: Judge, number: int, given: Given) -> dict[str, Any]:
    answer = given.answered()
    database = desk_of(request).study.database
    return {"number": database.transact(lambda db: edit(db, visitor.person, number, answer))}


@router.post("/api/preferences")
def prefer(request: Request, visitor: Judge, given: Preferences) -> dict[str, Any]:
    kept = visitor.person.preferences | given.model_dump(exclude_none=True)
    p = s.annotator

    def work(db: Connection) -> None:
        db.execute(update(p).where(p.c.id == visitor.person.id).values(preferences=kept))

    desk_of(request).study.database.transact(work)
    return kept


def _next(db: Connection, desk: Desk, person: Person) -> dict[str, Any]:
    items = assign(db, person, settings_of(db), AHEAD)
    return {"items": [_shown(item) for item in items], **_progress(db, desk, person)}


def _progress(db: Connection, desk: Desk, person: Person) -> dict[str, Any]:
    judged = db.scalar(select(s.annotator.c.judged).where(s.annotator.c.id == person.id))
    version, _ = guideline_of(db)
    return {
        "progress": {"judged": judged, "asked": desk.watch.overview.asked},
        "guideline": version,
    }


def _shown(item: Assignment) -> dict[str, Any]:
    return {
        "token": item.token,
        "prompt": render_turns(item.prompt),
        "left": render_turns(item.left),
        "right": render_turns(item.right),
    }
