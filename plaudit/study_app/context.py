"""What the pages share: the desk they work at, and who asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from plaudit.config import CollectConfig
from plaudit.study.accounts import SESSION_SECONDS, Person, person_of
from plaudit.study.quality import Watch
from plaudit.study.study import Study
from plaudit.version import __version__
from plaudit.web.security import Guard, RateLimit

__all__ = [
    "Desk",
    "SignedIn",
    "Visitor",
    "address_of",
    "allowed",
    "desk_of",
    "own_page",
    "root_of",
    "visitor_of",
]


def root_of(request: Request) -> str:
    """The path under which a reverse proxy shows the app; empty at the top."""
    return str(request.scope.get("root_path", "")).rstrip("/")


@dataclass(frozen=True)
class Desk:
    """What the pages work with, on `app.state.desk`."""

    study: Study
    config: CollectConfig
    guard: Guard
    watch: Watch
    templates: Environment
    sign_in_limit: RateLimit  # wrong passwords of one account
    address_limit: RateLimit  # wrong passwords from one address, where many may sit
    join_limit: RateLimit
    vote_limit: RateLimit

    def page(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a template; `root` is the path that a reverse proxy shows the app under."""
        visitor = getattr(request.state, "visitor", None)
        template = self.templates.get_template(name)
        text = template.render(
            root=root_of(request),
            me=visitor.person if visitor else None,
            csrf=visitor.csrf if visitor else "",
            study=self.study.settings,
            version=__version__,
            **values,
        )
        return HTMLResponse(text, status_code=status)

    def keep_session(self, request: Request, response: Response, token: str) -> None:
        """Give the browser its session."""
        response.set_cookie(
            self.guard.cookie,
            self.guard.sign(token),
            max_age=SESSION_SECONDS,
            path=root_of(request) or "/",
            httponly=True,
            secure=self.config.https,
            samesite="lax",
        )


@dataclass(frozen=True)
class Visitor:
    """Who asks, and the tokens of their session."""

    person: Person
    token: str
    csrf: str


# ---------------------------------------------------------------------------- who asks


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def visitor_of(request: Request) -> Visitor | None:
    """Who asks, by the cookie; None for a stranger."""
    desk = desk_of(request)
    cookie = request.cookies.get(desk.guard.cookie)
    token = desk.guard.unsign(cookie) if cookie else None
    if token is None:
        return None
    with desk.study.database.glance() as db:
        person = person_of(db, token)
    if person is None:
        return None
    visitor = Visitor(person, token, desk.guard.csrf(token))
    request.state.visitor = visitor
    return visitor


def _signed_in(request: Request) -> Visitor:
    """Who asks. Raises 401 for a stranger, 403 for a request that our pages did not make."""
    visitor = visitor_of(request)
    if visitor is None:
        raise HTTPException(401, "please sign in")
    if request.method not in ("GET", "HEAD"):
        own_page(request)
        given = request.headers.get("x-csrf-token", "")
        if not given or not desk_of(request).guard.right_csrf(visitor.token, given):
            raise HTTPException(403, "this page is too old: reload it and try again")
    return visitor


def own_page(request: Request) -> None:
    """Raises 403 when a browser says that another site sent the request."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "sent from another site")


SignedIn = Annotated[Visitor, Depends(_signed_in)]


def allowed(*roles: str) -> Callable[[Visitor], Awaitable[Visitor]]:
    """A dependency: the visitor must have one of these roles."""

    async def check(visitor: SignedIn) -> Visitor:
        if visitor.person.role not in roles:
            raise HTTPException(403, f"only for {' and '.join(roles)}")
        return visitor

    return check


def address_of(request: Request) -> str:
    """The client's address, for rate limits in memory only."""
    return request.client.host if request.client else ""
