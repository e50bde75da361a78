"""The app over HTTP: the way in, CSRF, roles, the judging API, blindness, owner pages."""

import io
import json
import re
import uuid
from html import unescape

import pytest
from starlette.testclient import TestClient

from plaudit.config import CollectConfig
from plaudit.study.accounts import invite
from plaudit.study_app.app import create_app
from tests.study.conftest import (
    csrf_of,
    fill,
    form_token,
    issued_earlier,
    people,
)

PASSWORD = "correct horse battery"


def link(study, role="annotator", uses=1):
    return study.database.transact(lambda db: invite(db, role, "test", uses))


def setup_of(page):
    """What the judging screen is told in its page."""
    return json.loads(unescape(re.findall(r"data-setup='([^']*)'", page)[0]))


class Browser:
    """A test client that has joined, with its CSRF token."""

    def __init__(self, study, role="annotator", root_path=""):
        self.app = create_app(study, CollectConfig(root_path=root_path))
        self.client = TestClient(self.app)
        self.root = root_path
        self.client.post(f"{root_path}/join/{link(study, role)}")
        page = self.client.get(
            f"{root_path}/judge" if role == "annotator" else f"{root_path}/owner"
        )
        self.csrf = csrf_of(page.text)

    def api(self, path, body=None, **headers):
        return self.client.post(
            self.root + path, json=body or {}, headers={"x-csrf-token": self.csrf, **headers}
        )

    def form(self, path, data, **kwargs):
        return self.client.post(
            self.root + path, data=data, headers={"x-csrf-token": self.csrf}, **kwargs
        )


@pytest.fixture
def study(sqlite_study):
    fill(sqlite_study, 12)
    return sqlite_study


def vote(browser, answer="left", **details):
    item = browser.api("/api/next").json()["items"][0]
    body = {"token": item["token"], "key": uuid.uuid4().hex, "answer": answer, **details}
    return item, body, browser.api("/api/votes", body)


def test_a_stranger_is_sent_to_sign_in(study):
    client = TestClient(create_app(study))
    answer = client.get("/judge", follow_redirects=False)
    assert answer.headers["location"] == "/sign-in?next=/judge"
    assert client.post("/api/next", json={}).status_code == 401
    assert "Sign in" in client.get("/").text


def test_an_invitation_leads_to_the_screen_and_opening_it_uses_nothing_up(study):
    client = TestClient(create_app(study))
    token = link(study)
    for _ in range(3):
        page = client.get(f"/join/{token}").text
        assert "Start judging" in page
    page = client.post(f"/join/{token}", data={"csrf": form_token(page)})
    assert page.url.path == "/judge"
    assert TestClient(create_app(study)).get(f"/join/{token}").status_code == 404


def test_the_session_cookie_is_signed_http_only_and_lax(study):
    app = create_app(study, CollectConfig(https=True))
    client = TestClient(app, base_url="https://testserver")
    cookie = client.post(f"/join/{link(study)}", follow_redirects=False).headers["set-cookie"]
    for word in ("HttpOnly", "SameSite=lax", "Secure", "Path=/"):
        assert word in cookie
    client = TestClient(
        app, base_url="https://testserver", cookies={cookie.split("=")[0]: "forged.token"}
    )
    assert client.get("/judge", follow_redirects=False).status_code == 303


def test_accounts_sign_in_and_attempts_are_limited(study):
    client = TestClient(create_app(study))
    data = {"name": "Jo", "email": "jo@example.com", "password": PASSWORD}
    client.post(f"/join/{link(study)}", data=data)
    other = TestClient(client.app)
    right = {"email": "jo@example.com", "password": PASSWORD}
    assert other.post("/sign-in", data=right).url.path == "/judge"
    wrong = {"email": "jo@example.com", "password": "no"}
    statuses = [TestClient(client.app).post("/sign-in", data=wrong).status_code for _ in range(12)]
    assert statuses[0] == 400
    assert statuses[-1] == 429


