"""What every response and every path has: headers of security, and the path of a proxy."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    # A link in a response tells its host nothing of where it was clicked.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


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


class UnderPath:
    """Serves the app under a path, whether the proxy in front leaves the path on or not."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._root:
            path = scope["path"]
            if path != self._root and not path.startswith(f"{self._root}/"):
                path = self._root + path
            scope = {**scope, "path": path, "root_path": self._root}
        await self._app(scope, receive, send)


def root_of(request: Request) -> str:
    """The path under which a reverse proxy shows the app; empty at the top."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def page_address(request: Request) -> str:
    """Where the page that sent the request was opened, without a slash at its end.

    As the browser says it: a proxy may have replaced Host by an inner address. Only for requests
    whose token shows that our own page made them.
    """
    for name in ("origin", "referer"):
        said = split(request.headers.get(name, ""))
        if said.scheme in ("http", "https") and said.netloc:
            return f"{said.scheme}://{said.netloc}{root_of(request)}"
    return str(request.base_url).rstrip("/")


def over_https(request: Request) -> bool:
    """Whether the browser reached us by https, as it or a proxy says.

    Believed of anybody, since all it does is keep the sender's own cookie to https.
    """
    return (
        request.url.scheme == "https"
        or request.headers.get("x-forwarded-proto", "").lower() == "https"
        or split(request.headers.get("origin", "")).scheme == "https"
        or split(request.headers.get("referer", "")).scheme == "https"
    )


def split(address: str) -> SplitResult:
    """The parts of an address that somebody sent; all empty where it is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")
