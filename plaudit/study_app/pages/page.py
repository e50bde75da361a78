"""What the owner's pages share: how a page is made, and how a comparison is shown on one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi import Path as Parameter
from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from plaudit.study.answers import note_with_sides
from plaudit.study.review import SIDES
from plaudit.study_app.context import AppState, Session, allowed, state_of
from plaudit.web.headers import root_of

ON_PAGE = 20
Number = Annotated[int, Parameter(ge=1, le=2**62)]
Values = dict[str, Any]
BETTER = {1: "slightly better", 2: "better", 3: "much better"}
CARDS = {"cards", "candidates"}  # lists of comparisons that a page shows
LINES = ("votes", "problems")  # lists of judgments in a card
ANSWERS = {"tie": "Equal", "both_bad": "Both bad", "skip": "Skipped", "withdrawn": "Taken back"}


def done(message: str) -> HTMLResponse:
    """What a form shows in its place after it worked."""
    return HTMLResponse(f'<p class="done" role="status">{escape(message)}</p>')


def go(request: Request, path: str) -> Response:
    """Have the browser open a page of the owner's, after a form there worked."""
    return Response(status_code=204, headers={"hx-redirect": f"{root_of(request)}/owner{path}"})


@dataclass(frozen=True)
class Visit:
    """Somebody's look at a page: number `page` of its list, with the query's parameters."""

    db: Connection
    state: AppState
    me: Session
    page: int
    parameters: Mapping[str, str]

    @property
    def offset(self) -> int:
        return self.page * ON_PAGE


@dataclass(frozen=True)
class Page:
    """A page of the menu: its template's name, title and path, what it shows, and to whom."""

    name: str
    title: str
    path: str
    values: Callable[[Visit], Values]
    roles: tuple[str, ...] = ("owner",)

    def endpoint(self) -> Callable[..., Response]:
        allowed_only = Depends(allowed(*self.roles))

        def show(
            request: Request,
            me: Session = allowed_only,
            page: Annotated[int, Query(ge=0, le=10_000)] = 0,
        ) -> Response:
            state = state_of(request)
            with state.study.database.read() as db:
                visit = Visit(db, state, me, page, request.query_params)
                values = self.values(visit)
            # Outside of the transaction: a text that has no HTML yet gets it in one of its own.
            for name in CARDS & values.keys():
                values[name] = rendered(state, values[name])
            return show_page(request, self.name, page=page, **values)

        return show


def show_page(request: Request, name: str, here: str = "", **values: Any) -> Response:
    """Render an owner's template; `here` is the page of the menu that it belongs to."""
    state = state_of(request)
    values |= {"overview": state.updater.overview, "here": here or name}
    return state.page(request, f"{name}.html", **values)


# ---------------------------------------------------------------------------- a comparison


def rendered(state: AppState, cards: Sequence[Values]) -> list[Values]:
    """Cards with their texts as HTML and their judgments in words."""
    html = iter(state.study.shown([card[name] for card in cards for name in SIDES]))
    return [
        card
        | {name: next(html) for name in SIDES}
        | {name: [in_words(v) for v in card[name]] for name in LINES if name in card}
        for card in cards
    ]


def in_words(line: Values) -> Values:
    """A judgment with `words`, what it says of responses a and b, and `screen`, the letter that
    the chosen response had on the annotator's screen; empty where it had none."""
    answer, left = line["answer"], line["left"]
    words = ANSWERS.get(answer) or f"Response {answer} is {BETTER[line['strength'] or 2]}"
    chosen = answer in ("a", "b") and left is not None
    screen = ("A" if answer == left else "B") if chosen else ""
    return line | {
        "words": words,
        "screen": screen,
        "note": note_with_sides(line["rationale"], left),
    }
