"""What both web applications share: limits, tokens, headers, a proxy's path and errors."""

import time

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse
from starlette.testclient import TestClient

from plaudit.errors import DataError, UsageError
from plaudit.web.errors import add_error_handlers
from plaudit.web.headers import SecurityHeaders, UnderPath, root_of
from plaudit.web.limits import BodyLimit, RateLimit
from plaudit.web.tokens import SessionTokens


def test_rate_limits_forget():
    limit = RateLimit(2, 0.05)
    assert [limit.allows(key) for key in "aaab"] == [True, True, False, True]
    time.sleep(0.06)
    assert limit.allows("a")
    assert limit.allows("a", counted=False)
    assert limit.allows("a")


def app():
    made = FastAPI()
    tokens = SessionTokens("secret")

    @made.get("/{kind}")
    @made.get("/api/{kind}")
    def fail(request: Request, kind: str):
        errors = {"data": DataError("<bad>"), "usage": UsageError("use"), "out": HTTPException(401)}
        if kind in errors:
            raise errors[kind]
        return PlainTextResponse(root_of(request))

    @made.post("/change")
    def change(request: Request):
        tokens.refuse_forged(request, tokens.of(request) or "")
        return PlainTextResponse("done")

    add_error_handlers(made, lambda _r, status, text: PlainTextResponse(f"page {text}", status))
    made.add_middleware(BodyLimit, largest=lambda request: 10)
    made.add_middleware(SecurityHeaders)
    made.add_middleware(UnderPath, root="/base")
    return made, tokens


@pytest.mark.parametrize(("kind", "status"), [("data", 400), ("usage", 422)])
def test_errors_are_json_a_part_or_a_page(kind, status):
    client = TestClient(app()[0])
    assert client.get(f"/api/{kind}").status_code == status
    assert "error" in client.get(f"/api/{kind}").json()
    assert client.get(f"/{kind}").text.startswith("page ")
    part = client.get(f"/{kind}", headers={"hx-request": "true"}).text
    assert part.startswith("<p")
    assert "<bad>" not in part


def test_strangers_are_led_to_sign_in_under_the_proxys_path():
    client = TestClient(app()[0])
    answer = client.get("/base/out", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/base/sign-in")
    assert client.get("/api/out").status_code == 401
    assert client.get("/x").text == client.get("/base/x").text == "/base"
    assert "default-src 'none'" in client.get("/x").headers["content-security-policy"]


def test_bodies_are_limited_and_forged_requests_refused():
    made, tokens = app()
    client = TestClient(made, cookies={tokens.cookie: tokens.sign("me")})
    good = {"x-csrf-token": tokens.csrf("me")}
    assert client.post("/change", content=b"x" * 11, headers=good).status_code == 413
    assert client.post("/change", headers=good).text == "done"
    assert client.post("/change").status_code == 403
    assert client.post("/change", headers={"x-csrf-token": "ü".encode()}).status_code == 403
    other = good | {"sec-fetch-site": "cross-site"}
    assert client.post("/change", headers=other).status_code == 403
    forged = TestClient(made, cookies={tokens.cookie: SessionTokens("other").sign("me")})
    assert forged.post("/change", headers=good).status_code == 403
