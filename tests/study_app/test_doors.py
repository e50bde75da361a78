"""The ways in and out: links, return links, accounts, consent, platforms, limits, uploads."""

import asyncio
import json
import re
import time

import httpx
import pytest
from sqlalchemy import func, select, update
from starlette.testclient import TestClient

from plaudit.config import CollectConfig
from plaudit.study import schema
from plaudit.study.accounts import Newcomer, invite, join
from plaudit.study.owners import set_active
from plaudit.study.passwords import hash_password
from plaudit.study_app import context
from plaudit.study_app.app import create_app
from tests.study.conftest import csrf_of, fill, form_token

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
JO = Newcomer(name="Jo", email="jo@example.com", password=HASH)
RIGHT = {"email": "jo@example.com", "password": PASSWORD}
WRONG = {"email": "jo@example.com", "password": "something else"}


@pytest.fixture
def study(sqlite_study):
    fill(sqlite_study, 12)
    return sqlite_study


@pytest.fixture
def app(study):
    return create_app(study)


def link(study, role="annotator", uses=1, **details):
    return study.database.transact(lambda db: invite(db, role, "test", uses, **details))


def account(study, new=JO, role="annotator"):
    return study.database.transact(lambda db: join(db, invite(db, role, "test"), new))[0]


class Browser:
    """A browser that keeps its cookies, and fills forms in as their pages say."""

    def __init__(self, app, address="testclient"):
        self.app = app
        self.client = TestClient(app, client=(address, 5000))

    def get(self, path, **details):
        return self.client.get(path, **details)

    def send(self, page, path, **fields):
        """A form of the page, to where its action leads."""
        return self.client.post(path, data={"csrf": form_token(page), **fields})

    def join(self, token, query="", **fields):
        return self.send(self.get(f"/join/{token}{query}").text, f"/join/{token}{query}", **fields)

    def sign_in(self, **fields):
        return self.send(self.get("/sign-in").text, "/sign-in", **fields)

    def me(self):
        """The pseudonym that this browser is signed in as; None for a stranger."""
        page = self.get("/account", follow_redirects=False)
        found = re.search(r"You are <strong>([^<]*)", page.text)
        return found[1] if found else None

    def api(self, path, body=None, form=None):
        headers = {"x-csrf-token": csrf_of(self.get("/account").text)}
        return self.client.post(path, json=body, data=form, headers=headers)

    def code(self):
        """The return code that My account shows."""
        found = re.search(r'data-path="/join/([\w-]+)"', self.get("/account").text)
        return found[1] if found else None

    def forget(self, *but):
        """Lose the cookies, but for the named kinds."""
        for name in list(self.client.cookies):
            if not any(name.endswith(kind) for kind in but):
                del self.client.cookies[name]


# ------------------------------------------------------------------------------- sessions


def test_a_session_is_renewed_while_it_is_used_and_so_is_its_cookie(app, study):
    browser = Browser(app)
    browser.join(link(study))
    assert "set-cookie" not in browser.get("/judge").headers
    soon = update(schema.session).values(expires_at=time.time() + 3600)
    study.database.transact(lambda db: db.execute(soon))
    page = browser.get("/judge")
    cookie = page.headers["set-cookie"]
    for word in ("HttpOnly", "Max-Age=1209600", "SameSite=lax"):
        assert word in cookie
    with study.database.read() as db:
        assert db.scalar(select(schema.session.c.expires_at)) > time.time() + 13 * 86400
    assert "set-cookie" not in browser.get("/judge").headers
    assert browser.get("/judge").status_code == 200


def test_a_sign_out_is_not_undone_by_a_renewal(app, study):
    browser = Browser(app)
    browser.join(link(study))
    csrf = csrf_of(browser.get("/judge").text)
    soon = update(schema.session).values(expires_at=time.time() + 3600)
    study.database.transact(lambda db: db.execute(soon))
    browser.client.post("/api/sign-out", headers={"x-csrf-token": csrf})
    assert browser.me() is None


