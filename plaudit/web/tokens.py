"""Session cookies under a signature, and the CSRF tokens that belong to them.

A cookie holds a random token, signed; the store knows its hash only. Requests that change
something carry a token derived from the session, and come from our own pages, which browsers say
in Sec-Fetch-Site.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from itsdangerous import BadSignature, Signer
from starlette.exceptions import HTTPException
from starlette.requests import Request


class SessionTokens:
    """Signs session tokens and derives their CSRF tokens, with one secret."""

    def __init__(self, secret: str) -> None:
        # Two applications on one host must not overwrite each other's: ports do not part cookies.
        self.cookie = f"plaudit_{sha256(f'cookie {secret}'.encode()).hexdigest()[:8]}"
        self._signer = Signer(secret, salt="plaudit.session")
        self._key = sha256(f"csrf {secret}".encode()).digest()

    def sign(self, token: str) -> str:
        """The cookie's value."""
        return self._signer.sign(token).decode()

    def of(self, request: Request) -> str | None:
        """The token in a request's cookie; None without one or when the signature is not ours."""
        try:
            return self._signer.unsign(request.cookies.get(self.cookie, "")).decode()
        except BadSignature:
            return None

    def csrf(self, token: str) -> str:
        """The CSRF token of a session."""
        return hmac.new(self._key, token.encode(), "sha256").hexdigest()

    def refuse_forged(self, request: Request, token: str, field: str = "") -> None:
        """Raise 403 for a request that changes something and was not made by our own pages.

        A plain form has its token in a field.
        """
        if request.method in ("GET", "HEAD"):
            return
        refuse_other_sites(request)
        given = request.headers.get("x-csrf-token", "") or field
        if not hmac.compare_digest(self.csrf(token).encode(), given.encode()):
            raise HTTPException(403, "this page is too old: reload it and try again")


def refuse_other_sites(request: Request) -> None:
    """Raise 403 when a browser says that another site sent the request."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "sent from another site")


def address_of(request: Request) -> str:
    """The client's address, for rate limits in memory only."""
    return request.client.host if request.client else ""
