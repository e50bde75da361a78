"""What the pages share: the app's state, who asks, and endpoints that write."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from plaudit.config import CollectConfig
from plaudit.study.accounts import SESSION_SECONDS, Person, person_of
from plaudit.study.quality import OverviewUpdater
from plaudit.study.study import Study
from plaudit.version import __version__
from plaudit.web.headers import root_of
from plaudit.web.limits import RateLimit
from plaudit.web.tokens import SessionTokens


@dataclass(frozen=True)
class AppState:
    """What the pages work with, on `app.state.plaudit`."""

    study: Study
    config: CollectConfig
    tokens: SessionTokens
    updater: OverviewUpdater
    templates: Environment
    sign_in_limit: RateLimit  # wrong passwords of one account
    address_limit: RateLimit  # wrong passwords from one address, where many may sit
    join_limit: RateLimit
    vote_limit: RateLimit

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a template; `root` is the path that a reverse proxy shows the app under."""
        session = getattr(request.state, "session", None)
        text = self.templates.get_template(name).render(
            root=root_of(request),
            me=session.person if session else None,
            csrf=session.csrf if session else "",
            study=self.study.settings,
            version=__version__,
            **values,
        )
        return HTMLResponse(text, status_code=status)

    def keep_session(self, request: Request, response: Response, token: str) -> None:
        """Give the browser its session."""
        response.set_cookie(
            self.tokens.cookie,
            self.tokens.sign(token),
            max_age=SESSION_SECONDS,
            path=root_of(request) or "/",
            httponly=True,
            secure=self.config.https,
            samesite="lax",
        )


@dataclass(frozen=True)
class Session:
    """Who asks, and the tokens of their session."""

    person: Person
    token: str
    csrf: str


# ---------------------------------------------------------------------------- who asks


def state_of(request: Request) -> AppState:
    state: AppState = request.app.state.plaudit
    return state


def session_of(request: Request) -> Session | None:
    """The session that the request's cookie names; None for a stranger."""
    state = state_of(request)
    token = state.tokens.of(request)
    if token is None:
        return None
    with state.study.database.glance() as db:
        person = person_of(db, token)
    if person is None:
        return None
    session = Session(person, token, state.tokens.csrf(token))
    request.state.session = session
    return session


def _signed_in(request: Request) -> Session:
    """Who asks. Raises 401 for a stranger, 403 for a request that our pages did not make."""
    session = session_of(request)
    if session is None:
        raise HTTPException(401, "please sign in")
    state_of(request).tokens.refuse_forged(request, session.token)
    return session


SignedIn = Annotated[Session, Depends(_signed_in)]


def allowed(*roles: str) -> Callable[[Session], Awaitable[Session]]:
    """A dependency: the person must have one of these roles."""

    async def check(session: SignedIn) -> Session:
        if session.person.role not in roles:
            raise HTTPException(403, f"only for {' and '.join(f'{role}s' for role in roles)}")
        return session

    return check


Owner = Annotated[Session, Depends(allowed("owner"))]


# ------------------------------------------------------------------------------ writing


def writes(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """An endpoint whose first parameter, `db`, is a transaction that is durable when it answers.

    The work is `Database.transact`'s: run again when PostgreSQL asks for it. A dependency that
    yields the transaction could not do that; FastAPI would end it after the response is sent, so
    that a judgment is acknowledged before it is on disk; and it would hold SQLite's one writer
    while the endpoint waits for a free thread, of which all may be waiting for that writer.
    """
    signature = inspect.signature(endpoint, eval_str=True)

    def in_transaction(**values: Any) -> Any:
        database = state_of(values["request"]).study.database
        return database.transact(lambda db: endpoint(db, **values))

    parameters = [each for name, each in signature.parameters.items() if name != "db"]
    in_transaction.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    in_transaction.__name__, in_transaction.__doc__ = endpoint.__name__, endpoint.__doc__
    return in_transaction