def test_who_signs_in_again_comes_back_to_the_page_and_the_old_session_ends(app, study):
    me = account(study)
    browser = Browser(app)
    page = browser.get("/judge")
    assert 'name="next" type="hidden" value="/judge"' in page.text
    assert browser.send(page.text, "/sign-in", next="/judge", **RIGHT).url.path == "/judge"
    assert browser.me() == me.pseudonym
    browser.sign_in(**RIGHT)
    with study.database.read() as db:
        assert db.scalar(select(func.count()).select_from(schema.session)) == 2  # and of joining


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/judge/..//x", "/sign-in", "/ü"],
)
def test_nobody_is_led_elsewhere_after_signing_in(app, study, target):
    account(study)
    browser = Browser(app)
    page = browser.get("/sign-in", params={"next": target}).text
    assert "evil" not in page
    answer = browser.send(page, "/sign-in", next=target, **RIGHT)
    assert str(answer.url) == "http://testserver/judge"


def test_the_screen_resumes_in_the_same_tab_under_the_same_name(app, study):
    browser = Browser(app)
    browser.join(link(study))
    me, code = browser.me(), browser.code()
    study.database.transact(lambda db: db.execute(schema.session.delete()))
    assert browser.client.post("/api/next", json={}).status_code == 401
    for given in (code, f"http://desk.example/judging/join/{code}", f" {code}/ "):
        answer = browser.client.post("/api/resume", json={"code": given})
        assert answer.json()["pseudonym"] == me
    headers = {"x-csrf-token": answer.json()["csrf"]}
    assert browser.client.post("/api/next", json={}, headers=headers).status_code == 200
    wrong = browser.client.post("/api/resume", json={"code": "nonsense"})
    assert (wrong.status_code, "not valid" in wrong.json()["error"]) == (400, True)


def test_the_screen_resumes_with_a_password(app, study):
    me = account(study)
    browser = Browser(app)
    answer = browser.client.post("/api/resume", json=RIGHT)
    assert answer.json()["pseudonym"] == me.pseudonym
    assert browser.me() == me.pseudonym
    assert browser.client.post("/api/resume", json=WRONG).status_code == 400
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}):
        assert browser.client.post("/api/resume", json=RIGHT, headers=headers).status_code == 403


# ----------------------------------------------------------------- return links, my account


def test_the_return_link_is_shown_at_the_start_and_on_my_account_and_leads_back(app, study):
    browser = Browser(app)
    token = link(study)
    shown = [browser.get(f"/join/{token}").text for _ in range(2)]  # a reload shows the same
    codes = {re.search(r'data-path="/join/([\w-]+)"', page)[1] for page in shown}
    browser.send(shown[-1], f"/join/{token}")
    me, code = browser.me(), browser.code()
    assert codes == {code}
    other = Browser(app)
    page = other.get(f"/join/{code}").text
    assert f"Continue as {me}" in page
    assert other.me() is None  # opening it signs nobody in: mail scanners open links too
    other.send(page, f"/join/{code}")
    assert (other.me(), other.code()) == (me, code)
    third = Browser(app)
    assert third.sign_in(code=code).url.path == "/judge"
    assert third.me() == me


def test_a_new_return_link_ends_the_old_one(app, study):
    browser = Browser(app)
    browser.join(link(study))
    old = browser.code()
    answer = browser.api("/account/return-link")
    assert browser.code() in answer.text
    assert browser.code() != old
    assert Browser(app).get(f"/join/{old}").status_code == 404


def test_who_came_by_a_link_makes_an_account_and_changes_the_password(app, study):
    browser, other = Browser(app), Browser(app)
    browser.join(link(study))
    me = browser.me()
    assert "Account made" in browser.api("/account/create", form=RIGHT).text
    other.sign_in(**RIGHT)
    assert other.me() == me
    new = {"current": PASSWORD, "password": "another good one"}
    refused = browser.api("/account/password", form={**new, "current": "wrong"})
    assert "current password is another" in refused.text
    assert "Other browsers signed out: 1" in browser.api("/account/password", form=new).text
    assert (browser.me(), other.me()) == (me, None)
    assert other.sign_in(**RIGHT).status_code == 400
    other.sign_in(email="jo@example.com", password="another good one")
    assert other.me() == me


