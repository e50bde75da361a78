"""Errors as responses: JSON for programs, a page or a part of one for people."""

from __future__ import annotations

import logging
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaudit.errors import DataError, PlauditError
from plaudit.web.headers import root_of

Page = Callable[[Request, int, str], Response]
BROKEN = "something went wrong on the server; its log says what. Try again, or tell the owner"
_log = logging.getLogger("plaudit.web")


def add_error_handlers(app: FastAPI, page: Page) -> None:
    """Answer errors on paths with /api/ in JSON, others by `page`; 401 leads to /sign-in."""

    @app.exception_handler(PlauditError)
    def of_plaudit(request: Request, error: PlauditError) -> Response:
        plain = 400 if isinstance(error, DataError) else 422
        return _answer(request, getattr(error, "http_status", plain), str(error), page)

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> Response:
        return _of_http(request, error, page)

    @app.exception_handler(RequestValidationError)
    def of_validation(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(map(_said, error.errors())) or "not understood"
        return _answer(request, 422, said, page)


class LastResort:
    """Answers what no handler has: an error within the middleware, or one that nobody foresaw.

    The framework's own last handler stands outside of all middleware, so that its answers have
    no headers of security.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            response = self._response(Request(scope), error)
            await response(scope, receive, send)

    def _response(self, request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return _of_http(request, error, _plain)
        _log.error("%s %s", request.method, request.scope["path"], exc_info=error)
        return _answer(request, 500, BROKEN, _plain)


def _plain(_request: Request, status: int, message: str) -> Response:
    """A page that needs nothing: no template, no session, no study."""
    text = f"<!doctype html><meta charset=utf-8><title>plaudit</title><p>{escape(message)}</p>"
    return HTMLResponse(text, status)


def _of_http(request: Request, error: HTTPException, page: Page) -> Response:
    if error.status_code == 401 and not _wants_json(request):
        return _to_sign_in(request)
    response = _answer(request, error.status_code, str(error.detail), page)
    response.headers.update(error.headers or {})
    return response


def _to_sign_in(request: Request) -> Response:
    """To the sign-in page, and back to the page that was asked for."""
    target = f"{root_of(request)}/sign-in"
    if "hx-request" in request.headers:  # the whole page goes there, not a part of it
        return Response(status_code=401, headers={"hx-redirect": target})
    if request.method == "GET":
        target += f"?next={quote(request.scope['path'].removeprefix(root_of(request)))}"
    return RedirectResponse(target, 303)


def _answer(request: Request, status: int, message: str, page: Page) -> Response:
    if _wants_json(request):
        return JSONResponse({"error": message}, status)
    if "hx-request" in request.headers:  # a part of a page
        return HTMLResponse(f'<p class="error" role="alert">{escape(message)}</p>', status)
    return page(request, status, message)


def _wants_json(request: Request) -> bool:
    return "/api/" in request.scope["path"]


def _said(problem: dict[str, Any]) -> str:
    return f"{'.'.join(map(str, problem['loc'][1:]))}: {problem['msg']}"
