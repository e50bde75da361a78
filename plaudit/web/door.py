"""Who may send how much: decided before a byte of the body is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

from pydantic import AfterValidator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def _storable(text: str) -> str:
    """Raises ValueError on what no database and no UTF-8 takes."""
    if "\0" in text or (not text.isascii() and text != text.encode("utf-8", "replace").decode()):
        raise ValueError("holds a zero byte or half a character")
    return text


Text = Annotated[str, AfterValidator(_storable)]  # a field of a body
Admit = Callable[[Request], AbstractAsyncContextManager[int]]
FORM = "application/x-www-form-urlencoded"


class Door:
    """Opens for requests that `admit` lets in, with bodies up to the bytes it gives.

    Args:
        admit: entered before the body is read and left after the answer; raises HTTPException.

    Bodies of no stated length are refused, and NUL in a path, a query or a form, which no
    database takes as text.
    """

    def __init__(self, app: ASGIApp, admit: Admit) -> None:
        self._app, self._admit = app, admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            raise HTTPException(400, "a zero byte is no text")
        if scope["method"] in ("GET", "HEAD"):
            return await self._app(scope, receive, send)
        request = Request(scope)
        async with self._admit(request) as largest:
            length = request.headers.get("content-length", "")
            if not re.fullmatch("[0-9]{1,15}", length):
                raise HTTPException(411, "the request has no length")
            if int(length) > largest:
                raise HTTPException(413, "the request is too large", {"connection": "close"})
            if request.headers.get("content-type", "").startswith(FORM):
                receive = await _without_nul(receive)
            await self._app(scope, receive, send)


async def _without_nul(receive: Receive) -> Receive:
    """The form again, from its beginning, after a look at all of it. Raises 400 on NUL."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if b"%00" in body or b"\0" in body:
        raise HTTPException(400, "a zero byte is no text")
    given = [{**message, "body": body} if message["type"] == "http.request" else message]

    async def again() -> Message:
        return given.pop() if given else await receive()

    return again
