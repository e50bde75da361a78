"""Who takes part: their quality, what an owner decides about them, links, and the audit log."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from plaudit.study import people
from plaudit.study.accounts import ROLES, Person, invite
from plaudit.study.owners import erase
from plaudit.study_app.context import Owner, state_of, writes
from plaudit.study_app.pages.page import Number, Values, Visit, done, go
from plaudit.web.headers import page_address

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


DECISIONS = {
    "deactivate": _deactivate,
    "reactivate": _reactivate,
    "take-out": people.take_out,
    "take-back": people.take_back,
    "resume": people.resume,
}
Decision = Literal["deactivate", "reactivate", "take-out", "take-back", "resume"]


@router.post("/annotators/{annotator}/erase")
def erase_identity(request: Request, me: Owner, annotator: Number) -> Response:
    database = state_of(request).study.database
    database.transact(lambda db: erase(db, annotator, me.person.pseudonym))
    database.checkpoint()  # of what was erased nothing stays in the log either
    return go(request, "/annotators")


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
    needs_account: bool = False
    platform: str = Field(default="", max_length=60)


@router.post("/invite")
@writes
def new_link(
    db: Connection, request: Request, me: Owner, form: Annotated[Invitation, Form()]
) -> Response:
    token = invite(
        db,
        form.role,
        me.person.pseudonym,
        form.uses,
        form.days * 86400,
        needs_account=form.needs_account,
        platform=form.platform.strip() or None,
    )
    link = f"{page_address(request)}/join/{token}"
    if form.platform.strip():  # as platforms want it: they put the person's ID in its place
        link += f"?{form.platform.strip()}={{{{%{form.platform.strip()}%}}}}"
    return state_of(request).page(
        request, "link.html", link=link, role=form.role, uses=form.uses, platform=form.platform
    )


@router.post("/invitations/{number}/revoke")
@writes
def revoke_link(db: Connection, request: Request, me: Owner, number: Number) -> Response:
    people.revoke(db, number, me.person.pseudonym)
    return done("The link no longer works.")
