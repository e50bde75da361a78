"""My account: who I am here, my return link, a password, and the way out of every browser."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from plaudit.errors import DataError
from plaudit.study import accounts
from plaudit.study.accounts import audit
from plaudit.study.passwords import check_account, check_password, hash_password, right_password
from plaudit.study_app.context import Owner, Session, SignedIn, state_of, writes
from plaudit.study_app.pages.page import Number, done
from plaudit.study_app.pages.sign_in import home_of
from plaudit.web.headers import page_address

router = APIRouter()


class NewPassword(BaseModel):
    current: str = Field(default="", max_length=1000)
    password: str = Field(max_length=1000)


class NewAccount(BaseModel):
    email: str = Field(max_length=254)
    password: str = Field(max_length=1000)


@router.get("/account")
def show_account(request: Request, me: SignedIn) -> Response:
    state = state_of(request)
    code = state.tokens.of(request, state.tokens.return_cookie)
    with state.study.database.read() as db:
        account = accounts.has_account(db, me.person)
        mine = code is not None and accounts.code_owner(db, code) == me.person.id
    return state.page(
        request,
        "account.html",
        account=account,
        code=code if mine else "",
        home=home_of(me.person),
    )


@router.post("/account/return-link")
def new_code(request: Request, me: SignedIn) -> Response:
    """A new return link; the one before works no more."""
    state = state_of(request)

    def work(db: Connection) -> str:
        audit(db, me.person.pseudonym, "renew return link")
        return accounts.renew_code(db, me.person)

    code = state.study.database.transact(work)
    response = state.page(request, "return_link.html", code=code)
    state.keep(request, response, state.tokens.return_cookie, code)
    return response


@router.post("/account/password")
async def change_password(
    request: Request, me: SignedIn, form: Annotated[NewPassword, Form()]
) -> Response:
    """A new password, for who knows the current one; it ends the sessions of other browsers."""
    state = state_of(request)
    check_password(form.password)
    limits, key = state.limits, f"password of {me.person.id}"
    if wait := math.ceil(limits.tries.wait(key)):
        raise HTTPException(429, f"too many wrong attempts: wait {wait} s")
    limits.tries.wrong(key)
    stored = await run_in_threadpool(_password_of, request, me)
    if not await limits.passwords.run(right_password, stored, form.current):
        raise DataError("the current password is another one")
    limits.tries.right(key)
    hashed = await limits.passwords.run(hash_password, form.password)

    def work(db: Connection) -> int:
        accounts.set_password(db, me.person, hashed)
        audit(db, me.person.pseudonym, "change password")
        return accounts.end_sessions(db, me.person, but=me.token)

    ended = await run_in_threadpool(state.study.database.transact, work)
    return done(f"Password changed. Other browsers signed out: {ended}.")


def _password_of(request: Request, me: Session) -> str:
    with state_of(request).study.database.read() as db:
        stored = accounts.password_of(db, me.person)
    if stored is None:
        raise DataError("you have no account yet; make one first")
    return stored


@router.post("/account/create")
async def create(request: Request, me: SignedIn, form: Annotated[NewAccount, Form()]) -> Response:
    """An account for a person who came by a link."""
    state = state_of(request)
    email = check_account(form.email, form.password)
    hashed = await state.limits.passwords.run(hash_password, form.password)

    def work(db: Connection) -> None:
        accounts.make_account(db, me.person, email, hashed)

    await run_in_threadpool(state.study.database.transact, work)
    return done("Account made: sign in with it on any device.")


@router.post("/account/sign-out-everywhere")
def leave_everywhere(request: Request, me: SignedIn) -> Response:
    """End every session of the person, this one too, and the return link that browsers hold."""
    state = state_of(request)

    def work(db: Connection) -> tuple[bool, str]:
        ended = accounts.end_sessions(db, me.person)
        audit(db, me.person.pseudonym, "sign out everywhere", sessions=ended)
        return accounts.has_account(db, me.person), accounts.renew_code(db, me.person)

    account, code = state.study.database.transact(work)
    response = state.page(request, "signed_out.html", code="" if account else code)
    for name in (state.tokens.cookie, state.tokens.return_cookie):
        state.drop(request, response, name)
    return response


@router.post("/owner/annotators/{annotator}/return-link")
@writes
def issue_return_link(db: Connection, request: Request, me: Owner, annotator: Number) -> Response:
    """A link by which a person comes back, made by an owner; with an account it sets a password."""
    token = accounts.return_link(db, annotator, me.person.pseudonym)
    link = f"{page_address(request)}/join/{token}"
    return state_of(request).page(request, "issued_link.html", link=link)
