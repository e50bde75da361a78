"""The way in by a link: for somebody new, or back in for whom it was made.

Opening a link uses nothing up and signs nobody in: mail scanners open links too. Whoever is
signed in already, or has judged in this browser before, goes on as that unless they choose
otherwise.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from plaudit.errors import DataError
from plaudit.study import accounts
from plaudit.study.accounts import Link, Newcomer, Person
from plaudit.study.passwords import check_account, check_password, hash_password
from plaudit.study_app.context import AppState, session_of, state_of
from plaudit.study_app.pages.sign_in import enter, go, home_of, stranger_page
from plaudit.web.limits import network_of
from plaudit.web.tokens import address_of

router = APIRouter()
DISAGREED = "Please read what you are asked to agree to, and agree to it before you start."


class Joining(BaseModel):
    csrf: str = ""
    name: str = Field(default="", max_length=200)
    email: str = Field(default="", max_length=254)
    password: str = Field(default="", max_length=1000)
    consent: bool = False
    new: bool = False  # chosen: join as somebody else than this browser's person


@router.get("/join/{token}")
def show_link(request: Request, token: str) -> Response:
    link = _find(request, token)
    return _page(request, token, link, 200 if _complete(link) else 400)


@router.post("/join/{token}")
async def use_link(request: Request, token: str, form: Annotated[Joining, Form()]) -> Response:
    state = state_of(request)
    state.tokens.refuse_forged_form(request, form.csrf, state.config.host_name)
    link = await run_in_threadpool(_find, request, token)
    try:
        email, password = await _credentials(state, link, form)
        done = await run_in_threadpool(_use, request, token, link, form, email, password)
    except DataError as error:
        return await run_in_threadpool(_page, request, token, link, 400, str(error))
    return done


async def _credentials(state: AppState, link: Link, form: Joining) -> tuple[str, str | None]:
    """Address and password's hash, for whom an account is made or a new password chosen."""
    back = link.person is not None
    if not form.password and (back or not form.email.strip()):
        return "", None
    email = ""
    if back:
        check_password(form.password)
    else:
        email = check_account(form.email, form.password)
    return email, await state.limits.passwords.run(hash_password, form.password)


def _use(
    request: Request, token: str, link: Link, form: Joining, email: str, password: str | None
) -> Response:
    state, session = state_of(request), session_of(request)
    device = state.tokens.of(request, state.tokens.device_cookie)
    if link.person is None and not form.new and (session or _before(state, device)):
        # Joining as somebody else must be chosen.
        return go(request, "/") if session else _page(request, token, link, 409)
    if _asks_consent(state, link) and not form.consent:
        raise DataError(DISAGREED)
    code = None if email or link.platform else _unused_code(request)
    new = Newcomer(
        name=form.name,
        email=email,
        password=password,
        device=device,
        external_id=link.external_id,
        consented=form.consent and bool(state.study.settings.consent),
        code=code,
    )

    def work(db: Connection) -> tuple[Person, str, str | None]:
        found = accounts.find_link(db, token, request.query_params)
        if found is None or found.person is None:
            return (*accounts.join(db, token, new), code)
        person, ticket, renewed = accounts.come_back(db, token, request.query_params, password)
        if new.consented:
            accounts.consent(db, person)
        # A personal link brings its own code along.
        return person, ticket, renewed or (token if found.number is None else None)

    person, ticket, code = _twice(state, work)
    return enter(request, go(request, home_of(person)), ticket, code)


def _twice(state: AppState, work: Any) -> Any:
    """The work's result; again where another request took the same address or ID meanwhile."""
    try:
        return state.study.database.transact(work)
    except IntegrityError:
        return state.study.database.transact(work)


def _find(request: Request, token: str) -> Link:
    """What the link is good for. A link that is good is refused to nobody.

    Raises 404 on one that is not, 429 after many of those from one network.
    """
    state = state_of(request)
    session_of(request)  # so that every page of this says who is signed in
    with state.study.database.read() as db:
        link = accounts.find_link(db, token, request.query_params)
    if link is not None:
        return link
    if not state.limits.links.allows(network_of(address_of(request))):
        raise HTTPException(429, "too many links tried; wait a few minutes")
    raise HTTPException(404, accounts.USED_UP)


def _complete(link: Link) -> bool:
    return not link.platform or bool(link.external_id)


def _asks_consent(state: AppState, link: Link) -> bool:
    """Whether the person has still to agree to what the study asks annotators to agree to."""
    if link.role != "annotator" or not state.study.settings.consent.strip():
        return False
    if link.person is None:
        return True
    with state.study.database.read() as db:
        return not accounts.has_consented(db, link.person)


def _before(state: AppState, device: str | None) -> list[str]:
    with state.study.database.read() as db:
        return accounts.people_of_browser(db, device)


def _unused_code(request: Request) -> str | None:
    """The return code that the join page showed; None in a browser that got none."""
    state = state_of(request)
    code = state.tokens.of(request, state.tokens.return_cookie)
    with state.study.database.read() as db:
        used = code is not None and accounts.code_owner(db, code) is not None
    if used or (code is None and state.tokens.of(request, state.tokens.device_cookie)):
        return secrets.token_urlsafe(24)
    return code


def _page(request: Request, token: str, link: Link, status: int = 200, error: str = "") -> Response:
    state, session = state_of(request), session_of(request)
    device = state.tokens.of(request, state.tokens.device_cookie)
    before = _before(state, device)
    kept = state.tokens.of(request, state.tokens.return_cookie)
    with state.study.database.read() as db:
        back = accounts.find_link(db, kept) if kept else None
        resets = (
            link.person is not None
            and link.number is not None
            and not link.platform
            and accounts.has_account(db, link.person)
        )
    fresh = link.person is None and not link.platform and back is None
    code = (kept or secrets.token_urlsafe(24)) if fresh else ""
    response = stranger_page(
        request,
        "join.html",
        status,
        error=error,
        token=token,
        query=f"?{request.url.query}" if request.url.query else "",
        link=link,
        complete=_complete(link),
        consent=state.study.settings.consent if _asks_consent(state, link) else "",
        before=[] if session else before,
        resets=resets,
        code=code,
        back=kept if back and back.person and not session else "",
    )
    if code and code != kept:
        state.keep(request, response, state.tokens.return_cookie, code)
    return response
