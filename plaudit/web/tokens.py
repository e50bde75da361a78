"""Cookies under a signature, and the tokens that a request which changes something must carry.

A session's cookie holds a random token, signed; the store knows its hash only. Requests of a
session carry a token derived from it. The forms of whoever has no session yet (sign in, join)
carry one derived from the browser's own cookie, `device`, which says that two visits came from
one browser and nothing else.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection
from hashlib import sha256

from itsdangerous import BadSignature, Signer
from starlette.exceptions import HTTPException
from starlette.requests import Request

from plaudit.web.headers import split

TOO_OLD = "this page is too old, or this browser keeps no cookies: reload it and try again"


class SessionTokens:
    """Signs cookies and derives the tokens of requests and forms, with one secret."""

    def __init__(self, secret: str) -> None:
        # Two applications on one host must not overwrite each other's: ports do not part cookies.
        self.cookie = f"plaudit_{sha256(f'cookie {secret}'.encode()).hexdigest()[:8]}"
        self.device_cookie = f"{self.cookie}_device"
        self.return_cookie = f"{self.cookie}_return"
        self._secret = secret
        self._key = sha256(f"csrf {secret}".encode()).digest()

    def sign(self, token: str, cookie: str = "") -> str:
        """The value of a cookie, the session's by default."""
        return self._signer(cookie or self.cookie).sign(token).decode()

    def of(self, request: Request, cookie: str = "") -> str | None:
        """The token in a request's cookie; None without one or when the signature is not ours."""
        name = cookie or self.cookie
        try:
            return self._signer(name).unsign(request.cookies.get(name, "")).decode()
        except (BadSignature, UnicodeDecodeError):
            return None

    def _signer(self, name: str) -> Signer:
        # One cookie's value is none of another's; the session's own salt is the oldest.
        return Signer(self._secret, salt="plaudit.session" + name.removeprefix(self.cookie))

    def csrf(self, token: str) -> str:
        """The CSRF token of a session."""
        return self._derived(token)

    def form(self, device: str) -> str:
        """The CSRF token of the forms that a browser without a session gets."""
        return self._derived(f"form {device}")

    def _derived(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()

    def refuse_forged(self, request: Request, token: str, field: str = "") -> None:
        """Raise 403 for a request that changes something and was not made by our own pages.

        A plain form has its token in a field.
        """
        if request.method in ("GET", "HEAD"):
            return
        _refuse_other_sites(request)
        given = request.headers.get("x-csrf-token", "") or field
        if not hmac.compare_digest(self.csrf(token).encode(), given.encode()):
            raise HTTPException(403, TOO_OLD)

    def refuse_forged_form(self, request: Request, given: str, hosts: Collection[str] = ()) -> None:
        """Raise 403 for a form of a stranger that our own page did not send.

        Args:
            given: the form's token.
            hosts: names of this application beside the request's Host.

        A program that is no browser, with neither cookie nor any header that browsers send with
        a form, cannot be made to send one by somebody else's page, and needs no token.
        """
        refuse_elsewhere(request, hosts)
        device = self.of(request, self.device_cookie)
        if device is None and not _BROWSERS & set(request.headers.keys()):
            return
        expected = self.form(device or secrets.token_urlsafe())
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise HTTPException(403, TOO_OLD)


_BROWSERS = {"origin", "referer", "sec-fetch-site", "sec-fetch-mode"}


def refuse_elsewhere(request: Request, hosts: Collection[str] = ()) -> None:
    """Raise 403 for a request of a page of another site, or of another origin on plain http."""
    _refuse_other_sites(request)
    _refuse_other_origins(request, hosts)


def _refuse_other_sites(request: Request) -> None:
    """Raise 403 when a browser says that another site sent the request."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "sent from another site")


def _refuse_other_origins(request: Request, hosts: Collection[str]) -> None:
    """On plain http browsers say nothing of the site, but Origin they always send with a form."""
    headers = request.headers
    if "sec-fetch-site" in headers or "origin" not in headers:
        return
    origin = split(headers["origin"])
    if origin.netloc != headers.get("host") and (origin.hostname or "") not in hosts:
        raise HTTPException(
            403,
            f"sent from another site ({headers['origin'][:100]}); where that is the address of "
            "these pages, the proxy must pass Host on, or start plaudit with --host-name",
        )


def address_of(request: Request) -> str:
    """The client's address, for rate limits in memory only."""
    return request.client.host if request.client else ""
