"""What both web applications share: limits, tokens, headers, a proxy's path, the door, errors."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Form, Request
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from plaudit.errors import DataError, UsageError
from plaudit.web.door import Door
from plaudit.web.errors import LastResort, add_error_handlers
from plaudit.web.headers import SecurityHeaders, UnderPath, page_address, root_of
from plaudit.web.limits import Backoff, RateLimit, ShortQueue, network_of
from plaudit.web.tokens import SessionTokens


def test_rate_limits_forget():
    limit = RateLimit(2, 0.05)
    assert [limit.allows(key) for key in "aaab"] == [True, True, False, True]
    time.sleep(0.06)
    assert limit.allows("a")
    assert limit.allows("a", counted=False)
    assert limit.allows("a")


def test_limits_keep_a_bounded_number_of_keys(monkeypatch):
    monkeypatch.setattr("plaudit.web.limits.MOST_KEYS", 10)
    limit, tries = RateLimit(1, 60), Backoff(1, 60, 60)
    for number in range(50):
        limit.allows(str(number))
        tries.wrong(str(number))
    assert len(limit._events) == len(tries._tries) == 10
    assert not limit.allows("49")


def test_wrong_tries_wait_longer_each_time_and_a_right_one_ends_it(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tries = Backoff(free=2, longest=10, forget=100)
    waits = []
    for _ in range(8):
        waits.append(tries.wait("a"))
        now[0] += waits[-1]
        tries.wrong("a")
    assert waits == [0, 0, 1, 2, 4, 8, 10, 10]
    assert tries.wait("b") == 0
    now[0] += 101
    assert tries.wait("a") == 0
    for _ in range(5):
        tries.wrong("a")
    tries.right("a")
    assert tries.wait("a") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_of_ipv6_a_whole_network_counts_as_one(address, network):
    assert network_of(address) == network


def test_slow_work_waits_in_a_short_queue_and_is_then_refused():
    running, most = [], []
    lock = threading.Lock()

    def work():
        with lock:
            running.append(1)
            most.append(len(running))
        time.sleep(0.02)
        with lock:
            running.pop()
        return "done"

    async def crowd():
        queue = ShortQueue(running=2, waiting=3)
        return await asyncio.gather(*(queue.run(work) for _ in range(9)), return_exceptions=True)

    answers = asyncio.run(crowd())
    assert answers.count("done") == 5
    refused = [answer for answer in answers if answer != "done"]
    assert [error.status_code for error in refused] == [503] * 4
    assert refused[0].headers["retry-after"] == "2"
    assert max(most) == 2


def app(read=None):
    made = FastAPI()
    tokens = SessionTokens("secret")

    @made.get("/crash")
    @made.get("/api/crash")
    def crash():
        raise ZeroDivisionError("jo@example.com")

    @made.get("/{kind}")
    @made.get("/api/{kind}")
    def fail(request: Request, kind: str):
        errors = {"data": DataError("<bad>"), "usage": UsageError("use"), "out": HTTPException(401)}
        if kind in errors:
            raise errors[kind]
        return PlainTextResponse(root_of(request))

    @made.post("/change")
    async def change(request: Request):
        if read is not None:
            read.append(await request.body())
        return PlainTextResponse(page_address(request))

    @made.post("/text")
    async def text(word: str = Form()):
        return PlainTextResponse(word)

    @asynccontextmanager
    async def admit(request):
        if request.headers.get("x-person") == "nobody":
            raise HTTPException(401, "please sign in")
        yield 10

    add_error_handlers(made, lambda _r, status, text: PlainTextResponse(f"page {text}", status))
    made.add_middleware(Door, admit=admit)
    made.add_middleware(LastResort)
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


def test_what_nobody_foresaw_is_answered_with_all_headers_and_says_nothing():
    client = TestClient(app()[0])
    for path in ("/crash", "/api/crash"):
        answer = client.get(path)
        assert answer.status_code == 500
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "jo@example.com" not in answer.text
        assert "went wrong" in answer.text
    assert "error" in client.get("/api/crash").json()


def test_strangers_are_led_to_sign_in_under_the_proxys_path():
    client = TestClient(app()[0])
    answer = client.get("/base/out", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/base/sign-in?next=/out")
    assert client.get("/api/out").status_code == 401
    part = client.get("/out", headers={"hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/base/sign-in")
    assert client.get("/x").text == client.get("/base/x").text == "/base"
    assert "default-src 'none'" in client.get("/x").headers["content-security-policy"]


def test_the_door_decides_before_a_byte_of_the_body_is_read():
    read = []
    client = TestClient(app(read)[0], follow_redirects=False)
    refused = client.post("/change", content=b"x" * 11)
    assert refused.status_code == 413
    assert "default-src" in refused.headers["content-security-policy"]
    assert client.post("/change", content=iter([b"x"])).status_code == 411
    odd = client.post("/change", content=iter([b"x"]), headers={"content-length": "²".encode()})
    assert odd.status_code == 411
    assert client.post("/change", content=b"x" * 11, headers={"x-person": "nobody"}).is_redirect
    assert client.put("/change", content=b"x" * 11).status_code == 413
    assert read == []
    assert client.post("/change", content=b"x" * 10).status_code == 200
    assert read == [b"x" * 10]


def test_a_zero_byte_is_refused_in_paths_queries_and_forms():
    client = TestClient(app()[0])
    assert client.get("/a%00b").status_code == 400
    assert client.get("/a?b=%00").status_code == 400
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/text", content="word=a%00", headers=form).status_code == 400
    assert client.post("/text", content="word=a%250", headers=form).text == "a%0"
    assert client.post("/text", data={"word": "übel"}).status_code == 413  # 14 bytes
    assert client.post("/text", data={"word": "good"}).text == "good"


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "http://testserver/base"),
        ({"origin": "https://desk.example"}, "https://desk.example/base"),
        ({"referer": "http://desk.example:81/base/owner?x=1"}, "http://desk.example:81/base"),
        ({"origin": "null", "referer": "https://desk.example/"}, "https://desk.example/base"),
        ({"origin": "javascript:alert(1)"}, "http://testserver/base"),
        ({"origin": "http://[half"}, "http://testserver/base"),
    ],
)
def test_links_begin_with_the_address_of_the_page_itself(headers, address):
    """A proxy may have replaced Host by an inner address."""
    assert TestClient(app()[0]).post("/change", headers=headers).text == address


# ------------------------------------------------------------------------------- tokens


def request_of(method="POST", **headers):
    raw = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    return Request(
        {"type": "http", "method": method, "headers": raw, "path": "/", "scheme": "http"}
    )


def cookie(tokens, name, token):
    return f"{name}={tokens.sign(token, name)}"


def refused(check, *arguments):
    try:
        check(*arguments)
    except HTTPException as error:
        return error.status_code == 403
    return False


def test_requests_of_a_session_carry_its_token_and_come_from_here():
    tokens = SessionTokens("secret")
    mine = {"cookie": cookie(tokens, tokens.cookie, "me"), "x_csrf_token": tokens.csrf("me")}
    assert tokens.of(request_of(**mine)) == "me"
    assert not refused(tokens.refuse_forged, request_of(**mine), "me")
    for change in (
        {"x_csrf_token": "ü"},
        {"x_csrf_token": tokens.csrf("other")},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ):
        assert refused(tokens.refuse_forged, request_of(**mine | change), "me")
    assert SessionTokens("other").of(request_of(**mine)) is None


def test_one_cookie_is_no_other():
    """A signed value of one cookie under the name of another is not taken for it."""
    tokens = SessionTokens("secret")
    for name in (tokens.device_cookie, tokens.return_cookie):
        stolen = {"cookie": f"{tokens.cookie}={tokens.sign('me', name)}"}
        assert tokens.of(request_of(**stolen)) is None


HOST = {"host": "desk.example:8700"}


@pytest.mark.parametrize(
    ("headers", "forged"),
    [
        ({}, False),  # a program
        ({"origin": "http://desk.example:8700"}, True),  # a browser without our cookie
        ({"referer": "http://evil.example"}, True),
        ({"origin": "null"}, True),
        ({"device": "right", "origin": "http://desk.example:8700"}, False),
        ({"device": "right", "origin": "https://desk.example"}, False),  # named: --host-name
        ({"device": "right", "origin": "http://evil.example"}, True),
        ({"device": "right", "origin": "http://desk.example.evil:8700"}, True),
        ({"device": "right", "origin": "null"}, True),
        ({"device": "right", "origin": "http://[half"}, True),
        ({"device": "right", "sec_fetch_site": "same-origin", "origin": "http://x"}, False),
        ({"device": "right", "sec_fetch_site": "cross-site"}, True),
        ({"device": "wrong", "origin": "http://desk.example:8700"}, True),
        ({"device": "wrong"}, True),
    ],
)
def test_forms_of_strangers_cannot_be_forged(headers, forged):
    tokens = SessionTokens("secret")
    device = headers.pop("device", None)
    if device:
        headers["cookie"] = cookie(tokens, tokens.device_cookie, "browser")
    given = tokens.form("browser" if device == "right" else "another")
    request = request_of(**HOST, **headers)
    assert refused(tokens.refuse_forged_form, request, given, ["desk.example"]) == forged