def test_wrong_current_passwords_are_limited(app, study):
    account(study)
    browser = Browser(app)
    browser.sign_in(**RIGHT)
    form = {"current": "wrong", "password": "another good one"}
    statuses = [browser.api("/account/password", form=form).status_code for _ in range(8)]
    assert statuses[0] == 400
    assert statuses[-1] == 429


def test_signing_out_everywhere_ends_every_way_back_but_the_new_link(app, study):
    browser, other = Browser(app), Browser(app)
    browser.join(link(study))
    me, code = browser.me(), browser.code()
    other.join(code)
    page = browser.api("/account/sign-out-everywhere").text
    (new,) = re.findall(r'data-path="/join/([\w-]+)"', page)
    assert (browser.me(), other.me()) == (None, None)
    assert other.join(new).url.path == "/judge"
    assert other.me() == me
    assert Browser(app).get(f"/join/{code}").status_code == 404


def test_an_owner_issues_a_return_link_and_a_password_reset(app, study):
    owner, lost = Browser(app), Browser(app)
    owner.join(link(study, "owner"))
    for setting in ({}, RIGHT):
        new = Newcomer(email=setting.get("email", ""), password=HASH if setting else None)
        person = account(study, new)
        page = owner.api(f"/owner/annotators/{person.id}/return-link")
        (token,) = re.findall(r'value="http://testserver/join/([\w-]+)"', page.text)
        fields = {"password": "a new good password"} if setting else {}
        if setting:
            assert "choose a new password" in lost.join(token).text
        assert lost.join(token, **fields).url.path == "/judge"
        assert lost.me() == person.pseudonym
        assert Browser(app).get(f"/join/{token}").status_code == 404
        lost = Browser(app)
    lost.sign_in(email="jo@example.com", password="a new good password")
    assert lost.me() == person.pseudonym
    annotator = Browser(app)
    annotator.join(link(study))
    assert annotator.api(f"/owner/annotators/{person.id}/return-link").status_code == 403


# ------------------------------------------------------------- one browser, one person


def test_an_owner_who_tries_the_annotators_link_stays_owner(app, study):
    browser = Browser(app)
    browser.join(link(study, "owner"))
    me = browser.me()
    token = link(study, uses=5)
    page = browser.get(f"/join/{token}").text
    assert f"You are signed in as {me} (owner)" in page
    assert 'id="continue"' in page
    assert browser.join(token).url.path == "/owner"  # without choosing to be somebody new
    assert browser.me() == me
    with study.database.read() as db:
        used = select(schema.invitation.c.uses).where(schema.invitation.c.role == "annotator")
        assert db.scalar(used) == 5
    browser.join(token, new="true")
    assert browser.me() != me


def test_a_used_link_says_who_is_signed_in(app, study):
    browser = Browser(app)
    token = link(study)
    browser.join(token)
    page = browser.get(f"/join/{token}")
    assert page.status_code == 404
    assert "used up" in page.text
    assert f"Continue as {browser.me()}" in page.text
    assert "return link" in Browser(app).get(f"/join/{token}").text


def test_this_browser_already_judged(app, study):
    token = link(study, uses=5)
    browser = Browser(app)
    browser.join(token)
    me = browser.me()
    browser.forget("_device", "_return")  # the session is over
    page = browser.get(f"/join/{token}").text
    assert f"This browser already judged as {me}" in page
    (back,) = set(re.findall(r'action="/join/([\w-]+)"', page)) - {token}
    assert browser.join(token).status_code == 409  # somebody new must be chosen
    browser.send(page, f"/join/{back}")
    assert browser.me() == me
    browser.api("/api/sign-out")
    page = browser.get(f"/join/{token}").text  # signed out: known, but nobody else comes in
    assert f"This browser already judged as {me}" in page
    assert f'href="/sign-in" id="continue">Continue as {me}' in page
    browser.join(token, new="true")
    assert browser.me() not in (None, me)
    with study.database.read() as db:
        assert len(set(db.scalars(select(schema.annotator.c.device)))) == 1