def test_requests_without_the_token_or_from_elsewhere_are_refused(study):
    browser = Browser(study)
    assert browser.client.post("/api/next", json={}).status_code == 403
    assert browser.api("/api/next", **{"x-csrf-token": "0" * 64}).status_code == 403
    assert browser.api("/api/next", **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert browser.api("/api/next", **{"sec-fetch-site": "same-origin"}).status_code == 200


def test_roles(study):
    annotator, viewer = Browser(study), Browser(study, "viewer")
    assert annotator.client.get("/owner").status_code == 403
    assert annotator.form("/owner/invite", {"role": "owner"}).status_code == 403
    assert viewer.client.get("/owner").status_code == 200
    for page in ("disagreements", "gold", "export", "setup", "comparisons/1", "audit"):
        assert viewer.client.get(f"/owner/{page}").status_code == 403
    assert viewer.client.get("/judge").status_code == 403


def test_every_response_forbids_what_is_outside(study):
    browser = Browser(study, "owner")
    for path in (
        "/judge",
        "/owner",
        "/owner/setup",
        "/static/plaudit.css",
        "/nothing",
        "/api/recent",
    ):
        headers = browser.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    outside = re.compile(r"(?:src|href|action)\s*=\s*[\"'](?:https?:)?//", re.IGNORECASE)
    for path in ("/judge", "/owner", "/owner/setup", "/owner/export", "/owner/annotators"):
        assert not outside.search(browser.client.get(path).text), path


def test_a_vote_is_stored_once_and_brings_the_next(study):
    browser = Browser(study)
    browser.api("/api/next")
    (who,) = people(study)
    issued_earlier(study, who)
    item, body, answer = vote(browser, "right", strength=3, reasons=["clearer"], active_ms=1234)
    tokens = [next_item["token"] for next_item in answer.json()["items"]]
    assert item["token"] not in tokens
    assert len(tokens) == 3
    again = browser.api("/api/votes", body)
    assert again.json()["token"] == answer.json()["token"] == item["token"]
    other = browser.api("/api/votes", {**body, "key": uuid.uuid4().hex})
    assert other.status_code == 409
    (judgment,) = study.judgments()
    assert (judgment.strength, judgment.active_seconds) == (3, 1.234)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"answer": "both"}, 400),
        ({"token": "0" * 32}, 400),
        ({"token": "short"}, 422),
        ({"key": "k"}, 422),
        ({"strength": 9}, 400),
        ({"active_ms": -1}, 422),
    ],
)
def test_bad_votes_say_what_is_wrong(study, change, status):
    browser = Browser(study)
    item = browser.api("/api/next").json()["items"][0]
    body = {"token": item["token"], "key": uuid.uuid4().hex, "answer": "left", **change}
    answer = browser.api("/api/votes", body)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert study.counts()["judgments"] == 0


def test_undo_edit_and_recent(study):
    browser = Browser(study)
    item, _, _ = vote(browser)
    taken = browser.api("/api/undo", {"key": uuid.uuid4().hex}).json()
    assert taken["item"]["token"] == item["token"]
    assert taken["progress"]["judged"] == 0
    vote(browser, "tie")
    (mine,) = browser.client.get("/api/recent").json()["judgments"]
    assert mine["answer"] == "tie"
    shown = browser.client.get(f"/api/judgments/{mine['token']}").json()
    assert shown["item"]["left"] == item["left"]
    edited = {"key": uuid.uuid4().hex, "answer": "right", "version": mine["version"]}
    path = f"/api/judgments/{mine['token']}"
    assert browser.api(path, edited).status_code == 200
    assert browser.api(path, edited).status_code == 200  # sent again
    stale = browser.api(path, {**edited, "key": uuid.uuid4().hex})
    assert stale.status_code == 409
    assert "latest form" in stale.json()["error"]
    assert browser.client.get(f"/api/judgments/{'0' * 32}").status_code == 404
    assert [judgment.answer in ("a", "b") for judgment in study.judgments()] == [True]


def test_preferences_stay(study):
    browser = Browser(study)
    assert (
        browser.api("/api/preferences", {"shortcuts": False, "mode": "graded"}).status_code == 200
    )
    page = browser.client.get("/judge").text
    assert setup_of(page)["shortcuts"] is False
    assert setup_of(page)["mode"] == "graded"


def test_no_payload_tells_who_wrote_what(study):
    """Neither a model's name nor anything that is the same for two people."""
    one, two = Browser(study), Browser(study)
    texts, tokens = [], []
    for browser in (one, two):
        for path in ("/judge", "/api/recent", "/static/judge.js"):
            texts.append(browser.client.get(path).text)
        for _ in range(12):
            items = browser.api("/api/next").json()["items"]
            if not items:
                break
            item, _, answer = vote(browser)
            tokens.append(item["token"])
            assert set(item) == {"token", "prompt", "left", "right"}
            texts += [json.dumps(item), answer.text, str(answer.headers)]
    assert len(tokens) == len(set(tokens)) == 12
    for name in ("gpt", "llama", "hash", "origins", "score"):
        assert not any(name in text for text in texts), name


