"""The owner's pages, one table of them, and the decisions made there.

A viewer sees progress and annotators without changing anything and without knowing who anyone is.
Whoever resolves a disagreement is as blind as an annotator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi import Path as Parameter
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from sqlalchemy import Connection

from plaudit.statistics.aggregation import MODELS
from plaudit.study import review
from plaudit.study.accounts import ROLES, erase, set_active
from plaudit.study.answers import resolve
from plaudit.study.study import guideline_of, settings_of
from plaudit.study_app.context import AppState, Owner, Session, allowed, state_of, writes
from plaudit.study_app.rendering import render_messages
from plaudit.web.headers import root_of

router = APIRouter(prefix="/owner")
ON_PAGE = 20
Number = Annotated[int, Parameter(ge=1, le=2**62)]
Values = dict[str, Any]


def done(message: str) -> HTMLResponse:
    """What a form shows in its place after it worked."""
    return HTMLResponse(f'<p class="done" role="status">{message}</p>')


# -------------------------------------------------------------------------------- pages


def _progress(db: Connection, state: AppState, me: Session, page: int) -> Values:
    return {}


def _annotators(db: Connection, state: AppState, me: Session, page: int) -> Values:
    people = review.people(db)
    if me.person.role != "owner":
        people = [person | {"name": None, "email": None} for person in people]
    return {"people": people, "facts": {f.id: f for f in state.updater.overview.annotators}}


def _disagreements(db: Connection, state: AppState, me: Session, page: int) -> Values:
    waiting = review.unresolved(db, state.updater.overview.queue)
    shown = waiting[page * ON_PAGE : (page + 1) * ON_PAGE]
    return {
        "cards": [_card(review.card(db, comparison)) for comparison in shown],
        "reports": [_card(card) for card in review.reported(db, ON_PAGE)],
        "more": len(waiting) > (page + 1) * ON_PAGE,
    }


def _gold(db: Connection, state: AppState, me: Session, page: int) -> Values:
    total, shown = review.gold(db, page * ON_PAGE, ON_PAGE)
    return {
        "total": total,
        "cards": [_card(review.card(db, comparison)) for comparison in shown],
        "candidates": [_card(review.card(db, key)) for key in review.gold_candidates(db)],
        "more": total > (page + 1) * ON_PAGE,
    }


def _export(db: Connection, state: AppState, me: Session, page: int) -> Values:
    return {"models": ("auto", *MODELS)}


def _setup(db: Connection, state: AppState, me: Session, page: int) -> Values:
    return {
        "settings": asdict(settings_of(db)),
        "guideline": guideline_of(db)[1],
        "roles": ROLES,
        "audited": review.audit_lines(db),
        "links": review.open_invitations(db),
    }


def _card(card: Values) -> Values:
    return card | {name: render_messages(card[name]) for name in ("prompt", "a", "b")}


@dataclass(frozen=True)
class Page:
    """A page of the menu: its template's name, title, who may see it, and what it shows."""

    name: str
    title: str
    roles: tuple[str, ...]
    values: Callable[[Connection, AppState, Session, int], Values]
    path: str

    def endpoint(self) -> Callable[..., Response]:
        allowed_only = Depends(allowed(*self.roles))

        def show(
            request: Request,
            me: Session = allowed_only,
            page: Annotated[int, Query(ge=0, le=10_000)] = 0,
        ) -> Response:
            state = state_of(request)
            with state.study.database.read() as db:
                values = self.values(db, state, me, page)
            values |= {"overview": state.updater.overview, "page": page, "here": self.name}
            return state.page(request, f"{self.name}.html", **values)

        return show


PAGES = (
    Page("progress", "Progress", ("owner", "viewer"), _progress, ""),
    Page("annotators", "Annotators", ("owner", "viewer"), _annotators, "/annotators"),
    Page("disagreements", "Disagreements", ("owner",), _disagreements, "/disagreements"),
    Page("gold", "Gold", ("owner",), _gold, "/gold"),
    Page("export", "Export", ("owner",), _export, "/export"),
    Page("setup", "Set-up", ("owner",), _setup, "/setup"),
)
# The part of the progress page that renews itself.
PARTS = (Page("numbers", "", ("owner", "viewer"), _progress, "/numbers"),)
for _page in (*PAGES, *PARTS):
    router.add_api_route(_page.path, _page.endpoint(), methods=["GET"], response_model=None)


# -------------------------------------------------------------------------------- decisions


class Activity(BaseModel):
    active: bool


class Decision(BaseModel):
    """a and b are the canonical sides, which is how the cards show them."""

    answer: str = ""
    key: str = ""
    note: str = ""


@router.post("/annotators/{annotator}/active")
@writes
def change_active(
    db: Connection,
    request: Request,
    me: Owner,
    annotator: Number,
    form: Annotated[Activity, Form()],
) -> Response:
    set_active(db, annotator, form.active, me.person.pseudonym)
    return _reload(request)


@router.post("/annotators/{annotator}/erase")
def erase_identity(request: Request, me: Owner, annotator: Number) -> Response:
    database = state_of(request).study.database
    database.transact(lambda db: erase(db, annotator, me.person.pseudonym))
    database.checkpoint()  # what was erased must not live on in SQLite's log
    return _reload(request)


def _reload(request: Request) -> Response:
    target = f"{root_of(request)}/owner/annotators"
    return Response(status_code=204, headers={"hx-redirect": target})


@router.post("/disagreements/{comparison}")
@writes
def decide(
    db: Connection,
    request: Request,
    me: Owner,
    comparison: Number,
    form: Annotated[Decision, Form()],
) -> Response:
    resolve(db, me.person, comparison, form.answer, form.key, form.note)
    words = {"a": "the left is better", "b": "the right is better", "tie": "a tie"}
    return done(f"Resolved: {words.get(form.answer, 'both bad')}.")


@router.post("/gold/{comparison}")
@writes
def change_gold(
    db: Connection,
    request: Request,
    me: Owner,
    comparison: Number,
    form: Annotated[Decision, Form()],
) -> Response:
    review.set_gold(db, comparison, form.answer, me.person.pseudonym)
    return done("Marked as gold." if form.answer else "Removed from gold.")