def test_who_was_deactivated_does_not_join_again_in_that_browser(app, study):
    account(study, role="owner")
    token = link(study, uses=5)
    browser = Browser(app)
    browser.join(token)
    name = browser.me()
    with study.database.read() as db:
        a = schema.annotator.c
        number = db.scalar(select(a.id).where(a.pseudonym == name))
    study.database.transact(lambda db: set_active(db, number, False, "owner"))
    answer = browser.join(token, new="true")
    assert answer.status_code == 400
    assert "no longer takes part" in answer.text


# ----------------------------------------------------------- consent, accounts, platforms


def test_consent_comes_first_and_is_kept(app, study):
    study.change(consent="We store **what you choose**.")
    browser, token = Browser(app), link(study, uses=3)
    page = browser.get(f"/join/{token}").text
    assert "<strong>what you choose</strong>" in page
    refused = browser.join(token)
    assert refused.status_code == 400
    assert "agree to it" in refused.text
    assert browser.me() is None
    browser.join(token, consent="true")
    with study.database.read() as db:
        assert db.scalar(select(schema.annotator.c.consented_at)) == pytest.approx(
            time.time(), abs=60
        )
    assert "what you choose" not in Browser(app).get(f"/join/{link(study, 'owner')}").text


def test_who_comes_back_agrees_to_what_was_not_asked_before(app, study):
    browser = Browser(app)
    browser.join(link(study))
    me, code = browser.me(), browser.code()
    study.change(consent="We store what you choose.")
    other = Browser(app)
    assert "agree to it" in other.join(code).text
    other.join(code, consent="true")
    assert other.me() == me
    assert "We store" not in Browser(app).get(f"/join/{code}").text


def test_a_link_that_asks_for_an_account(app, study):
    token = link(study, uses=3, needs_account=True)
    browser = Browser(app)
    assert "asks for an account" in browser.join(token).text
    browser.join(token, **RIGHT)
    assert browser.me()
    other = Browser(app).join(token, **RIGHT)
    assert other.status_code == 400
    assert "sign in, or take another address" in other.text


def test_a_platforms_id_is_kept_and_leads_back(app, study):
    token = link(study, uses=2, platform="PROLIFIC_PID")
    query = "?PROLIFIC_PID=5f3c&STUDY_ID=s&SESSION_ID=t"
    browser = Browser(app)
    browser.join(token, query)
    me = browser.me()
    other = Browser(app)  # another device, a day later
    assert f"Continue as {me}" in other.get(f"/join/{token}{query}").text
    other.join(token, query)
    assert other.me() == me
    second = Browser(app)
    second.join(token, "?PROLIFIC_PID=60aa")
    assert second.me() != me
    with study.database.read() as db:
        ids = db.execute(select(schema.identity.c.platform, schema.identity.c.external_id)).all()
    assert ids == [("PROLIFIC_PID", "5f3c"), ("PROLIFIC_PID", "60aa")]
    Browser(app).join(token, query)  # used up for others


@pytest.mark.parametrize("query", ["", "?PROLIFIC_PID=", "?PROLIFIC_PID={{%25PROLIFIC_PID%25}}"])
def test_a_platforms_link_without_its_id_is_refused_clearly(app, study, query):
    token = link(study, uses=2, platform="PROLIFIC_PID")
    page = Browser(app).get(f"/join/{token}{query}")
    assert page.status_code == 400
    assert "as <strong>PROLIFIC_PID</strong> in the address" in page.text
    assert 'id="start"' not in page.text
    assert Browser(app).client.post(f"/join/{token}{query}").status_code == 400


