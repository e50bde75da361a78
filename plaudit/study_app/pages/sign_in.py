"""The way in with a password or a return code, and the way out."""

from __future__ import annotations

import math
import secrets
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from plaudit.errors import DataError
from plaudit.study import accounts
from plaudit.study.accounts import Person
from plaudit.study.passwords import hash_password, outdated, right_password
from plaudit.study_app.context import AppState, SignedIn, session_of, state_of, writes
from plaudit.web.door import Text
from plaudit.web.headers import root_of
from plaudit.web.limits import network_of
from plaudit.web.tokens import address_of, refuse_elsewhere

router = APIRouter()
WRONG = "No account has this e-mail address and password."
NO_CODE = "This return code is not valid; ask the study's owner for a new return link."
PAGES = ("/judge", "/owner", "/account")  # where a person can be led after signing in


class Credentials(BaseModel):
    email: Text = Field(default="", max_length=254)
    password: Text = Field(default="", max_length=1000)
    code: Text = Field(default="", max_length=500)


class SignIn(Credentials):
    csrf: str = ""
    next: str = ""


def go(request: Request, path: str) -> RedirectResponse:
    return RedirectResponse(root_of(request) + path, 303)


def home_of(person: Person) -> str:
    return "/judge" if person.role == "annotator" else "/owner"


def stranger_page(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page whose forms need no session, with their token, and the browser's own cookie."""
    state = state_of(request)
    cookie = state.tokens.device_cookie
    device = state.tokens.of(request, cookie) or secrets.token_urlsafe(24)
    form_token = state.tokens.form(device)
    response = state.page(request, name, status, form_token=form_token, **values)
    state.keep(request, response, cookie, device)
    return response


def enter(request: Request, response: Response, session: str, code: str | None = None) -> Response:
    """Give the browser its session, and end the one it had."""
    state = state_of(request)
    if before := state.tokens.of(request):
        state.study.database.transact(lambda db: accounts.sign_out(db, before))
    if code:
        state.keep(request, response, state.tokens.return_cookie, code)
    elif state.tokens.return_cookie in request.cookies:
        state.drop(request, response, state.tokens.return_cookie)
    state.keep(request, response, state.tokens.cookie, session)
    return response


@router.get("/")
def home(request: Request) -> Response:
    session = session_of(request)
    return go(request, home_of(session.person) if session else "/sign-in")


@router.get("/sign-in")
def show_sign_in(request: Request, next: str = "") -> Response:
    session_of(request)  # so that the page can say who is signed in already
    return stranger_page(request, "sign_in.html", error="", next=_known(next))


@router.post("/sign-in")
async def use_account(request: Request, form: Annotated[SignIn, Form()]) -> Response:
    state = state_of(request)
    state.tokens.refuse_forged_form(request, form.csrf, state.config.host_name)
    target = _known(form.next)
    try:
        _, session, code = await _resumed(request, form)
    except (DataError, HTTPException) as error:
        status = error.status_code if isinstance(error, HTTPException) else 400
        said = str(error.detail) if isinstance(error, HTTPException) else str(error)
        values = {"error": said, "next": target}
        return await run_in_threadpool(stranger_page, request, "sign_in.html", status, **values)
    return await run_in_threadpool(enter, request, go(request, target), session, code)


@router.post("/api/resume")
async def resume(request: Request, given: Credentials) -> Response:
    """Sign in again without leaving the page: who it is, and the token of the new session."""
    state = state_of(request)
    refuse_elsewhere(request, state.config.host_name)  # a form cannot send JSON
    person, session, code = await _resumed(request, given)
    answer = {"pseudonym": person.pseudonym, "csrf": state.tokens.csrf(session)}
    return await run_in_threadpool(enter, request, JSONResponse(answer), session, code)


@router.post("/api/sign-out")
@writes
def leave(db: Connection, request: Request, me: SignedIn, response: Response) -> dict[str, bool]:
    state = state_of(request)
    accounts.sign_out(db, me.token)
    for name in (state.tokens.cookie, state.tokens.return_cookie):
        state.drop(request, response, name)
    return {"done": True}


def _known(path: str) -> str:
    """The path, where it is one of our own pages; the start page else."""
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path
    known = any(path == page or path.startswith((f"{page}/", f"{page}?")) for page in PAGES)
    return path if plain and known and len(path) <= 200 else "/"


# ----------------------------------------------------------------------------- who it is


async def _resumed(request: Request, given: Credentials) -> tuple[Person, str, str | None]:
    """Who signs in by a password or a return code, with their new session, and the code.

    Raises DataError where neither is right, 429 after too many wrong ones, 503 in a crowd.
    """
    database = state_of(request).study.database
    if given.code.strip():
        return await run_in_threadpool(_by_code, request, given.code)
    person = await right_person(request, given.email, given.password)

    def work() -> str:
        return database.transact(lambda db: accounts.sign_in(db, person))

    return person, await run_in_threadpool(work), None


def _by_code(request: Request, given: str) -> tuple[Person, str, str | None]:
    state = state_of(request)
    # People paste the whole link.
    code = given.strip().rstrip("/").rpartition("/")[2].partition("?")[0]

    def work(db: Connection) -> tuple[Person, str, str | None] | None:
        link = accounts.find_link(db, code)
        if link is None or link.person is None:
            return None
        person, session, new = accounts.come_back(db, code)
        return person, session, new or code

    found = state.study.database.transact(work)
    if found is None:
        if not state.limits.links.allows(network_of(address_of(request))):
            raise HTTPException(429, "too many wrong codes; wait a few minutes")
        raise DataError(NO_CODE)
    return found


async def right_person(request: Request, email: str, password: str) -> Person:
    """The person of an account. Raises DataError on a wrong password, 429 after too many.

    Wrong tries count for the account and the network together, so that nobody can lock out the
    owner of an account from elsewhere; and the browser in which the account was made is never
    made to wait for what others have tried.
    """
    state = state_of(request)
    person, stored = await run_in_threadpool(_account, state, email)
    device = state.tokens.of(request, state.tokens.device_cookie)
    own = person is not None and device is not None and person.device == accounts.hashed(device)
    network = network_of(address_of(request))
    account = sha256(email.strip().lower().encode()).hexdigest()
    limits, key = state.limits, f"{account} {device if own else network}"
    wait = limits.tries.wait(key)
    if not own and not (
        limits.network.allows(network, counted=False)
        and limits.spread.allows(account, counted=False)
    ):
        wait = max(wait, 30.0)
    if wait:
        seconds = math.ceil(wait)
        raise HTTPException(
            429, f"too many wrong attempts: wait {seconds} s", {"retry-after": str(seconds)}
        )
    limits.tries.wrong(key)  # until it has proved right: many at once are many
    if not await limits.passwords.run(right_password, stored, password) or person is None:
        limits.network.allows(network)
        limits.spread.allows(account)
        raise DataError(WRONG)
    limits.tries.right(key)
    if outdated(stored):
        await _hash_anew(state, person, password)
    return person


def _account(state: AppState, email: str) -> tuple[Person | None, str]:
    with state.study.database.read() as db:
        return accounts.account(db, email)


async def _hash_anew(state: AppState, person: Person, password: str) -> None:
    """Store the password at today's cost."""
    new = await state.limits.passwords.run(hash_password, password)

    def work() -> None:
        state.study.database.transact(lambda db: accounts.set_password(db, person, new))

    await run_in_threadpool(work)
