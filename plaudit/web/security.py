"""What guards the web app: signed cookies, CSRF tokens, rate limits, response headers.

A session's cookie holds a random token under the study's signature; the store knows its hash
only. Requests that change something carry a token derived from the session, and come from our
own pages, which browsers say in Sec-Fetch-Site. Addresses are used in memory and never stored.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections import defaultdict, deque
from hashlib import sha256

from itsdangerous import BadSignature, Signer
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["BodyLimit", "Guard", "RateLimit", "SecurityHeaders"]


class Guard:
    """Signs session tokens and derives their CSRF tokens, with the study's secret."""

    def __init__(self, secret: str) -> None:
        # Two studies on one host must not overwrite each other's: ports do not part cookies.
        self.cookie = f"plaudit_{sha256(f'cookie {secret}'.encode()).hexdigest()[:8]}"
        self._signer = Signer(secret, salt="plaudit.session")
        self._key = sha256(f"csrf {secret}".encode()).digest()

    def sign(self, token: str) -> str:
        """The cookie's value."""
        return self._signer.sign(token).decode()

    def unsign(self, cookie: str) -> str | None:
        """The token of a cookie; None when the signature is not ours."""
        try:
            return self._signer.unsign(cookie).decode()
        except BadSignature:
            return None

    def csrf(self, token: str) -> str:
        """The CSRF token of a session."""
        return hmac.new(self._key, token.encode(), "sha256").hexdigest()

    def right_csrf(self, token: str, given: str) -> bool:
        return hmac.compare_digest(self.csrf(token).encode(), given.encode())


class RateLimit:
    """At most `count` events a `seconds` for each key, in memory."""

    def __init__(self, count: int, seconds: float) -> None:
        self._count, self._seconds = count, seconds
        self._events: dict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def allows(self, key: str, *, counted: bool = True) -> bool:
        """Whether one more event is allowed now; if so it is counted, unless told otherwise."""
        now = time.monotonic()
        with self._lock:
            if len(self._events) > 10_000:
                self._forget(now)
            events = self._events[key]
            while events and events[0] < now - self._seconds:
                events.popleft()
            if len(events) >= self._count:
                return False
            if counted:
                events.append(now)
            return True

    def _forget(self, now: float) -> None:
        ended = [k for k, e in self._events.items() if not e or e[-1] < now - self._seconds]
        for key in ended:
            del self._events[key]


LARGEST_BODY = 1 << 20
LARGEST_FILE = 4 << 30
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    # A response's link tells its host nothing of where it was clicked.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class BodyLimit:
    """Refuses large bodies before they are read; files come from people with a session only."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        cookie = self._guard.unsign(request.cookies.get(self._guard.cookie, ""))
        upload = scope["path"].endswith("/owner/add") and cookie is not None
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > (LARGEST_FILE if upload else LARGEST_BODY):
            message = "the request is too large" if length else "the request has no length"
            status = 413 if length else 411
            await JSONResponse({"error": message}, status)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class SecurityHeaders:
    """Adds headers to every response: nothing from outside is loaded, framed or kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