def test_the_same_id_twice_at_once_is_one_person(where):
    import threading

    from plaudit.study import Study

    with Study(where()) as study:
        app, token = create_app(study), link(study, uses=5, platform="PID")
        statuses = []

        def come():
            statuses.append(TestClient(app).post(f"/join/{token}?PID=1").status_code)

        threads = [threading.Thread(target=come) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 5
        with study.database.read() as db:
            assert db.scalar(select(func.count()).select_from(schema.annotator)) == 1


# --------------------------------------------------------------------------- forged, limited


def test_forms_of_the_way_in_cannot_be_forged(app, study):
    account(study)
    browser, token = Browser(app), link(study)
    good = form_token(browser.get("/sign-in").text)
    for path, fields in (("/sign-in", RIGHT), (f"/join/{token}", {})):
        for csrf, headers in (
            ("", {}),
            ("0" * 64, {}),
            (form_token(Browser(app).get("/sign-in").text), {}),
            (good, {"origin": "http://evil.example"}),
            (good, {"sec-fetch-site": "same-site"}),
        ):
            answer = browser.client.post(path, data={"csrf": csrf, **fields}, headers=headers)
            assert answer.status_code == 403
        stranger = TestClient(app).post(path, data=fields, headers={"origin": "http://testserver"})
        assert stranger.status_code == 403
    assert browser.me() is None
    assert browser.sign_in(**RIGHT).url.path == "/judge"


def test_wrong_tries_elsewhere_lock_nobody_out(app, study):
    me = account(study)
    attacker, victim = Browser(app, "203.0.113.5"), Browser(app, "198.51.100.7")
    page = attacker.get("/sign-in").text
    statuses = [attacker.send(page, "/sign-in", **WRONG).status_code for _ in range(20)]
    assert statuses[0] == 400
    assert statuses[-1] == 429
    late = attacker.send(page, "/sign-in", **RIGHT)
    assert "too many wrong attempts: wait" in late.text
    victim.sign_in(**RIGHT)
    assert victim.me() == me.pseudonym


def test_an_ipv6_network_counts_as_one(app, study):
    account(study)
    statuses = []
    for number in range(12):
        browser = Browser(app, f"2001:db8::{number:x}")
        statuses.append(browser.sign_in(**WRONG).status_code)
    assert statuses[-1] == 429
    assert Browser(app, "2001:db8:0:1::1").sign_in(**RIGHT).status_code == 200


def test_the_browser_of_an_account_is_never_locked_out_by_its_neighbours(app, study):
    """An office behind one address, one of whom guesses passwords."""
    mine = Browser(app)
    mine.join(link(study), **RIGHT)
    me = mine.me()
    mine.forget("_device")
    guesser = Browser(app)
    page = guesser.get("/sign-in").text
    for number in range(70):
        guesser.send(page, "/sign-in", email=f"p{number}@example.com", password="wrong guess")
        guesser.send(page, "/sign-in", **WRONG)
    assert guesser.send(page, "/sign-in", **RIGHT).status_code == 429
    mine.sign_in(**RIGHT)
    assert mine.me() == me


def test_a_valid_link_is_refused_to_nobody(app, study):
    browser = Browser(app)
    statuses = [browser.get(f"/join/wrong{number}").status_code for number in range(40)]
    assert (statuses[0], statuses[-1]) == (404, 429)
    browser.join(link(study))
    assert browser.me()
    assert Browser(app).sign_in(code=browser.code()).url.path == "/judge"


def test_an_old_hash_is_renewed_when_its_owner_signs_in(app, study):
    from argon2 import PasswordHasher

    old = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4).hash(PASSWORD)
    account(study, Newcomer(email="jo@example.com", password=old))
    assert Browser(app).sign_in(**RIGHT).url.path == "/judge"
    with study.database.read() as db:
        assert "m=19456,t=2,p=1" in db.scalar(select(schema.identity.c.password))


def test_a_crowd_at_the_door_is_told_to_come_back_and_holds_no_vote_up(app, study):
    """Hashing has threads of its own, and a short queue."""
    account(study)

    async def crowd():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            tries = [
                client.post("/sign-in", data={"email": f"p{n}@example.com", "password": "wrong"})
                for n in range(120)
            ]
            others = [client.get("/sign-in") for _ in range(3)]
            return await asyncio.gather(*tries), await asyncio.gather(*others)

    answers, others = asyncio.run(crowd())
    found = {answer.status_code for answer in answers}
    assert found == {400, 503}
    assert [answer.status_code for answer in others] == [200] * 3


# ----------------------------------------------------------------------- bodies, uploads


def upload(browser, **headers):
    return browser.client.post("/owner/add", content=b"", headers=headers)


def big(csrf=""):
    return {"content-length": str(4 << 30), "content-type": "multipart/form-data; boundary=x"} | (
        {"x-csrf-token": csrf} if csrf else {}
    )


