"""The judging screen and what it asks for.

A payload holds rendered texts under a random token: no model, no id that could be the same for
two people, no score, and no number that counts anybody else's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import Connection, bindparam, func, select

from plaudit.config import StudySettings
from plaudit.study import schema as s
from plaudit.study.accounts import Person, has_account
from plaudit.study.answers import (
    LONGEST_NOTE,
    Answer,
    Recent,
    edit,
    recent,
    taken_back,
    undo,
    vote,
)
from plaudit.study.assignment import ONE, Assignment, assign, assignments
from plaudit.study.practice import practice_pairs
from plaudit.study.questions import storable
from plaudit.study.study import settings_of
from plaudit.study_app.context import AppState, state_of, writes
from plaudit.study_app.pages import introduction, preview
from plaudit.study_app.pages.judging import Judge, Judging, as_written, shown, with_columns

router = APIRouter()
router.include_router(introduction.router)
router.include_router(preview.router)
AHEAD = 3  # on the screen, and two prefetched

_NOW = select(
    s.annotator.c.judged,
    s.annotator.c.stopped_at,
    select(func.coalesce(func.max(s.guideline.c.version), 0)).scalar_subquery().label("guideline"),
).where(s.annotator.c.id == bindparam("person"))

Text = Annotated[str, AfterValidator(storable)]
Note = Annotated[Text, Field(max_length=LONGEST_NOTE)]
Token = Annotated[str, Field(min_length=32, max_length=32)]
TokenInPath = Annotated[str, Path(min_length=32, max_length=32)]
Milliseconds = Annotated[int | None, Field(ge=0, le=2**31 - 1)]


class Key(BaseModel):
    """A request that is the same request however often it is sent."""

    key: Text = Field(min_length=8, max_length=64)


class Given(Key):
    """An answer as the screen sends it; answers.Answer checks the rest."""

    answer: str
    strength: int | None = None
    reasons: list[Text] = Field(default=[], max_length=20)
    rationale: Note = ""
    report: Note = ""
    criteria: dict[str, str] = Field(default={}, max_length=20)
    tiers: list[list[int]] = Field(default=[], max_length=9)
    active_ms: Milliseconds = None
    wall_ms: Milliseconds = None
    first_input_ms: Milliseconds = None

    def answered(self, settings: StudySettings) -> Answer:
        values = self.model_dump(include=set(Given.model_fields))
        tiers = tuple(map(tuple, self.tiers))
        return Answer(**values | {"reasons": tuple(self.reasons), "tiers": tiers}).check(settings)


class Held(BaseModel):
    """What the screen holds already, and need not be sent again."""

    held: list[str] = Field(default=[], max_length=20)


class Asking(Held):
    """`since` is the start of the day where the person is, in seconds of the epoch."""

    since: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Vote(Given, Held):
    token: Token


class Change(Given):
    version: int = Field(ge=1)


class Undo(Key):
    """With the token of the comparison that the screen takes back, where it knows it."""

    token: Token | None = None


@router.get("/judge")
def screen(request: Request, me: Judge, preview: bool = False) -> Response:
    state = state_of(request)
    if preview and me.person.role != "owner":
        raise HTTPException(403, "only owners can look at the screen without judging")
    with state.study.database.read() as db:
        settings = settings_of(db)
        owed = introduction.owes_consent(db, me.person, settings)
        guideline = introduction.guideline_for(db, me.person)
        setup = {
            "me": me.person.pseudonym,
            "account": has_account(db, me.person),
            "preview": preview,
            "study_mode": settings.mode,
            "mode": introduction.mode_of(me.person, settings),
            "shortcuts": me.person.preferences.get("shortcuts", True),
            "keys": me.person.preferences.get("keys", {}),
            "guideline": guideline["guideline_version"],
            "seen": guideline["version_seen"],
            "practice": 0 if me.person.preferences.get("practised") else len(practice_pairs(db)),
            "criteria": settings.criteria,
        }
    if owed:
        return state.page(request, "consent.html", consent=settings.consent)
    return state.page(request, "judge.html", setup=setup, **guideline)


@router.get("/api/me")
def who(me: Judge) -> dict[str, str]:
    """Who is signed in at this browser, and the token for their requests."""
    return {"pseudonym": me.person.pseudonym, "csrf": me.csrf}


@router.post("/api/next")
def next_comparisons(request: Request, me: Judging, given: Asking) -> JSONResponse:
    def work(db: Connection) -> dict[str, Any]:
        settings = settings_of(db)
        introduction.forget_old_mode(db, me.person, settings)
        found = _next(db, me.person, settings)
        if given.since is not None:
            found["progress"]["today"] = _judged_since(db, me.person, given.since)
        return found

    state = state_of(request)
    return JSONResponse(_rendered(state, state.study.database.transact(work), given.held))


@router.post("/api/votes")
def store_vote(request: Request, me: Judging, given: Vote) -> JSONResponse:
    def work(db: Connection) -> dict[str, Any]:
        settings = settings_of(db)
        vote(db, me.person, given.token, given.answered(settings))
        return {"token": given.token, **_next(db, me.person, settings)}

    state = state_of(request)
    return JSONResponse(_rendered(state, state.study.database.transact(work), given.held))


@router.post("/api/undo")
def take_back(request: Request, me: Judging, given: Undo) -> dict[str, Any]:
    def work(db: Connection) -> dict[str, Any]:
        settings = settings_of(db)
        token = undo(db, me.person, given.key, settings.lease_seconds, given.token)
        said = taken_back(db, token) if token else None
        return {
            "item": _one(db, token, settings) if token else None,
            "judgment": _public(said) if said else None,
            "progress": _progress(db.execute(_NOW, {"person": me.person.id}).one(), settings),
        }

    state = state_of(request)
    found = state.study.database.transact(work)
    return {**found, "item": shown(state, [found["item"]])[0] if found["item"] else None}


@router.get("/api/recent")
def own_recent(request: Request, me: Judge) -> dict[str, Any]:
    with state_of(request).study.database.read() as db:
        return {"judgments": [_public(mine) for mine in recent(db, me.person)]}


@router.get("/api/judgments/{token}")
def show_again(request: Request, me: Judge, token: TokenInPath) -> dict[str, Any]:
    """One of the person's last ten answers with its comparison, sides as they were."""
    state = state_of(request)
    with state.study.database.read() as db:
        mine = next((mine for mine in recent(db, me.person) if mine.token == token), None)
        if mine is None:
            raise HTTPException(404, "only your last ten answers can be opened again")
        item = _one(db, token, settings_of(db))
    return {"judgment": _public(mine), "item": shown(state, [item])[0]}


