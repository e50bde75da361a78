"""Errors as responses: JSON for programs, a page or a part of one for people."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from plaudit.errors import DataError, PlauditError
from plaudit.web.headers import root_of

Page = Callable[[Request, int, str], Response]


def add_error_handlers(app: FastAPI, page: Page) -> None:
    """Answer errors on paths with /api/ in JSON, others by `page`; 401 leads to /sign-in."""

    def answer(request: Request, status: int, message: str) -> Response:
        if _wants_json(request):
            return JSONResponse({"error": message}, status)
        if "hx-request" in request.headers:  # a part of a page
            return HTMLResponse(f'<p class="error" role="alert">{escape(message)}</p>', status)
        return page(request, status, message)

    @app.exception_handler(PlauditError)
    def of_plaudit(request: Request, error: PlauditError) -> Response:
        plain = 400 if isinstance(error, DataError) else 422
        return answer(request, getattr(error, "http_status", plain), str(error))

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 401 and not _wants_json(request):
            return RedirectResponse(f"{root_of(request)}/sign-in", 303)
        return answer(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    def of_validation(request: Request, error: RequestValidationError) -> Response:
        return answer(request, 422, "; ".join(map(_said, error.errors())) or "not understood")


def _wants_json(request: Request) -> bool:
    return "/api/" in request.url.path


def _said(problem: dict[str, Any]) -> str:
    return f"{'.'.join(map(str, problem['loc'][1:]))}: {problem['msg']}"