class Unread:
    """An ASGI request whose body must not be asked for."""

    def __init__(self, app, path, headers):
        self.app, self.sent = app, []
        raw = [(k.encode(), v.encode()) for k, v in headers.items()]
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "scheme": "http",
            "http_version": "1.1",
            "headers": raw,
            "client": ("10.0.0.1", 1),
            "server": ("testserver", 80),
        }

    async def receive(self):
        raise AssertionError("the body was asked for")

    async def send(self, message):
        self.sent.append(message)

    def run(self):
        asyncio.run(self.app(self.scope, self.receive, self.send))
        return self.sent[0]["status"]


def cookies(browser):
    return {
        "cookie": "; ".join(f"{name}={value}" for name, value in browser.client.cookies.items())
    }


def test_session_and_role_are_looked_up_before_the_body(app, study):
    annotator, owner = Browser(app), Browser(app)
    annotator.join(link(study))
    owner.join(link(study, "owner"))
    csrf = {b: csrf_of(b.get("/account").text) for b in (annotator, owner)}
    assert Unread(app, "/owner/add", big()).run() == 303
    assert Unread(app, "/api/votes", big()).run() == 401
    assert Unread(app, "/owner/add", big(csrf[annotator]) | cookies(annotator)).run() == 403
    assert Unread(app, "/owner/add", big() | cookies(owner)).run() == 403
    assert Unread(app, "/owner/settings", big(csrf[owner]) | cookies(owner)).run() == 413
    assert Unread(app, "/sign-in", big()).run() == 413
    assert Unread(app, "/nothing/here", big()).run() == 303
    study.database.transact(lambda db: db.execute(schema.session.delete()))
    assert Unread(app, "/owner/add", big(csrf[owner]) | cookies(owner)).run() == 303  # dead, signed


def test_one_upload_at_a_time_and_only_where_there_is_room(app, study, monkeypatch):
    owner = Browser(app)
    owner.join(link(study, "owner"))
    headers = big(csrf_of(owner.get("/account").text)) | cookies(owner)
    monkeypatch.setattr(context, "disk_usage", lambda _: type("Free", (), {"free": 5 << 30}))
    assert Unread(app, "/owner/add", headers).run() == 507
    monkeypatch.setattr(context, "disk_usage", lambda _: type("Free", (), {"free": 50 << 30}))
    assert Unread(app, "/owner/add", headers).run() == 500  # only now the body is asked for
    limits = app.state.plaudit.limits
    asyncio.run(limits.uploads.acquire())
    assert Unread(app, "/owner/add", headers).run() == 409


def test_an_upload_has_few_fields_and_odd_names_are_no_trouble(app, study):
    owner = Browser(app)
    owner.join(link(study, "owner"))
    headers = {"x-csrf-token": csrf_of(owner.get("/account").text)}
    row = b'{"prompt": "Q", "response_a": "yes", "response_b": "no"}\n'

    def add(name="m.jsonl", content=row, **fields):
        files = {"file": (name, content)}
        return owner.client.post("/owner/add", data=fields, files=files, headers=headers)

    many = add(**{f"f{number}": "x" for number in range(50)})
    assert many.status_code == 400
    assert add(columns="x" * 100_000).status_code == 400
    for name, content in (
        ("a" * 300 + "." + "b" * 300, row),
        ("m.jsonl.zst", b"\x28\xb5\x2f\xfd" + b"x" * 100),
        ("m.jsonl.gz", b"\x1f\x8b" + b"x" * 100),
        ("m.jsonl", b'{"sampling": ' + b"[" * 5000 + b"]" * 5000 + b"}\n"),
        (
            "m.jsonl",
            b'{"prompt": "Q", "responses": ["a", "b"], "sampling": '
            + b'{"a":' * 400
            + b"1"
            + b"}" * 401
            + b"\n",
        ),
        ("m.parquet", b"PAR1" + b"x" * 100),
        ("m.csv", b""),
    ):
        answer = add(name, content)
        assert answer.status_code in (200, 400), (name, answer.text)
    assert "<strong>1</strong>" in add(content=row).text


