"""The web app of a study: `create_app(study)` is an ASGI application for one process.

Requests are answered in threads, since the store is synchronous. All that is kept in memory can
be lost at any moment: leases, votes and sessions are in the store.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from sqlalchemy import select
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from plaudit.config import CollectConfig
from plaudit.errors import DataError, PlauditError
from plaudit.study import schema as s
from plaudit.study.answers import Conflict
from plaudit.study.quality import Watch
from plaudit.study.study import Study
from plaudit.study_app.context import Desk, desk_of, root_of
from plaudit.study_app.pages import judge, owner, sign_in
from plaudit.study_app.rendering import render_markdown
from plaudit.web.security import BodyLimit, Guard, RateLimit, SecurityHeaders

__all__ = ["create_app"]

THREADS = 8
STATIC = Path(__file__).parent / "static"


def create_app(study: Study, config: CollectConfig | None = None) -> FastAPI:
    """The app of an open study; the study stays the caller's to close."""
    config = config or CollectConfig()
    with study.database.read() as db:
        secret = str(db.scalar(select(s.study.c.secret)))
    desk = Desk(
        study,
        config,
        Guard(secret),
        Watch(study.database),
        _templates(),
        sign_in_limit=RateLimit(10, 600),
        address_limit=RateLimit(100, 600),
        join_limit=RateLimit(30, 600),
        vote_limit=RateLimit(600, 60),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # More threads only wait for each other: SQLite has one writer, Python one interpreter.
        current_default_thread_limiter().total_tokens = THREADS
        desk.watch.start()
        yield
        desk.watch.stop()

    app = FastAPI(
        title="plaudit",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    app.state.desk = desk
    app.add_middleware(BodyLimit, guard=desk.guard)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(UnderPath, root=config.root_path)
    app.mount("/static", _Static(directory=STATIC), name="static")
    for module in (sign_in, judge, owner):
        app.include_router(module.router)
    app.add_exception_handler(PlauditError, _plaudit_error)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    return app


class UnderPath:
    """Serves the app under a path, whether the proxy before it leaves the path on or not."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._root:
            path = scope["path"]
            if path != self._root and not path.startswith(f"{self._root}/"):
                path = self._root + path
            scope = {**scope, "path": path, "root_path": self._root}
        await self._app(scope, receive, send)


class _Static(StaticFiles):
    """Files of the package, kept by browsers for an hour."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "max-age=3600"
        return response


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("plaudit.study_app"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "markdown": render_markdown,
        "percent": lambda value: "–" if value != value else f"{value:.0%}",
        "number": lambda value: f"{value:,}",
        "date": lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "ago": lambda at: f"{max(0.0, time.time() - at):.0f} s ago",
    }
    return environment


# ------------------------------------------------------------------------------- errors


def _wants_json(request: Request) -> bool:
    return "/api/" in request.url.path


def _error(request: Request, status: int, message: str) -> Response:
    if _wants_json(request):
        return JSONResponse({"error": message}, status)
    if "hx-request" in request.headers:  # a part of a page
        return HTMLResponse(f'<p class="error" role="alert">{escape(message)}</p>', status)
    return desk_of(request).page(request, "error.html", status, message=message)


def _plaudit_error(request: Request, error: Exception) -> Response:
    status = 409 if isinstance(error, Conflict) else 400 if isinstance(error, DataError) else 422
    return _error(request, status, str(error))


def _http_error(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    if status == 401 and not _wants_json(request):
        root = root_of(request)
        return RedirectResponse(f"{root}/sign-in", 303)
    return _error(request, status, str(getattr(error, "detail", error)))


def _bad_request(request: Request, error: Exception) -> Response:
    problems: list[Any] = getattr(error, "errors", list)()
    text = "; ".join(f"{'.'.join(map(str, p['loc'][1:]))}: {p['msg']}" for p in problems)
    return _error(request, 422, text or "not understood")
