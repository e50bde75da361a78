"""Comparisons: searched, opened, decided on.

No page names the models that wrote the responses until the owner asks for them.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi import Depends as Needs
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.datastructures import FormData

from plaudit.errors import DataError
from plaudit.study import browse, people, review
from plaudit.study.answers import resolve
from plaudit.study_app.context import Owner, state_of, writes
from plaudit.study_app.pages.page import (
    ON_PAGE,
    Number,
    Values,
    Visit,
    done,
    go,
    in_words,
    rendered,
    show_page,
)

router = APIRouter()
FILTERS = ("text", "state", "model", "annotator", "column")


# ------------------------------------------------------------------------------------ lists


def comparisons(visit: Visit) -> Values:
    asked = {name: visit.parameters.get(name, "").strip()[:200] for name in FILTERS}
    before = visit.parameters.get("before", "")
    if before and not (before.isascii() and before.isdigit() and int(before) < 2**62):
        raise DataError(f"before is the number of a comparison, found {before!r:.40}")
    db = visit.db
    number = asked["text"].removeprefix("#")
    query = browse.Query(**asked, before=int(before) if before else None)
    return {
        "asked": asked,
        "filtered": any(asked.values()),
        "found": browse.search(db, query),
        "number": int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0,
        "states": browse.STATES,
        "models": browse.known_models(db),
        "annotators": people.pseudonyms(db),
        "columns": browse.known_columns(db),
    }


def disagreements(visit: Visit) -> Values:
    waiting = review.unresolved(visit.db, visit.state.updater.overview.queue)
    return _cards(visit, waiting)


def problems(visit: Visit) -> Values:
    found = review.problems(visit.db, visit.offset, ON_PAGE + 1)
    return {"cards": found[:ON_PAGE], "more": len(found) > ON_PAGE}


def gold(visit: Visit) -> Values:
    total, shown = review.gold(visit.db, visit.offset, ON_PAGE)
    candidates = review.gold_candidates(visit.db) if visit.page == 0 else []
    return {
        "total": total,
        "cards": [review.card(visit.db, comparison) for comparison in shown],
        "candidates": [review.card(visit.db, key) for key in candidates],
        "more": total > visit.offset + ON_PAGE,
    }


def _cards(visit: Visit, comparisons: list[int]) -> Values:
    shown = comparisons[visit.offset : visit.offset + ON_PAGE]
    return {
        "cards": [review.card(visit.db, comparison) for comparison in shown],
        "more": len(comparisons) > visit.offset + ON_PAGE,
    }


# ---------------------------------------------------------------------------- one comparison


@router.get("/comparisons/{comparison}")
def show_comparison(request: Request, me: Owner, comparison: Number) -> Response:
    state = state_of(request)
    with state.study.database.read() as db:
        found = review.card(db, comparison)
        said = [in_words(line) for line in review.judgments(db, comparison)]
    (card,) = rendered(state, [found])
    return show_page(request, "comparison", "comparisons", card=card, said=said)


@router.get("/comparisons/{comparison}/models")
def show_models(request: Request, me: Owner, comparison: Number) -> Response:
    with state_of(request).study.database.read() as db:
        models = review.models(db, comparison)
    return state_of(request).page(request, "models.html", models=models)


@router.get("/comparisons/{comparison}/edit")
def show_editor(request: Request, me: Owner, comparison: Number) -> Response:
    with state_of(request).study.database.read() as db:
        card = review.card(db, comparison)
    return show_page(request, "edit", "comparisons", card=card)


async def _form(request: Request) -> FormData:
    return await request.form()


@router.post("/comparisons/{comparison}/edit")
@writes
def edit(
    db: Connection,
    request: Request,
    me: Owner,
    comparison: Number,
    form: Annotated[FormData, Needs(_form)],
) -> Response:
    texts = {name: [str(text) for text in form.getlist(name)] for name in review.SIDES}
    number = review.edit(db, comparison, texts, me.person.pseudonym)
    return go(request, f"/comparisons/{number}")


@router.post("/comparisons/{comparison}/withdraw")
@writes
def withdraw(db: Connection, request: Request, me: Owner, comparison: Number) -> Response:
    review.withdraw(db, comparison, me.person.pseudonym)
    return done("Withdrawn: it is asked no more, and is in no figure or export.")


@router.post("/comparisons/{comparison}/reopen")
@writes
def reopen(db: Connection, request: Request, me: Owner, comparison: Number) -> Response:
    review.reopen(db, comparison, me.person.pseudonym)
    return done("Reopened: it counts again, with the judgments it has.")


class Kept(BaseModel):
    upto: int = Field(ge=1, le=2**62)


@router.post("/comparisons/{comparison}/keep")
@writes
def keep(
    db: Connection,
    request: Request,
    me: Owner,
    comparison: Number,
    form: Annotated[Kept, Form()],
) -> Response:
    review.keep(db, comparison, form.upto, me.person.pseudonym)
    return done("Kept as it is. It comes back here when it is skipped or reported again.")


class Decision(BaseModel):
    """a and b are the canonical sides, which is how the cards show them."""

    answer: str = ""
    key: str = ""
    note: str = Field(default="", max_length=10_000)


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
    words = {"a": "response a is better", "b": "response b is better", "tie": "equal"}
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
