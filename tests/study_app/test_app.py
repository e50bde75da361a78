"""The app over HTTP: the way in, CSRF, roles, the judging API, blindness, owner pages."""

import io
import json
import re
import uuid
import zipfile

import pytest
from starlette.testclient import TestClient

from plaudit.config import CollectConfig
from plaudit.study.accounts import invite
from plaudit.study_app.app import create_app
from tests.study.conftest import csrf_of, fill, form_token, judge, person, prefers_good

PASSWORD = "correct horse battery"


def link(study, role="annotator", uses=1):
    return study.database.transact(lambda db: invite(db, role, "test", uses))


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
    for page in ("disagreements", "gold", "export", "setup", "export/raw.zip"):
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
    item, body, answer = vote(browser, "right", strength=3, reasons=["clearer"], active_ms=1234)
    tokens = [next_item["token"] for next_item in answer.json()["items"]]
    assert item["token"] not in tokens
    assert len(tokens) == 3
    again = browser.api("/api/votes", body)
    assert again.json()["number"] == answer.json()["number"]
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
    shown = browser.client.get(f"/api/judgments/{mine['number']}").json()
    assert shown["item"]["left"] == item["left"]
    edited = {"key": uuid.uuid4().hex, "answer": "right"}
    assert browser.api(f"/api/judgments/{mine['number']}", edited).status_code == 200
    assert browser.client.get("/api/judgments/999").status_code == 404
    assert next(iter(study.judgments())).answer in ("a", "b")


def test_preferences_stay(study):
    browser = Browser(study)
    assert (
        browser.api("/api/preferences", {"shortcuts": False, "mode": "graded"}).status_code == 200
    )
    page = browser.client.get("/judge").text
    assert 'data-shortcuts="off"' in page
    assert 'data-mode="graded"' in page


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


def test_the_owner_adds_a_file_invites_and_exports(sqlite_study):
    study = sqlite_study
    owner = Browser(study, "owner")
    rows = [{"prompt": f"Q{n}", "response_a": "yes", "response_b": "no"} for n in range(3)]
    file = io.BytesIO("".join(json.dumps(row) + "\n" for row in rows).encode())
    added = owner.form("/owner/add", {}, files={"file": ("mine.jsonl", file)})
    assert "<strong>3</strong> comparisons added" in added.text
    masked = json.dumps({**rows[0], "prompt": "Mail jo@example.com"}).encode()
    form = {"mask": ["pii", "models"], "labels": "ignore", "pairing": "one"}
    added = owner.form("/owner/add", form, files={"file": ("m.jsonl", io.BytesIO(masked))})
    assert "Masked: e-mail: 1 texts" in added.text
    wrong = owner.form(
        "/owner/add", {"labels": "x"}, files={"file": ("m.jsonl", io.BytesIO(masked))}
    )
    assert wrong.status_code == 422
    bad = owner.form("/owner/add", {}, files={"file": ("mine.jsonl", io.BytesIO(b'{"x": 1}\n'))})
    assert "mine.jsonl: no known format" in bad.text
    page = owner.form("/owner/invite", {"role": "annotator", "uses": "2", "days": "1"}).text
    (token,) = re.findall(r"/join/([\w-]+)", page)
    joined = TestClient(owner.app)
    assert joined.post(f"/join/{token}").url.path == "/judge"
    judge(study, person(study), "left", 5)
    for form in ("pairs", "trl", "raw", "dataset"):
        answer = owner.client.get(f"/owner/export/{form}.zip")
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert "manifest.json" in names


def test_settings_and_guideline_from_the_page(study):
    owner = Browser(study, "owner")
    form = {
        "name": "Desk",
        "question": "Which?",
        "mode": "graded",
        "overlap": "2",
        "lease_minutes": "5",
        "gold_rate": "10",
        "retest_rate": "0",
        "reasons": "tone\nfacts\n",
    }
    assert "Settings saved" in owner.form("/owner/settings", form).text
    assert study.settings.reasons == ("tone", "facts")
    assert study.settings.overlap == 2
    refused = owner.form("/owner/settings", {**form, "overlap": "0"})
    assert "overlap must lie in 1 to 100" in refused.text
    assert "Version 1" in owner.form("/owner/guideline", {"markdown": "Be **fair**."}).text
    assert "<strong>fair</strong>" in owner.client.get("/judge").text


def test_disagreements_are_queued_and_resolved(study):
    study.change(overlap=2)
    one, two = person(study), person(study)
    judge(study, one, prefers_good, 12)
    judge(study, two, lambda item: "right" if prefers_good(item) == "left" else "left", 12)
    owner = Browser(study, "owner")
    owner.app.state.plaudit.updater.refresh()
    page = owner.client.get("/owner/disagreements").text
    assert "gpt" not in page
    (first, *_) = re.findall(r"/owner/disagreements/(\d+)", page)
    done = owner.form(f"/owner/disagreements/{first}", {"answer": "a", "key": uuid.uuid4().hex})
    assert "Resolved" in done.text
    assert f'/owner/disagreements/{first}"' not in owner.client.get("/owner/disagreements").text


