"""The judging routes over HTTP: introduction, quota, the end, preview, preferences, limits."""

import time
import uuid

import pytest
from sqlalchemy import select, update

from plaudit.study import schema
from tests.study.conftest import csrf_of, fill, people
from tests.study.test_practice import practice_rows
from tests.study_app.test_app import Browser, setup_of, vote


def setup(browser, path="/judge"):
    return setup_of(browser.client.get(path).text)


@pytest.fixture
def study(sqlite_study):
    fill(sqlite_study, 12)
    return sqlite_study


def test_a_judgment_carries_the_guideline_that_was_served_whatever_is_sent(study):
    browser = Browser(study)
    study.write_guideline("Be fair.")
    assert (setup(browser)["guideline"], setup(browser)["seen"]) == (1, 0)
    vote(browser, guideline=1)
    assert browser.api("/api/guideline-seen", {"version": 1}).json() == {"seen": 1}
    vote(browser)
    study.write_guideline("Be fair.\n\nBe kind.")
    vote(browser)
    assert browser.api("/api/guideline-seen", {"version": 3}).status_code == 400
    with study.database.read() as db:
        j = schema.judgment.c
        assert [*db.scalars(select(j.guideline).order_by(j.id))] == [None, 1, 1]
    changed = browser.client.get("/judge/guideline").text
    assert "What has changed since version 1" in changed
    assert '<ins><span class="sign">+</span> Be kind.</ins>' in changed
    assert 'data-version="2"' in changed
    browser.api("/api/guideline-seen", {"version": 2})
    assert "What has changed" not in browser.client.get("/judge/guideline").text


def test_a_quota_ends_the_work_with_the_code(study):
    study.change(
        quota=2, completion_code="C1&2", completion_url="https://app.example.com/done?cc={code}"
    )
    browser = Browser(study)
    assert len(browser.api("/api/next").json()["items"]) == 2  # no more than are left
    vote(browser)
    _, _, answer = vote(browser)
    found = answer.json()
    assert found["items"] == []
    url = "https://app.example.com/done?cc=C1%262"
    assert found["ended"] == {"why": "quota", "code": "C1&2", "url": url}
    assert found["progress"] == {"judged": 2, "quota": 2}
    taken = browser.api("/api/undo", {"key": uuid.uuid4().hex}).json()
    assert taken["progress"]["judged"] == 1
    assert len(browser.api("/api/next").json()["items"]) == 1


def test_who_has_judged_nothing_gets_no_code(study):
    study.change(completion_code="C")
    full = Browser(study)
    for _ in range(12):
        vote(full)
    assert full.api("/api/next").json()["ended"]["code"] == "C"
    assert Browser(study).api("/api/next").json()["ended"] == {"why": "nothing open"}


def test_who_was_stopped_by_a_rule_is_told_so_and_not_why(study):
    browser = Browser(study)
    item = browser.api("/api/next").json()["items"][0]
    a = schema.annotator
    stop = update(a).values(stopped_at=time.time(), stop_reason="gold accuracy 20 %")
    study.database.transact(lambda db: db.execute(stop))
    answer = browser.api("/api/next")
    assert (answer.json()["items"], answer.json()["ended"]) == ([], {"why": "stopped"})
    assert "gold" not in answer.text
    # What was on its way when the rule struck is stored.
    body = {"token": item["token"], "key": uuid.uuid4().hex, "answer": "left"}
    assert browser.api("/api/votes", body).json()["items"] == []
    assert study.counts()["judgments"] == 1


def test_an_owner_looks_without_holding_or_storing_anything(study):
    owner = Browser(study, "owner")
    assert setup(owner, "/judge?preview=1")["preview"] is True
    seen, after = [], 0
    while items := owner.client.get(f"/api/preview?after={after}").json()["items"]:
        seen += items
        after = items[-1]["token"]
    assert len(seen) == 12
    raw = owner.client.get(f"/api/preview/{seen[0]['token']}/raw").json()
    assert raw["prompt"][0]["text"] == "Question 0?"
    with study.database.read() as db:
        assert db.scalar(select(schema.assignment.c.id)) is None
    assert setup(owner)["preview"] is False  # and judges as themselves
    assert vote(owner)[2].status_code == 200
    annotator = Browser(study)
    assert annotator.client.get("/judge?preview=1").status_code == 403
    assert annotator.client.get("/api/preview").status_code == 403
    assert owner.client.get("/owner").status_code == 200


def test_raw_texts_are_of_ones_own_comparisons_alone(study):
    study.compare("What is 2*3*4*5?", ["`a`\n**b**", "c"], in_order=True)
    browser, other = Browser(study), Browser(study)
    token = browser.api("/api/next").json()["items"][0]["token"]
    found = browser.client.get(f"/api/raw/{token}").json()
    assert found["prompt"] == [{"role": "user", "text": "What is 2*3*4*5?"}]
    assert {found["left"][0]["text"], found["right"][0]["text"]} == {"`a`\n**b**", "c"}
    assert other.client.get(f"/api/raw/{token}").status_code == 404