def test_every_route_that_writes_asks_who_it_is(app, study):
    """But for the doors themselves; found by asking every route there is."""
    from fastapi.routing import APIRoute

    def routes(router):
        for route in router.routes:
            inner = getattr(route, "original_router", None)
            yield from routes(inner) if inner is not None else [route]

    strangers = {"/join/{token}", "/sign-in", "/api/resume"}
    written = {
        route.path
        for route in routes(app)
        if isinstance(route, APIRoute) and route.methods - {"GET", "HEAD"}
    }
    assert strangers < written
    assert len(written) > 15
    client = TestClient(app, follow_redirects=False)
    for path in written - strangers:
        plain = re.sub(r"\{[^}]*\}", "1", path)
        assert client.post(plain, json={}).status_code in (303, 401), path


def test_a_person_changes_so_much_and_no_more(app, study, monkeypatch):
    browser = Browser(app)
    browser.join(link(study))
    csrf = csrf_of(browser.get("/account").text)
    headers = {"x-csrf-token": csrf}
    statuses = [
        browser.client.post("/api/preferences", json={}, headers=headers).status_code
        for _ in range(1210)
    ]
    assert (statuses[0], statuses[-1]) == (200, 429)


# ------------------------------------------------------------------------ pages and proxies


def test_links_are_those_of_the_page_behind_a_proxy_without_host(study):
    app = create_app(study, CollectConfig(root_path="/judging"))
    client = TestClient(app, base_url="http://127.0.0.1:8851")
    client.post(f"/judging/join/{link(study, 'owner')}")
    headers = {
        "x-csrf-token": csrf_of(client.get("/judging/owner").text),
        "origin": "https://desk.example",
        "sec-fetch-site": "same-origin",
    }
    for path in ("/judging/owner/invite", "/judging/owner/annotators/1/return-link"):
        page = client.post(path, data={"role": "annotator"}, headers=headers).text
        assert re.search(r'value="https://desk.example/judging/join/[\w-]+"', page)


@pytest.mark.parametrize(
    "headers",
    [{"x-forwarded-proto": "https"}, {"referer": "https://testserver/x"}],
)
def test_the_cookie_is_secure_behind_https_without_a_flag(app, study, headers):
    client = TestClient(app)
    page = client.get("/sign-in", headers=headers)
    assert "Secure" in page.headers["set-cookie"]
    assert "Secure" not in TestClient(app).get("/sign-in").headers["set-cookie"]


def test_a_crash_says_nothing_and_has_its_headers(app, study, caplog):
    with study.database.read():
        client = TestClient(app)
    app.state.plaudit.study.database.transact(lambda db: db.exec_driver_sql("DROP VIEW standing"))
    owner = Browser(app)
    owner.join(link(study, "owner"))
    answer = owner.get("/owner/disagreements")
    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "standing" not in answer.text
    assert "standing" in caplog.text
    assert client


def test_nothing_personal_is_logged_when_a_statement_fails(study, caplog):
    app = create_app(study)
    study.database.transact(
        lambda db: db.exec_driver_sql("ALTER TABLE identity RENAME COLUMN email TO mail")
    )
    answer = TestClient(app).post(f"/join/{link(study)}", data={**RIGHT, "name": "Jo Secret"})
    assert answer.status_code == 500
    assert "email" in caplog.text
    for word in ("jo@example.com", "Jo Secret", "argon2id"):
        assert word not in caplog.text


@pytest.mark.parametrize("path", ["/join/a%00b", "/join/x?PID=%00", "/sign-in?next=%00"])
def test_a_zero_byte_is_refused_on_both_databases(where, path):
    from plaudit.study import Study

    with Study(where()) as study:
        client = TestClient(create_app(study))
        assert client.get(path).status_code == 400
        assert client.post(path, data={"email": "a\0"}).status_code == 400
        assert client.post("/sign-in", data={"email": "a\0b", "password": "x"}).status_code == 400
        for odd in ("a\0b", "\ud800"):
            for body in ({"email": odd, "password": "xxxxxxxxxx"}, {"code": odd}):
                text = json.dumps(body)
                headers = {"content-type": "application/json"}
                answer = client.post("/api/resume", content=text, headers=headers)
                assert answer.status_code == 422