@router.post("/api/judgments/{token}")
@writes
def change(
    db: Connection, request: Request, me: Judging, token: TokenInPath, given: Change
) -> dict[str, str]:
    """Change an answer, from the version that the screen has shown."""
    latest = {(mine.token, mine.version): mine.number for mine in recent(db, me.person)}
    number = latest.get((token, given.version), 0)
    edit(db, me.person, number, given.answered(settings_of(db)))
    return {"token": token}


@router.get("/api/raw/{token}")
def raw(request: Request, me: Judge, token: TokenInPath) -> dict[str, Any]:
    """The texts of one of the person's comparisons as they were written."""
    a = s.assignment.c
    mine = select(a.id).where(a.token == token, a.annotator == me.person.id)
    with state_of(request).study.database.read() as db:
        if db.scalar(mine) is None:
            raise HTTPException(404, "this comparison was not given to you")
        return as_written(assignments(db, ONE, token=token)[0])


# ------------------------------------------------------------------------------ what is next


def _next(db: Connection, person: Person, settings: StudySettings) -> dict[str, Any]:
    """What the person is asked now, or why nothing."""
    now = db.execute(_NOW, {"person": person.id}).one()
    left = settings.quota - now.judged if settings.quota else AHEAD
    items: list[Assignment] = []
    if now.stopped_at is None and left > 0:
        items = assign(db, person, settings, min(left, AHEAD))[:left]
    return {
        "items": [with_columns(item, settings) for item in items],
        "ended": None if items else _ended(now, settings, left),
        "progress": _progress(now, settings),
        "study": {"mode": settings.mode, "guideline": now.guideline},
    }


def _ended(now: Any, settings: StudySettings, left: int) -> dict[str, str]:
    """Why there is nothing to judge, with the code for whoever has done what was asked.

    Of a rule that has stopped the person no more is said: the reason would tell gold from others.
    """
    if now.stopped_at is not None:
        return {"why": "stopped"}
    why = "quota" if left <= 0 else "nothing open"
    if not now.judged or not settings.completion_code:
        return {"why": why}
    code = settings.completion_code
    url = settings.completion_url.replace("{code}", quote(code, safe=""))
    return {"why": why, "code": code, "url": url}


def _progress(now: Any, settings: StudySettings) -> dict[str, Any]:
    """The person's own count alone: one of the study would stand still at gold."""
    return {"judged": now.judged, "quota": settings.quota}


def _judged_since(db: Connection, person: Person, since: float) -> int:
    j = s.latest.c
    own = j.annotator == person.id, j.assignment.is_not(None), j.created_at >= since
    return db.scalar(select(func.count()).select_from(s.latest).where(*own)) or 0


def _one(db: Connection, token: str, settings: StudySettings) -> Assignment:
    return with_columns(assignments(db, ONE, token=token)[0], settings)


def _rendered(state: AppState, found: dict[str, Any], held: Sequence[str] = ()) -> dict[str, Any]:
    """The answer with its comparisons as HTML; outside of the transaction, which others await."""
    items = [item for item in found["items"] if item.token not in held]
    return {**found, "items": shown(state, items)}


def _public(mine: Recent) -> dict[str, Any]:
    """An answer without the number of its row, which counts everybody's."""
    return {name: value for name, value in asdict(mine).items() if name != "number"}
