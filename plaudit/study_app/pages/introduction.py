"""What a person reads before the first comparison, and how they have set the screen up."""

from __future__ import annotations

from difflib import unified_diff
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Connection, func, select, update

from plaudit.config import StudySettings
from plaudit.study import schema as s
from plaudit.study.accounts import Person, consent, has_consented
from plaudit.study.practice import Practice, practice_pairs
from plaudit.study.study import guideline_of, settings_of
from plaudit.study_app.context import session_of, state_of, writes
from plaudit.study_app.pages.judging import Judge, Judging, as_written, shown
from plaudit.web.headers import root_of

router = APIRouter()
# What a key can do; judge.js has the key of each until a person chooses another.
ACTIONS = frozenset(
    """left right tie both_bad skip undo note report differences raw mode guideline recent keys
    level1 level2 level3 level4 level5 level6 level7""".split()
)
FIXED_KEYS = frozenset({"Enter", "Escape", "Tab", "Shift", "Backspace"})

KeyName = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f]{1,20}$")]


class Seen(BaseModel):
    version: int = Field(ge=1, le=2**31 - 1)


class Preferences(BaseModel):
    shortcuts: bool | None = None
    mode: Literal["fast", "graded"] | None = None
    keys: dict[str, KeyName] | None = Field(default=None, max_length=len(ACTIONS))
    practised: Literal[True] | None = None


class Agreement(BaseModel):
    csrf: str = ""
    consent: Literal["true"]


def owes_consent(db: Connection, person: Person, settings: StudySettings) -> bool:
    """Whether the person judges without having agreed to what the study asks for since."""
    asked = person.role == "annotator" and bool(settings.consent.strip())
    return asked and not has_consented(db, person)


@router.post("/consent")
def agree(request: Request, form: Annotated[Agreement, Form()]) -> Response:
    """A plain form, before the judging screen and its scripts."""
    state, session = state_of(request), session_of(request)
    if session is None:
        raise HTTPException(401, "please sign in")
    state.tokens.refuse_forged(request, session.token, form.csrf)
    state.study.database.transact(lambda db: consent(db, session.person))
    return RedirectResponse(f"{root_of(request)}/judge", 303)


@router.get("/judge/guideline")
def show_guideline(request: Request, me: Judge) -> Response:
    """The guideline in force as a part of the page, with what changed since it was last read."""
    state = state_of(request)
    with state.study.database.read() as db:
        part = guideline_for(db, me.person)
    return state.page(request, "guideline_text.html", **part)


@router.post("/api/guideline-seen")
@writes
def read_guideline(db: Connection, request: Request, me: Judging, given: Seen) -> dict[str, int]:
    """Keep which version was shown to the person last; judgments carry it."""
    latest = db.scalar(select(func.max(s.guideline.c.version))) or 0
    if given.version > latest:
        raise HTTPException(400, f"the newest guideline is version {latest}")
    mine = s.annotator.c.id == me.person.id, s.annotator.c.guideline_seen < given.version
    db.execute(update(s.annotator).where(*mine).values(guideline_seen=given.version))
    return {"seen": seen(db, me.person)}


@router.get("/api/practice")
def practice(request: Request, me: Judge) -> dict[str, Any]:
    """The practice pairs with their answers; what is answered to them is not stored."""
    state = state_of(request)
    with state.study.database.read() as db:
        pairs = practice_pairs(db)
    items = shown(state, [pair.item for pair in pairs])
    return {"items": [_explained(*each) for each in zip(pairs, items, strict=True)]}


@router.post("/api/preferences")
@writes
def prefer(db: Connection, request: Request, me: Judging, given: Preferences) -> dict[str, Any]:
    """Change some of a person's preferences; what another tab has changed stays."""
    changes = given.model_dump(exclude_none=True)
    if given.keys is not None:
        _refuse_conflicts(given.keys)
    if given.mode is not None:
        changes["mode_over"] = settings_of(db).mode
    a = s.annotator
    row = select(a.c.preferences).where(a.c.id == me.person.id).with_for_update()
    kept = (db.scalar(row) or {}) | changes
    db.execute(update(a).where(a.c.id == me.person.id).values(preferences=kept))
    return kept


def guideline_for(db: Connection, person: Person) -> dict[str, Any]:
    """The guideline in force, and what has changed since the version that the person read."""
    version, text = guideline_of(db)
    before = seen(db, person)
    g = s.guideline.c
    read = db.scalar(select(g.markdown).where(g.version == before)) or ""
    return {
        "guideline": text,
        "guideline_version": version,
        "version_seen": before,
        "changes": _changed_lines(read, text) if 0 < before < version else [],
    }


def seen(db: Connection, person: Person) -> int:
    """The version of the guideline that the person was shown last; 0 for none."""
    a = s.annotator.c
    return db.scalar(select(a.guideline_seen).where(a.id == person.id)) or 0


def mode_of(person: Person, settings: StudySettings) -> str:
    """The person's own mode, as long as the owner's is the one that they chose it over."""
    own = person.preferences
    return own["mode"] if own.get("mode_over") == settings.mode else settings.mode


def forget_old_mode(db: Connection, person: Person, settings: StudySettings) -> None:
    """Drop a mode that was chosen over an earlier one of the owner's, so that it never returns."""
    own = person.preferences
    if "mode" in own and own.get("mode_over") != settings.mode:
        kept = {k: v for k, v in own.items() if k not in ("mode", "mode_over")}
        db.execute(
            update(s.annotator).where(s.annotator.c.id == person.id).values(preferences=kept)
        )


def _refuse_conflicts(keys: dict[str, str]) -> None:
    if unknown := set(keys) - ACTIONS:
        raise HTTPException(422, f"no action {unknown.pop()!r:.40}")
    taken: set[str] = set(FIXED_KEYS)
    for action, key in keys.items():
        if key in taken:
            raise HTTPException(422, f"the key {key} is taken; choose another for {action}")
        taken.add(key)


def _changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    """(+, − or empty, line) of what changed, with a line around it; empty lines do not count."""
    old, new = ([line for line in text.splitlines() if line.strip()] for text in (before, after))
    signs = {"+": "+", "-": "−", " ": ""}
    lines = list(unified_diff(old, new, n=1, lineterm=""))[2:]
    return [(signs[line[0]], line[1:]) for line in lines if line[0] in signs]


def _explained(pair: Practice, item: dict[str, Any]) -> dict[str, Any]:
    about = {"answer": pair.answer, "explanation": pair.explanation}
    return {**item, **about, "written": as_written(pair.item)}