def test_ones_own_mode_holds_until_the_owner_changes_the_mode(study):
    browser = Browser(study)
    browser.api("/api/preferences", {"mode": "graded"})
    assert setup(browser)["mode"] == "graded"
    study.change(mode="graded")
    assert browser.api("/api/next").json()["study"]["mode"] == "graded"
    study.change(mode="fast")  # and the old choice does not come back
    assert setup(browser)["mode"] == "fast"


def test_two_tabs_of_preferences_do_not_undo_each_other(study):
    browser = Browser(study)
    browser.api("/api/preferences", {"keys": {"skip": "x"}})
    browser.api("/api/preferences", {"shortcuts": False})
    found = setup(browser)
    assert (found["keys"], found["shortcuts"]) == ({"skip": "x"}, False)


@pytest.mark.parametrize(
    "keys",
    [
        {"skip": "x", "undo": "x"},
        {"skip": "Enter"},
        {"dance": "x"},
        {"skip": "x" * 21},
        {"skip": ""},
        {"skip": "a b"},
    ],
)
def test_keys_that_cannot_be_are_refused(study, keys):
    browser = Browser(study)
    assert browser.api("/api/preferences", {"keys": keys}).status_code == 422
    assert setup(browser)["keys"] == {}


@pytest.mark.parametrize(
    "values",
    [
        {"reasons": ["x"] * 21},
        {"reasons": ["x" * 61]},
        {"rationale": "x" * 10_001},
        {"report": "x" * 10_001},
        {"criteria": {"funny": "left"}},
        {"criteria": {"helpful": "both_bad"}},
    ],
)
def test_what_is_too_long_or_was_not_asked_is_refused(study, values):
    study.change(criteria=("helpful",))
    assert vote(Browser(study), **values)[2].status_code in (400, 422)
    assert study.counts()["judgments"] == 0


@pytest.mark.parametrize("path", ["/api/next", "/api/undo", "/api/preferences", "/api/votes"])
def test_every_writing_route_has_a_limit(study, path):
    browser = Browser(study)
    limit = browser.app.state.plaudit.vote_limit
    while limit.allows(people(study)[0].pseudonym):
        pass
    body = {"key": "k" * 32, "token": "0" * 32, "answer": "left"}
    assert browser.api(path, body).status_code == 429


def test_no_number_counts_what_others_do(study):
    study.change(overlap=2)
    for _ in range(3):
        vote(Browser(study))
    late = Browser(study)
    vote(late)
    (mine,) = late.client.get("/api/recent").json()["judgments"]
    assert "number" not in mine
    assert mine["version"] == 1
    found = late.api("/api/next", {"since": time.time() - 60}).json()["progress"]
    assert found == {"judged": 1, "quota": 0, "today": 1}
    assert late.api("/api/next", {"since": time.time() + 60}).json()["progress"]["today"] == 0


def test_chosen_columns_are_shown_and_no_others(study):
    columns = {"topic": "billing", "model": "gpt", "turns": 3}
    study.compare("First?", ["x", "y"], columns=columns, in_order=True)
    study.change(columns_shown=("topic", "turns", "missing"))
    item = Browser(study).api("/api/next").json()["items"][0]
    assert item["columns"] == [["topic", "billing"], ["turns", "3"]]


def test_practice_is_told_with_its_answers_until_it_is_done(study, rows):
    study.add(rows(practice_rows(2)), labels="practice")
    browser = Browser(study)
    assert setup(browser)["practice"] == 2
    found = browser.client.get("/api/practice").json()["items"]
    assert [pair["answer"] for pair in found] == ["left", "right"]
    assert found[0]["written"]["left"] == [{"role": "assistant", "text": "first 0"}]
    browser.api("/api/preferences", {"practised": True})
    assert setup(browser)["practice"] == 0


def test_who_is_signed_in_is_told_to_their_own_browser(study):
    browser = Browser(study)
    found = browser.client.get("/api/me").json()
    assert found == {"pseudonym": people(study)[0].pseudonym, "csrf": browser.csrf}


def test_undo_brings_the_answer_back_with_the_comparison(study):
    browser = Browser(study)
    item, _, _ = vote(browser, "right", strength=2, rationale="B is", reasons=["clearer"])
    found = browser.api("/api/undo", {"key": uuid.uuid4().hex}).json()
    assert found["item"]["token"] == item["token"]
    said = {name: found["judgment"][name] for name in ("answer", "strength", "rationale")}
    assert said == {"answer": "right", "strength": 2, "rationale": "B is"}


def test_consent_that_is_asked_for_later_comes_before_the_next_comparison(study):
    browser, owner = Browser(study), Browser(study, "owner")
    study.change(consent="I agree to **this**.")
    page = browser.client.get("/judge").text
    assert "<strong>this</strong>" in page
    assert "data-setup" not in page
    assert "I agree to" not in owner.client.get("/judge").text
    forged = browser.client.post("/consent", data={"consent": "true"})
    assert forged.status_code == 403
    assert browser.client.post("/consent", data={"csrf": csrf_of(page)}).status_code == 422
    said = {"csrf": csrf_of(page), "consent": "true"}
    assert browser.client.post("/consent", data=said).status_code == 200  # led to the screen
    assert "I agree to" not in browser.client.get("/judge").text
