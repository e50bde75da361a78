"""The way in: an invitation link, an account, the way out."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from plaudit.errors import DataError
from plaudit.study.accounts import (
    account,
    invitation,
    join,
    right_password,
    sign_in,
    sign_out,
)
from plaudit.study_app.context import (
    SignedIn,
    address_of,
    desk_of,
    own_page,
    root_of,
    visitor_of,
)

router = APIRouter()
Field = Annotated[str, Form()]


def _go(request: Request, path: str) -> RedirectResponse:
    return RedirectResponse(root_of(request) + path, 303)


@router.get("/")
def home(request: Request) -> Response:
    visitor = visitor_of(request)
    if visitor is None:
        return _go(request, "/sign-in")
    return _go(request, "/judge" if visitor.person.role == "annotator" else "/owner")


@router.get("/join/{token}")
def show_invitation(request: Request, token: str) -> Response:
    """Opening a link uses nothing up: mail scanners open them too."""
    desk = desk_of(request)
    with desk.study.database.read() as db:
        role = invitation(db, token)
    if role is None:
        # Only wrong links count: a whole office may join from one address.
        if not desk.join_limit.allows(address_of(request)):
            raise HTTPException(429, "too many links tried; wait some minutes")
        raise HTTPException(404, "this link is used up or has expired; ask for a new one")
    visitor_of(request)  # so that the page can say who is signed in already
    return desk.page(request, "join.html", token=token, role=role, error="")


@router.post("/join/{token}")
def use_invitation(
    request: Request, token: str, name: Field = "", email: Field = "", password: Field = ""
) -> Response:
    own_page(request)
    desk = desk_of(request)
    if not desk.join_limit.allows(address_of(request), counted=False):
        raise HTTPException(429, "too many links tried; wait some minutes")
    try:
        person, session = desk.study.database.transact(
            lambda db: join(db, token, name, email, password)
        )
    except DataError as error:
        desk.join_limit.allows(address_of(request))
        return desk.page(request, "join.html", 400, token=token, role="", error=str(error))
    response = _go(request, "/owner" if person.role in ("owner", "reader") else "/judge")
    desk.keep_session(request, response, session)
    return response


@router.get("/sign-in")
def show_sign_in(request: Request) -> Response:
    return desk_of(request).page(request, "sign_in.html", error="")


@router.post("/sign-in")
def use_account(request: Request, email: Field, password: Field) -> Response:
    own_page(request)
    desk = desk_of(request)
    tried = sha256(email.strip().lower().encode()).hexdigest()
    limits = ((desk.sign_in_limit, tried), (desk.address_limit, address_of(request)))
    if not all(limit.allows(key, counted=False) for limit, key in limits):
        error = "Too many attempts; wait ten minutes."
        return desk.page(request, "sign_in.html", 429, error=error)
    with desk.study.database.read() as db:
        person, hashed = account(db, email)
    if not right_password(hashed, password) or person is None:
        for limit, key in limits:
            limit.allows(key)
        error = "No account has this e-mail address and password."
        return desk.page(request, "sign_in.html", 400, error=error)
    session = desk.study.database.transact(lambda db: sign_in(db, person))
    response = _go(request, "/")
    desk.keep_session(request, response, session)
    return response


@router.post("/api/sign-out")
def leave(request: Request, visitor: SignedIn, response: Response) -> dict[str, bool]:
    desk = desk_of(request)
    desk.study.database.transact(lambda db: sign_out(db, visitor.token))
    response.delete_cookie(desk.guard.cookie, path=root_of(request) or "/")
    return {"done": True}
