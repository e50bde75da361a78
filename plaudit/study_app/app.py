"""The web app of a study: `create_app(study)` is an ASGI application for one process.

Requests are answered in threads, since the store is synchronous. All that is kept in memory can
be lost at any moment: leases, votes and sessions are in the store.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from sqlalchemy import select

from plaudit.config import CollectConfig
from plaudit.study import schema as s
from plaudit.study.overview import OverviewUpdater
from plaudit.study.study import Study
from plaudit.study_app.context import AppState, Limits, RenewedCookie, admit, state_of
from plaudit.study_app.pages import account, join, judge, owner, sign_in
from plaudit.web.door import Door
from plaudit.web.errors import LastResort, add_error_handlers
from plaudit.web.headers import SecurityHeaders, UnderPath
from plaudit.web.limits import RateLimit
from plaudit.web.tokens import SessionTokens

THREADS = 8
STATIC = Path(__file__).parent / "static"


def create_app(study: Study, config: CollectConfig | None = None) -> FastAPI:
    """The app of an open study; the study stays the caller's to close."""
    config = config or CollectConfig()
    with study.database.read() as db:
        tokens = SessionTokens(str(db.scalar(select(s.study.c.secret))))
    state = AppState(
        study,
        config,
        tokens,
        OverviewUpdater(study.database),
        _templates(study),
        Limits.usual(),
        vote_limit=RateLimit(600, 60),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        # More threads only wait for each other: SQLite has one writer, Python one interpreter.
        current_default_thread_limiter().total_tokens = THREADS
        state.updater.start()
        yield
        state.updater.stop()

    app = FastAPI(
        title="plaudit", lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.state.plaudit = state
    app.add_middleware(Door, admit=admit)
    app.add_middleware(RenewedCookie)
    app.add_middleware(LastResort)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(UnderPath, root=config.root_path)
    app.mount("/static", _Static(directory=STATIC), name="static")
    for module in (sign_in, join, account, judge, owner):
        app.include_router(module.router)
    add_error_handlers(app, _error_page)
    return app


def _error_page(request: Request, status: int, message: str) -> Response:
    return state_of(request).page(request, "error.html", status, message=message)


class _Static(StaticFiles):
    """Files of the package: browsers keep them, and ask whether they are still the same.

    Scripts of two versions must not run together after an upgrade.
    """

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


def _templates(study: Study) -> Environment:
    environment = Environment(
        loader=PackageLoader("plaudit.study_app"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "markdown": study.renderings.markdown,
        "percent": lambda value: "–" if value != value else f"{100 * value:.0f} %",
        "number": lambda value: f"{value:,}",
        "date": lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "ago": lambda at: f"{max(0.0, time.time() - at):.0f} s ago",
    }
    environment.globals["sections"] = owner.SECTIONS
    return environment
