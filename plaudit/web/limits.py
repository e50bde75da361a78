"""How much is taken from whom: sizes of bodies, and events per key in memory."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class RateLimit:
    """At most `count` events in `seconds` for each key, in memory."""

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


class BodyLimit:
    """Refuses bodies over `largest(request)` bytes, or of no stated length, before reading them."""

    def __init__(self, app: ASGIApp, largest: Callable[[Request], int]) -> None:
        self._app, self._largest = app, largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            request = Request(scope)
            length = request.headers.get("content-length", "")
            if not length.isdigit() or int(length) > self._largest(request):
                message = "the request is too large" if length else "the request has no length"
                refusal = JSONResponse({"error": message}, 413 if length else 411)
                return await refusal(scope, receive, send)
        await self._app(scope, receive, send)
