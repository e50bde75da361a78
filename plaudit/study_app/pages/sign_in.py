"""The way in: an invitation link, an account, the way out."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from sqlalchemy import Connection

from plaudit.errors import DataError
from plaudit.study.accounts import account, invitation, join, right_password, sign_in, sign_out
from plaudit.study_app.context import SignedIn, session_of, state_of, writes
from plaudit.web.headers import root_of
from plaudit.web.tokens import address_of, refuse_other_sites

router = APIRouter()


class Joining(BaseModel):
    name: str = ""
    email: str = ""
    password: str = ""


class Credentials(BaseModel):
    email: str
    password: str


def _go(request: Request, path: str) -> RedirectResponse:
    return RedirectResponse(root_of(request) + path, 303)


@router.get("/")
def home(request: Request) -> Response:
    session = session_of(request)
    if session is None:
        return _go(request, "/sign-in")
    return _go(request, "/judge" if session.person.role == "annotator" else "/owner")


@router.get("/join/{token}")
def show_invitation(request: Request, token: str) -> Response:
    """Opening a link uses nothing up: mail scanners open them too."""
    state = state_of(request)
    with state.study.database.read() as db:
        role = invitation(db, token)
    if role is None:
        # Only wrong links count: a whole office may join from one address.
        if not state.join_limit.allows(address_of(request)):
            raise HTTPException(429, "too many links tried; wait a few minutes")
        raise HTTPException(404, "this link is used up or has expired; ask for a new one")
    session_of(request)  # so that the page can say who is signed in already
    return state.page(request, "join.html", token=token, role=role, error="")


@router.post("/join/{token}")
def use_invitation(request: Request, token: str, form: Annotated[Joining, Form()]) -> Response:
    refuse_other_sites(request)
    state = state_of(request)
    if not state.join_limit.allows(address_of(request), counted=False):
        raise HTTPException(429, "too many links tried; wait a few minutes")
    try:
        person, session = state.study.database.transact(
            lambda db: join(db, token, form.name, form.email, form.password)
        )
    except DataError as error:
        state.join_limit.allows(address_of(request))
        return state.page(request, "join.html", 400, token=token, role="", error=str(error))
    response = _go(request, "/owner" if person.role in ("owner", "viewer") else "/judge")
    state.keep_session(request, response, session)
    return response


@router.get("/sign-in")
def show_sign_in(request: Request) -> Response:
    return state_of(request).page(request, "sign_in.html", error="")


@router.post("/sign-in")
def use_account(request: Request, form: Annotated[Credentials, Form()]) -> Response:
    refuse_other_sites(request)
    state = state_of(request)
    tried = sha256(form.email.strip().lower().encode()).hexdigest()
    limits = ((state.sign_in_limit, tried), (state.address_limit, address_of(request)))
    if not all(limit.allows(key, counted=False) for limit, key in limits):
        error = "Too many attempts; wait ten minutes."
        return state.page(request, "sign_in.html", 429, error=error)
    with state.study.database.read() as db:
        person, hashed = account(db, form.email)
    if not right_password(hashed, form.password) or person is None:
        for limit, key in limits:
            limit.allows(key)
        error = "No account has this e-mail address and password."
        return state.page(request, "sign_in.html", 400, error=error)
    session = state.study.database.transact(lambda db: sign_in(db, person))
    response = _go(request, "/")
    state.keep_session(request, response, session)
    return response


@router.post("/api/sign-out")
@writes
def leave(db: Connection, request: Request, me: SignedIn, response: Response) -> dict[str, bool]:
    sign_out(db, me.token)
    response.delete_cookie(state_of(request).tokens.cookie, path=root_of(request) or "/")
    return {"done": True}
