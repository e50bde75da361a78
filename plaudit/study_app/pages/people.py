"""Who takes part: their quality, what an owner decides about them, links, and the audit log."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from plaudit.study import people
from plaudit.study.accounts import ROLES, Person, erase, invite
from plaudit.study_app.context import Owner, state_of, writes
from plaudit.study_app.pages.page import Number, Values, Visit, done, go

router = APIRouter()
LINES = 50  # of the audit on one page


def annotators(visit: Visit) -> Values:
    everyone = people.people(visit.db)
    if visit.me.person.role != "owner":
        hidden = {"name": None, "email": None, "platform": None, "external_id": None}
        everyone = [person | hidden for person in everyone]
    facts = {facts.id: facts for facts in visit.state.updater.overview.annotators}
    return {"people": everyone, "facts": facts}


def invitations(visit: Visit) -> Values:
    return {"roles": ROLES, "links": people.open_invitations(visit.db)}


def audit(visit: Visit) -> Values:
    total, lines = people.audit_lines(visit.db, visit.page * LINES, LINES)
    return {"total": total, "lines": lines, "more": total > (visit.page + 1) * LINES}


# ------------------------------------------------------------------------- about a person


def _deactivate(db: Connection, annotator: int, me: Person) -> None:
    people.change_active(db, annotator, False, me)


def _reactivate(db: Connection, annotator: int, me: Person) -> None:
    people.change_active(db, annotator, True, me)


def _erase(db: Connection, annotator: int, me: Person) -> None:
    erase(db, annotator, me.pseudonym)


DECISIONS = {
    "deactivate": _deactivate,
    "reactivate": _reactivate,
    "take-out": people.take_out,
    "take-back": people.take_back,
    "resume": people.resume,
    "erase": _erase,
}
Decision = Literal["deactivate", "reactivate", "take-out", "take-back", "resume", "erase"]


@router.post("/annotators/{annotator}/{decision}")
@writes
def decide(
    db: Connection, request: Request, me: Owner, annotator: Number, decision: Decision
) -> Response:
    DECISIONS[decision](db, annotator, me.person)
    state_of(request).updater.wake()
    return go(request, "/annotators")


# ----------------------------------------------------------------------------------- links


class Invitation(BaseModel):
    role: str = "annotator"
    uses: int = 1
    days: float = Field(default=7, gt=0, le=90, allow_inf_nan=False)


@router.post("/invite")
@writes
def new_link(
    db: Connection, request: Request, me: Owner, form: Annotated[Invitation, Form()]
) -> Response:
    token = invite(db, form.role, me.person.pseudonym, form.uses, form.days * 86400)
    state = state_of(request)
    base = request.base_url.replace(scheme="https") if state.config.https else request.base_url
    link = f"{str(base).rstrip('/')}/join/{token}"
    return state.page(request, "link.html", link=link, role=form.role, uses=form.uses)


@router.post("/invitations/{number}/revoke")
@writes
def revoke_link(db: Connection, request: Request, me: Owner, number: Number) -> Response:
    people.revoke(db, number, me.person.pseudonym)
    return done("The link no longer works.")