def test_gold_is_promoted_and_dropped_from_the_page(study):
    study.change(overlap=3)
    for who in (person(study), person(study), person(study)):
        judge(study, who, prefers_good, 12)
    owner = Browser(study, "owner")
    (first, *_) = re.findall(r"/owner/gold/(\d+)", owner.client.get("/owner/gold").text)
    assert "Marked as gold" in owner.form(f"/owner/gold/{first}", {"answer": "a"}).text
    assert "1 comparisons with a known answer" in owner.client.get("/owner/gold").text
    assert "Removed from gold" in owner.form(f"/owner/gold/{first}", {"answer": ""}).text


def test_annotators_are_deactivated_and_erased_and_a_viewer_sees_no_names(study):
    client = TestClient(create_app(study))
    data = {"name": "Jo Doe", "email": "jo@example.com", "password": PASSWORD}
    client.post(f"/join/{link(study)}", data=data)
    owner, viewer = Browser(study, "owner"), Browser(study, "viewer")
    page = owner.client.get("/owner/annotators").text
    assert "Jo Doe" in page
    assert "Jo Doe" not in viewer.client.get("/owner/annotators").text
    (number,) = re.findall(r"annotators/(\d+)/erase", page)
    assert owner.form(f"/owner/annotators/{number}/active", {"active": "false"}).status_code == 204
    assert client.get("/judge", follow_redirects=False).status_code == 303
    assert owner.form(f"/owner/annotators/{number}/erase", {}).status_code == 204
    assert "Jo Doe" not in owner.client.get("/owner/annotators").text


def test_the_progress_page_is_never_older_than_half_a_minute(study):
    app = create_app(study)
    with TestClient(app) as client:  # runs the watch
        client.post(f"/join/{link(study, 'owner')}")
        judge(study, person(study), "left", 3)
        app.state.plaudit.updater.refresh()
        page = client.get("/owner/numbers").text
        assert re.search(r"<strong>3</strong><span>judged at least once", page)
        assert app.state.plaudit.updater._every <= 15


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
        huge = {**body, "key": "h" * 32, "rationale": "", "guideline": 10**30}
        assert browser.api("/api/votes", huge).status_code == 422


@pytest.mark.parametrize("path", ["/owner/disagreements?page=-1", f"/owner/gold?page={10**30}"])
def test_odd_page_numbers_are_refused_not_crashed_on(study, path):
    assert Browser(study, "owner").client.get(path).status_code == 422


def test_a_token_that_is_not_ascii_is_refused(study):
    browser = Browser(study)
    headers = {"x-csrf-token": "ü".encode()}
    assert browser.client.post("/api/next", json={}, headers=headers).status_code == 403


def test_undo_takes_back_the_comparison_that_the_screen_shows(study):
    """Not the one edited last."""
    browser = Browser(study)
    first, _, answer = vote(browser)
    second, _, _ = vote(browser)
    browser.api(
        f"/api/judgments/{answer.json()['number']}", {"key": uuid.uuid4().hex, "answer": "tie"}
    )
    taken = browser.api("/api/undo", {"key": uuid.uuid4().hex, "token": second["token"]}).json()
    assert taken["item"]["token"] == second["token"]
    assert [judgment.answer for judgment in study.judgments()] == ["tie"]
    assert first


def test_a_link_can_be_revoked_and_a_signed_in_person_is_warned(study):
    owner = Browser(study, "owner")
    page = owner.form("/owner/invite", {"role": "annotator", "uses": "1", "days": "1"}).text
    (token,) = re.findall(r"/join/([\w-]+)", page)
    assert "You are signed in as" in owner.client.get(f"/join/{token}").text
    (number,) = re.findall(r"invitations/(\d+)/revoke", owner.client.get("/owner/setup").text)
    assert "no longer works" in owner.form(f"/owner/invitations/{number}/revoke", {}).text
    assert TestClient(owner.app).get(f"/join/{token}").status_code == 404


def test_reports_reach_the_owner(study):
    vote(Browser(study), "skip", report="harmful: it insults")
    assert "harmful: it insults" in Browser(study, "owner").client.get("/owner/disagreements").text


def test_gold_no_more_is_asked_again(study):
    study.change(overlap=2)
    browser, owner = Browser(study), Browser(study, "owner")
    vote(browser)
    from sqlalchemy import select

    from plaudit.study import schema

    c = schema.comparison
    with study.database.read() as db:
        judged = db.scalar(select(schema.judgment.c.comparison))
    owner.form(f"/owner/gold/{judged}", {"answer": "a"})
    owner.form(f"/owner/gold/{judged}", {"answer": ""})
    with study.database.read() as db:
        assert db.scalar(select(c.c.slots).where(c.c.id == judged)) == 1


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
        assert set(progress) == {"judged", "percent"}
        assert progress["percent"] % 5 == 0
        seen.append(progress["judged"])
    assert seen == list(range(1, 9))
