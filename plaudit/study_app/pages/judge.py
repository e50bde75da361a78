"""The judging screen and what it asks for.

A payload holds rendered texts under a random token: no model, no id that could be the same for
two people, no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import Connection, bindparam, func, select, update

from plaudit.study import schema as s
from plaudit.study.accounts import Person, has_account
from plaudit.study.answers import Answer, Recent, edit, recent, undo, vote
from plaudit.study.assignment import ONE, Assignment, assign, assignments
from plaudit.study.ingest import storable
from plaudit.study.study import settings_of
from plaudit.study_app.context import AppState, Session, allowed, state_of, writes

router = APIRouter()
Judge = Annotated[Session, Depends(allowed("annotator", "owner"))]
_PROGRESS = select(
    s.annotator.c.judged,
    select(func.coalesce(func.max(s.guideline.c.version), 0)).scalar_subquery(),
).where(s.annotator.c.id == bindparam("person"))
AHEAD = 3  # on the screen, and two prefetched


Text = Annotated[str, AfterValidator(storable)]
Number = Annotated[int, Path(ge=1, le=2**62)]


class Key(BaseModel):
    """A request that is the same request however often it is sent."""

    key: Text = Field(min_length=8, max_length=64)


class Given(Key):
    """An answer as the screen sends it; answers.Answer checks the rest."""

    answer: str
    strength: int | None = None
    reasons: list[Text] = Field(default=[], max_length=20)
    rationale: Text = ""
    report: Text = ""
    active_ms: int | None = Field(default=None, ge=0, le=2**31 - 1)
    wall_ms: int | None = Field(default=None, ge=0, le=2**31 - 1)
    first_input_ms: int | None = Field(default=None, ge=0, le=2**31 - 1)
    guideline: int | None = Field(default=None, ge=0, le=2**31 - 1)

    def answered(self) -> Answer:
        values = self.model_dump(exclude={"token", "held"})
        return Answer(**{**values, "reasons": tuple(self.reasons)})


class Held(BaseModel):
    """What the screen holds already, and need not be sent again."""

    held: list[str] = Field(default=[], max_length=20)


class Vote(Given, Held):
    token: str = Field(min_length=32, max_length=32)


class Undo(Key):
    """With the token of the comparison that the screen takes back, where it knows it."""

    token: str | None = Field(default=None, min_length=32, max_length=32)


class Preferences(BaseModel):
    shortcuts: bool | None = None
    mode: str | None = Field(default=None, pattern="^(fast|graded)$")


@router.get("/judge")
def screen(request: Request, me: Judge) -> Response:
    state = state_of(request)
    version, guideline = state.study.guideline()
    with state.study.database.read() as db:
        returns = has_account(db, me.person)
    return state.page(
        request,
        "judge.html",
        account=returns,
        guideline=guideline,
        guideline_version=version,
        preferences=me.person.preferences,
    )


@router.post("/api/next")
def next_comparisons(request: Request, me: Judge, given: Held) -> JSONResponse:
    state = state_of(request)
    found = state.study.database.transact(lambda db: _next(db, state, me.person))
    return JSONResponse(_rendered(state, found, given.held))


@router.post("/api/votes")
def store_vote(request: Request, me: Judge, given: Vote) -> JSONResponse:
    state = state_of(request)
    if not state.vote_limit.allows(me.person.pseudonym):
        raise HTTPException(429, "more than ten votes a second for a minute; slow down")
    answer = given.answered()

    def work(db: Connection) -> dict[str, Any]:
        number = vote(db, me.person, given.token, answer)
        return {"number": number, **_next(db, state, me.person)}

    return JSONResponse(_rendered(state, state.study.database.transact(work), given.held))


@router.post("/api/undo")
def take_back(request: Request, me: Judge, given: Undo) -> dict[str, Any]:
    state = state_of(request)

    def work(db: Connection) -> dict[str, Any]:
        lease = settings_of(db).lease_seconds
        token = undo(db, me.person, given.key, lease, given.token)
        item = assignments(db, ONE, token=token) if token else []
        return {"items": item, **_progress(db, state, me.person)}

    found = _rendered(state, state.study.database.transact(work))
    items = found.pop("items")
    return {**found, "item": items[0] if items else None}


@router.get("/api/recent")
def own_recent(request: Request, me: Judge) -> dict[str, list[Recent]]:
    with state_of(request).study.database.read() as db:
        return {"judgments": recent(db, me.person)}


@router.get("/api/judgments/{number}")
def show_again(request: Request, me: Judge, number: Number) -> dict[str, Any]:
    """One of the person's last ten answers with its comparison, sides as they were."""
    state = state_of(request)
    with state.study.database.read() as db:
        mine = next((r for r in recent(db, me.person) if r.number == number), None)
        if mine is None:
            raise HTTPException(404, "only your last ten answers can be opened again")
        items = assignments(db, ONE, token=mine.token)
    return {"judgment": mine, "item": _shown(state, items)[0]}


@router.post("/api/judgments/{number}")
@writes
def change(
    db: Connection, request: Request, me: Judge, number: Number, given: Given
) -> dict[str, int]:
    return {"number": edit(db, me.person, number, given.answered())}


@router.post("/api/preferences")
@writes
def prefer(db: Connection, request: Request, me: Judge, given: Preferences) -> dict[str, Any]:
    kept = me.person.preferences | given.model_dump(exclude_none=True)
    mine = s.annotator.c.id == me.person.id
    db.execute(update(s.annotator).where(mine).values(preferences=kept))
    return kept


def _next(db: Connection, state: AppState, person: Person) -> dict[str, Any]:
    items = assign(db, person, settings_of(db), AHEAD)
    return {"items": items, **_progress(db, state, person)}


def _progress(db: Connection, state: AppState, person: Person) -> dict[str, Any]:
    """The person's own count exactly, the study's in twentieths.

    A finer count of the study would stand still at a gold comparison, and so give it away.
    """
    judged, guideline = db.execute(_PROGRESS, {"person": person.id}).one()
    overview = state.updater.overview
    share = overview.complete / max(overview.comparisons - overview.gold, 1)
    return {
        "progress": {"judged": judged, "percent": 5 * int(20 * share)},
        "guideline": guideline,
    }


def _rendered(state: AppState, found: dict[str, Any], held: Sequence[str] = ()) -> dict[str, Any]:
    """The answer with its comparisons as HTML; outside of the transaction, which others await."""
    return {**found, "items": _shown(state, [i for i in found["items"] if i.token not in held])}


def _shown(state: AppState, items: Sequence[Assignment]) -> list[dict[str, Any]]:
    texts = [text for item in items for text in (item.prompt, item.left, item.right)]
    html = iter(state.study.shown(texts))
    names = ("prompt", "left", "right")
    return [{"token": item.token, **{name: next(html) for name in names}} for item in items]