@pytest.mark.parametrize("strips", [True, False])
def test_the_app_works_under_a_reverse_proxys_path(study, strips):
    """Whether the proxy takes the path off or leaves it on."""
    app = create_app(study, CollectConfig(root_path="/judging"))
    client = TestClient(app)
    sent = "" if strips else "/judging"
    answer = client.post(f"{sent}/join/{link(study)}", follow_redirects=False)
    assert answer.headers["location"] == "/judging/judge"
    assert "Path=/judging" in answer.headers["set-cookie"]
    name, _, value = answer.headers["set-cookie"].split(";")[0].partition("=")
    cookies = {name: value}
    client = TestClient(app, cookies=cookies)
    page = client.get(f"{sent}/judge").text
    for path in re.findall(r"(?:src|href)=\"(/[^\"]*)", page):
        assert path.startswith("/judging/")
        assert client.get(path.removeprefix("/judging") if strips else path).status_code == 200


def test_large_bodies_are_refused_before_they_are_read(study):
    client = TestClient(create_app(study))
    assert client.post("/sign-in", content=b"x" * (2 << 20)).status_code == 413
    owner = Browser(study, "owner")
    row = json.dumps({"prompt": "Q", "response_a": "x" * (2 << 20), "response_b": "no"})
    added = owner.form("/owner/add", {}, files={"file": ("big.jsonl", io.BytesIO(row.encode()))})
    assert "<strong>1</strong>" in added.text


@pytest.mark.parametrize("bad", ["\ud800 half", "a\0b"])
def test_texts_that_no_database_holds_are_made_storable(where, tmp_path, bad):
    from plaudit.study import Study

    with Study(where(), gold_rate=0, agreement_share=0, retest_rate=0) as store:
        store.compare(
            f"Q {bad}",
            [f"x {bad}", "y"],
            models=[f"m{bad}", "n"],
            columns={"c": bad, "n": float("nan")},
        )
        browser = Browser(store)
        item = browser.api("/api/next").json()["items"][0]
        body = {"token": item["token"], "key": f"key {bad} 123", "answer": "left", "rationale": bad}
        text = json.dumps(body)
        headers = {"x-csrf-token": browser.csrf, "content-type": "application/json"}
        answer = browser.client.post("/api/votes", content=text, headers=headers)
        assert answer.status_code in (200, 422), answer.text
        if answer.status_code == 422:  # half a character is no JSON
            browser.api("/api/votes", {**body, "key": "k" * 32, "rationale": ""})
        for form in ("raw", "pairs", "dataset"):
            store.export(tmp_path / form, format=form)
        huge = {**body, "key": "h" * 32, "rationale": "", "active_ms": 10**30}
        assert browser.api("/api/votes", huge).status_code == 422


def test_a_token_that_is_not_ascii_is_refused(study):
    browser = Browser(study)
    headers = {"x-csrf-token": "ü".encode()}
    assert browser.client.post("/api/next", json={}, headers=headers).status_code == 403


def test_undo_takes_back_the_comparison_that_the_screen_shows(study):
    """Not the one edited last."""
    browser = Browser(study)
    first, _, _ = vote(browser)
    second, _, _ = vote(browser)
    edited = {"key": uuid.uuid4().hex, "answer": "tie", "version": 1}
    assert browser.api(f"/api/judgments/{first['token']}", edited).status_code == 200
    taken = browser.api("/api/undo", {"key": uuid.uuid4().hex, "token": second["token"]}).json()
    assert taken["item"]["token"] == second["token"]
    assert [judgment.answer for judgment in study.judgments()] == ["tie"]


def test_progress_does_not_give_gold_away(study, rows):
    """What an annotator sees of the study is the same after gold as after any other vote."""
    gold = [
        {"prompt": f"G{n}", "response_a": "x", "response_b": "y", "label": "a"} for n in range(9)
    ]
    study.add(rows(gold), labels="gold")
    study.change(gold_rate=0.5)
    browser = Browser(study)
    seen = []
    for _ in range(8):
        progress = vote(browser)[2].json()["progress"]
        assert set(progress) == {"judged", "quota"}
        seen.append(progress["judged"])
    assert seen == list(range(1, 9))
