"""What the pages share: the app's state, who asks, and endpoints that write."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from shutil import disk_usage
from tempfile import gettempdir
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaudit.config import CollectConfig
from plaudit.study import accounts
from plaudit.study.accounts import SESSION_SECONDS, Person
from plaudit.study.overview import OverviewUpdater
from plaudit.study.study import Study
from plaudit.version import __version__
from plaudit.web.headers import over_https, root_of
from plaudit.web.limits import Backoff, RateLimit, ShortQueue
from plaudit.web.tokens import SessionTokens

DEVICE_SECONDS = 400 * 24 * 3600  # the longest that browsers keep a cookie


@dataclass(frozen=True)
class Limits:
    """How often anybody may do what; all of it in memory."""

    tries: Backoff  # wrong passwords of one account from one network
    spread: RateLimit  # wrong passwords of one account from all networks
    network: RateLimit  # wrong passwords from one network, where many may sit
    links: RateLimit  # wrong links from one network
    writes: RateLimit  # whatever a person changes
    passwords: ShortQueue  # hashing, apart from the threads that answer judgments
    uploads: asyncio.Semaphore

    @classmethod
    def usual(cls) -> Limits:
        return cls(
            tries=Backoff(free=5, longest=60.0, forget=900.0),
            spread=RateLimit(100, 3600),
            network=RateLimit(60, 60),
            links=RateLimit(30, 600),
            writes=RateLimit(1200, 60),
            passwords=ShortQueue(running=1, waiting=32),
            uploads=asyncio.Semaphore(1),
        )


@dataclass(frozen=True)
class AppState:
    """What the pages work with, on `app.state.plaudit`."""

    study: Study
    config: CollectConfig
    tokens: SessionTokens
    updater: OverviewUpdater
    templates: Environment
    limits: Limits
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

    def keep(self, request: Request, response: Response, name: str, token: str) -> None:
        """Give the browser a cookie: the session's, or one of those that outlast it."""
        response.set_cookie(
            name,
            self.tokens.sign(token, name),
            max_age=SESSION_SECONDS if name == self.tokens.cookie else DEVICE_SECONDS,
            path=root_of(request) or "/",
            httponly=True,
            secure=self.config.https or over_https(request),
            samesite="lax",
        )

    def drop(self, request: Request, response: Response, name: str) -> None:
        response.delete_cookie(name, path=root_of(request) or "/")


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
    """The session that the request's cookie names; None for a stranger.

    One that is used is renewed, here and in the browser. Not for use inside a transaction.
    """
    if hasattr(request.state, "session"):
        known: Session | None = request.state.session
        return known
    state = state_of(request)
    token = state.tokens.of(request)
    request.state.session = None
    if token is None:
        return None
    with state.study.database.glance() as db:
        found = accounts.session_of(db, token)
    if found is None:
        return None
    person, due = found
    if due:
        state.study.database.transact(lambda db: accounts.renew_session(db, token))
        request.state.renewed = token
    session = Session(person, token, state.tokens.csrf(token))
    request.state.session = session
    return session


class RenewedCookie:
    """Gives the browser the cookie of a renewed session, unless the answer sets another."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_cookie(message: Message) -> None:
            token = scope.get("state", {}).get("renewed")
            if message["type"] == "http.response.start" and token is not None:
                request, state = Request(scope), scope["app"].state.plaudit
                headers = MutableHeaders(scope=message)
                name, others = state.tokens.cookie, headers.getlist("set-cookie")
                if not any(other.startswith(f"{name}=") for other in others):
                    given = Response()
                    state.keep(request, given, name, token)
                    headers.append("set-cookie", given.headers["set-cookie"])
            await send(message)

        await self._app(scope, receive, with_cookie if scope["type"] == "http" else send)


def _signed_in(request: Request) -> Session:
    """Who asks. Raises 401 for a stranger, 403 for a request that our pages did not make."""
    session = _known(request)
    state_of(request).tokens.refuse_forged(request, session.token)
    return session


def _known(request: Request) -> Session:
    session = session_of(request)
    if session is None:
        raise HTTPException(401, "please sign in")
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


# ------------------------------------------------------------------------- before the body

LARGEST_FORM = 64 << 10  # of a stranger
LARGEST_BODY = 1 << 20
LARGEST_FILE = 4 << 30
SPARE = 256 << 20  # bytes of the disk that an upload leaves free
PLAIN_FORMS = ("/owner/export/", "/consent")  # their token is a field: the endpoint looks at it
STRANGERS = ("/join/", "/sign-in", "/api/resume")


@asynccontextmanager
async def admit(request: Request) -> AsyncIterator[int]:
    """The largest body that the request may have, by who sends it and where to.

    Raises 401, 403 and 429, and of uploads 409 beside another one and 507 without room for it.
    """
    path = request.scope["path"].removeprefix(root_of(request))  # as it is routed
    if path.startswith(STRANGERS):
        yield LARGEST_FORM
        return
    known = _known if path.startswith(PLAIN_FORMS) else _signed_in
    session = await run_in_threadpool(known, request)
    if path.startswith("/owner") and session.person.role != "owner":
        raise HTTPException(403, "only for owners")
    limits = state_of(request).limits
    if not limits.writes.allows(session.person.pseudonym):
        raise HTTPException(429, "too many changes at once; slow down", {"retry-after": "10"})
    if path != "/owner/add":
        yield LARGEST_BODY
        return
    if limits.uploads.locked():
        raise HTTPException(409, "another file is being added; wait until it is done")
    async with limits.uploads:
        free = disk_usage(gettempdir()).free - SPARE
        # Twice: as it comes, and under a name of its own while it is read.
        if 2 * int(request.headers.get("content-length") or 0) > free:
            raise HTTPException(507, f"the file is too large for the {max(free, 0) >> 20} MiB free")
        yield LARGEST_FILE


class OneFile(APIRoute):
    """A route whose forms have one file and few fields; fields are held in memory."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if request.headers.get("content-type", "").startswith("multipart/form-data"):
                await request.form(max_files=1, max_fields=20, max_part_size=LARGEST_FORM)
            return await handle(request)

        return bounded


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
