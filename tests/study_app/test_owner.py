"""The owner's pages over HTTP: what they show, decide and refuse."""

import csv
import io
import json
import re
import tempfile
import uuid
import zipfile
from dataclasses import fields
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from plaudit.config import StudySettings
from plaudit.study import people, schema
from plaudit.study_app.app import create_app
from plaudit.study_app.pages.settings import GROUPS
from tests.study.conftest import csrf_of, fill, judge, person, prefers_good
from tests.study_app.test_app import PASSWORD, Browser, link, vote


@pytest.fixture
def study(sqlite_study):
    fill(sqlite_study, 12)
    return sqlite_study


@pytest.fixture
def owner(study):
    return Browser(study, "owner")


def page(browser, path):
    answer = browser.client.get(f"/owner{path}")
    assert answer.status_code == 200, answer.text
    return answer.text


def refreshed(browser):
    browser.app.state.plaudit.updater.refresh()


def export(browser, format="pairs", **data):
    form = {"csrf": browser.csrf, **data}
    return browser.client.post(f"/owner/export/{format}.zip", data=form)


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
    for form in ("pairs", "trl", "raw", "dataset", "csv"):
        answer = export(owner, form)
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert "manifest.json" in names


# --------------------------------------------------------------------------- settings


def form_of(browser, group):
    """The fields of a settings form as a browser would send them."""
    text = page(browser, f"/settings?part={group}")
    form = re.search(rf'<form[^>]* id="{group}".*?</form>', text, re.S)[0]
    found = {}
    for tag in re.findall(r"<input[^>]*>", form):
        of = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if of.get("type") != "checkbox" or " checked" in tag:
            found.setdefault(unescape(of["name"]), []).append(unescape(of["value"]))
    for name, text in re.findall(
        r'<textarea[^>]* name="(\w+)"[^>]*>\n(.*?)</textarea>', form, re.S
    ):
        found[name] = [unescape(text).replace("\n", "\r\n")]
    for name, options in re.findall(r'<select[^>]* name="(\w+)">(.*?)</select>', form, re.S):
        found[name] = re.findall(r'value="(\w+)" selected', options)
    return found


def save(browser, group, before=None, **changes):
    form = before or form_of(browser, group)
    return browser.form(f"/owner/settings/{group}", {**form, **changes})


def test_every_setting_is_on_the_page_once():
    shown = [field.name for group in GROUPS for field in group.fields]
    assert sorted(shown) == sorted(field.name for field in fields(StudySettings))


@pytest.mark.parametrize("group", [group.name for group in GROUPS])
def test_a_form_saved_as_it_came_changes_nothing(study, owner, group):
    study.change(
        lease_seconds=100,
        gold_rate=0.0417,
        agreement_share=1 / 3,
        reasons=("a & b", "<b>"),
        consent="\nTwo\n\nlines  ",
        stop_rules=("gold",),
        columns_shown=("gone",),
        question='Which is "better"?',
    )
    before = study.settings
    assert "Nothing was changed" in save(owner, group).text
    assert study.settings == before


def test_settings_are_written_as_people_write_them(study, owner):
    study.change(gold_rate=0.04)
    text = page(owner, "/settings?part=amount") + page(owner, "/settings?part=checks")
    assert 'name="lease_seconds" inputmode="decimal" value="15"' in text
    assert 'name="gold_rate" inputmode="decimal" value="4"' in text
    assert "15.0" not in text
    assert (
        "Saved: Reasons to choose from" in save(owner, "question", reasons="tone\r\nfacts\r\n").text
    )
    assert "Saved" in save(owner, "amount", overlap="2", lease_seconds="2,5", quota="100").text
    rules = save(owner, "checks", stop_rules=["gold", "fast"], gold_rate="12.5")
    assert "Gold, % of comparisons shown, Stop an annotator automatically" in rules.text
    now = study.settings
    assert (now.reasons, now.overlap, now.lease_seconds) == (("tone", "facts"), 2, 150)
    assert (now.quota, now.stop_rules, now.gold_rate) == (100, ("gold", "fast"), 0.125)
    save(owner, "checks", stop_rules=[])
    assert study.settings.stop_rules == ()


@pytest.mark.parametrize(
    ("group", "change", "said"),
    [
        (
            "amount",
            {"overlap": "0"},
            "People per comparison: a number from 1 to 100, found &#x27;0",
        ),
        ("amount", {"overlap": "2.5"}, "a whole number, found"),
        ("amount", {"overlap": "nan"}, "a number from 1 to 100"),
        ("amount", {"agreement_share": "101"}, "a number from 0 to 100"),
        ("question", {"name": "x" * 201}, "at most 200 characters, found 201"),
        ("question", {"reasons": "x" * 61}, "at most 20, each of at most 60 characters"),
        ("question", {"mode": "slow"}, "mode must be fast or graded"),
        ("start", {"completion_url": "http://x"}, "must start with https://"),
        ("checks", {"stop_rules": "luck"}, "stop_rules takes gold and fast"),
        ("amount", {"was-overlap": "{"}, "reload it and try again"),
        ("amount", {"was-overlap": '"x"'}, "reload it and try again"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_nothing_is_saved(
    study, owner, group, change, said
):
    before = study.settings
    answer = save(owner, group, **change, **({} if group != "amount" else {"quota": "7"}))
    assert answer.status_code >= 400
    assert said in unescape(answer.text).replace("'", "&#x27;")
    assert study.settings == before


def test_two_tabs_do_not_undo_each_other_and_a_true_conflict_is_said(study, owner):
    first, second = form_of(owner, "amount"), form_of(owner, "amount")
    assert "Saved" in save(owner, "amount", first, overlap="3").text
    assert "Saved" in save(owner, "amount", second, quota="50").text
    assert (study.settings.overlap, study.settings.quota) == (3, 50)
    third = save(owner, "amount", second, overlap="2", quota="60")
    assert third.status_code == 409
    assert "overlap was changed meanwhile, from 1 to 3" in third.text
    assert (study.settings.overlap, study.settings.quota) == (3, 50)
    assert (
        "Saved" in save(owner, "amount", second, overlap="3", quota="50").text
    )  # the same is none


def test_settings_that_are_not_there_are_said(owner):
    assert owner.client.get("/owner/settings?part=odd").status_code == 404
    assert owner.form("/owner/settings/odd", {}).status_code == 404


def test_a_form_after_a_save_knows_what_was_saved(owner):
    answer = save(owner, "amount", overlap="3").text
    assert 'name="was-overlap" value="3"' in answer
    assert 'hx-swap-oob="true"' in answer


def test_the_guideline_is_versioned_and_two_tabs_do_not_undo_each_other(study, owner):
    path = "/owner/guideline"
    assert "Version 1" in owner.form(path, {"markdown": "Be **fair**.", "seen": "0"}).text
    assert "<strong>fair</strong>" in owner.client.get("/judge").text
    answer = owner.form(path, {"markdown": "Be quick.", "seen": "0"})
    assert answer.status_code == 409
    assert "version 1 was written meanwhile" in answer.text
    assert "Nothing was changed" in owner.form(path, {"markdown": "Be **fair**.", "seen": "1"}).text
    assert study.guideline()[0] == 1


# ------------------------------------------------------------------------------ decisions


def test_disagreements_are_queued_and_resolved(study):
    study.change(overlap=2)
    one, two = person(study), person(study)
    judge(study, one, prefers_good, 12)
    judge(study, two, lambda item: "right" if prefers_good(item) == "left" else "left", 12)
    owner = Browser(study, "owner")
    owner.app.state.plaudit.updater.refresh()
    text = page(owner, "/disagreements")
    assert "gpt" not in text
    (first, *_) = re.findall(r"/owner/disagreements/(\d+)", text)
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
    assert owner.form(f"/owner/annotators/{number}/deactivate", {}).status_code == 204
    assert client.get("/judge", follow_redirects=False).status_code == 303
    assert owner.form(f"/owner/annotators/{number}/erase", {}).status_code == 204
    assert "Jo Doe" not in owner.client.get("/owner/annotators").text


def test_the_progress_page_is_never_older_than_half_a_minute(study):
    app = create_app(study)
    with TestClient(app) as client:  # runs the watch
        client.post(f"/join/{link(study, 'owner')}")
        judge(study, person(study), "left", 3)
        app.state.plaudit.updater.refresh()
        text = client.get("/owner/numbers").text
        assert re.search(r"<strong>3</strong><span>judged at least once", text)
        assert app.state.plaudit.updater._every <= 15


@pytest.mark.parametrize("path", ["/owner/disagreements?page=-1", f"/owner/gold?page={10**30}"])
def test_odd_page_numbers_are_refused_not_crashed_on(study, path):
    assert Browser(study, "owner").client.get(path).status_code == 422


def test_a_link_can_be_revoked_and_a_signed_in_person_is_warned(study):
    owner = Browser(study, "owner")
    page = owner.form("/owner/invite", {"role": "annotator", "uses": "1", "days": "1"}).text
    (token,) = re.findall(r"/join/([\w-]+)", page)
    assert "signed in as" in owner.client.get(f"/join/{token}").text
    (number,) = re.findall(r"invitations/(\d+)/revoke", owner.client.get("/owner/invitations").text)
    assert "no longer works" in owner.form(f"/owner/invitations/{number}/revoke", {}).text
    assert TestClient(owner.app).get(f"/join/{token}").status_code == 404


def test_reports_reach_the_owner(study):
    vote(Browser(study), "skip", report="harmful: it insults")
    assert "harmful: it insults" in page(Browser(study, "owner"), "/problems")


def test_gold_no_more_is_asked_again(study):
    study.change(overlap=2)
    browser, owner = Browser(study), Browser(study, "owner")
    vote(browser)
    c = schema.comparison
    with study.database.read() as db:
        judged = db.scalar(select(schema.judgment.c.comparison))
    owner.form(f"/owner/gold/{judged}", {"answer": "a"})
    owner.form(f"/owner/gold/{judged}", {"answer": ""})
    with study.database.read() as db:
        assert db.scalar(select(c.c.slots).where(c.c.id == judged)) == 1


def judged_by(study, who):
    with study.database.read() as db:
        j = schema.judgment.c
        return db.scalars(select(j.comparison).where(j.annotator == who.id).order_by(j.id)).all()


def test_progress_says_first_who_was_stopped_and_why_with_what_to_do(study, owner):
    who = person(study)
    study.database.transact(lambda db: people.stop(db, {who.id: "failed 9 of 10"}))
    for path in ("", "/annotators"):
        text = page(owner, path)
        assert who.pseudonym in text
        assert "failed 9 of 10" in text
        assert f"/owner/annotators/{who.id}/resume" in text
        assert f"/owner/annotators/{who.id}/take-out" in text
    viewer = page(Browser(study, "viewer"), "")
    assert "failed 9 of 10" in viewer
    assert "hx-post" not in viewer
    answer = owner.form(f"/owner/annotators/{who.id}/resume", {})
    assert answer.headers["hx-redirect"] == "/owner/annotators"
    assert "failed 9 of 10" not in page(owner, "")


def test_progress_names_the_flagged_with_their_reasons(study, owner):
    who = person(study)
    judge(study, who, "left", 12)
    fill(study, 20)
    judge(study, who, "left", 20)
    refreshed(owner)
    text = page(owner, "")
    assert re.search(r'<a href="/owner/annotators">1 of 1 annotators is flagged', text)
    assert f"{who.pseudonym}: prefers the left side: " in text


def test_decisions_about_people_ask_first_and_never_concern_oneself(study, owner):
    who = person(study)
    text = page(owner, "/annotators")
    for decision in ("deactivate", "take-out"):
        button = re.search(rf"<button[^>]*annotators/{who.id}/{decision}[^>]*>", text)[0]
        assert "hx-confirm" in button
    (me,) = re.findall(r'data-me="([^"]+)"', owner.client.get("/judge").text)
    with study.database.read() as db:
        number = db.scalar(select(schema.annotator.c.id).where(schema.annotator.c.pseudonym == me))
    assert f"annotators/{number}/" not in text
    for decision in ("deactivate", "take-out"):
        answer = owner.form(f"/owner/annotators/{number}/{decision}", {})
        assert answer.status_code == 400
        assert "this is you" in answer.text
    assert owner.form(f"/owner/annotators/{who.id}/promote", {}).status_code == 422


def test_who_is_taken_out_leaves_the_figures_and_comes_back(study, owner):
    who = person(study)
    judge(study, who, "left", 12)
    assert owner.form(f"/owner/annotators/{who.id}/take-out", {}).status_code == 204
    assert study.counts()["judgments"] == 0
    text = page(owner, "/annotators")
    assert "taken out" in text
    assert "none counts" in text
    assert owner.form(f"/owner/annotators/{who.id}/take-back", {}).status_code == 204
    assert study.counts()["judgments"] == 12


def test_links_can_ask_for_an_account_or_a_platforms_id_and_people_get_a_way_back(study, owner):
    form = {"role": "annotator", "uses": "5", "days": "1", "needs_account": "true"}
    text = owner.form("/owner/invite", form).text
    assert "/join/" in text
    by_platform = {**form, "needs_account": "", "platform": "PROLIFIC_PID"}
    by_platform.pop("needs_account")
    text = unescape(owner.form("/owner/invite", by_platform).text)
    assert "?PROLIFIC_PID={{%PROLIFIC_PID%}}" in text
    listed = page(owner, "/invitations")
    assert ", with an account" in listed
    assert ", by PROLIFIC_PID" in listed
    wrong = owner.form("/owner/invite", {**by_platform, "platform": "not a name"})
    assert wrong.status_code == 400
    who = person(study)
    answer = owner.form(f"/owner/annotators/{who.id}/return-link", {})
    assert "/join/" in answer.text
    assert who.pseudonym in page(owner, "/invitations")


# ------------------------------------------------------------------------ a comparison


def test_a_comparison_is_opened_with_all_that_was_said_by_the_sides_people_saw(study, owner):
    who = person(study)
    judge(study, who, prefers_good, 12, rationale="because", reasons=("clearer",))
    number = judged_by(study, who)[0]
    text = page(owner, f"/comparisons/{number}")
    assert "gpt" not in text
    assert who.pseudonym in text
    with study.database.read() as db:
        j = schema.judgment.c
        said = db.execute(select(schema.judgment).where(j.comparison == number)).mappings().one()
    screen = "A" if said["answer"] == said["left"] else "B"
    assert f"Response {said['answer']} is better</strong>" in text
    assert f"({screen} on their screen)" in text
    assert "because" in text
    models = page(owner, f"/comparisons/{number}/models")
    assert re.search("Response a: <strong>(gpt|llama)</strong>", models)
    assert owner.client.get("/owner/comparisons/999").status_code == 400


def test_a_comparison_is_withdrawn_reopened_and_edited(study, owner):
    judge(study, person(study), "left", 12)
    assert "Withdrawn" in owner.form("/owner/comparisons/1/withdraw", {}).text
    assert study.counts()["judgments"] == 11
    assert "withdrawn" in page(owner, "/comparisons/1")
    assert "Reopened" in owner.form("/owner/comparisons/1/reopen", {}).text
    text = page(owner, "/comparisons/1/edit")
    form = {}
    for name, words in re.findall(r'<textarea name="(\w+)"[^>]*>\n(.*?)</textarea>', text, re.S):
        form.setdefault(name, []).append(unescape(words))
    assert set(form) == {"prompt", "a", "b"}
    assert owner.form("/owner/comparisons/1/edit", form).status_code == 400
    form["prompt"] = ["A clearer question?"]
    answer = owner.form("/owner/comparisons/1/edit", form)
    assert answer.headers["hx-redirect"] == "/owner/comparisons/13"
    assert "A clearer question?" in page(owner, "/comparisons/13")
    assert "/owner/comparisons/13" in page(owner, "/comparisons/1")


def test_the_queue_of_problems_says_who_and_why_and_keeps(study, owner):
    who = person(study)
    judge(study, who, "skip", 1, reasons=("cannot judge this",), rationale="<i>odd</i>")
    (number,) = judged_by(study, who)
    text = page(owner, "/problems")
    assert "cannot judge this" in text
    assert "&lt;i&gt;odd&lt;/i&gt;" in text
    assert who.pseudonym in text
    (upto,) = re.findall(r'name="upto" value="(\d+)"', text)
    assert "Kept" in owner.form(f"/owner/comparisons/{number}/keep", {"upto": upto}).text
    assert "Nothing is waiting" in page(owner, "/problems")
    judge(study, person(study), "skip", 12)
    assert f"/owner/comparisons/{number}/keep" in page(owner, "/problems")


# -------------------------------------------------------------------------------- search


def found(browser, **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    text = page(browser, f"/comparisons?{query}")
    return [int(n) for n in re.findall(r'<li><a href="/owner/comparisons/(\d+)"', text)], text


def test_comparisons_are_searched_and_filtered(study, owner):
    study.compare("Wo ist die Überweisung?", ["Hier.", "100%_sicher"], columns={"topic": "Geld"})
    who = person(study)
    judge(study, who, "left", 3)
    judge(study, who, "skip", 1)
    assert found(owner)[0] == list(range(13, 0, -1))
    assert found(owner, text="überweisung")[0] == [13]
    assert found(owner, text="100%25_S")[0] == [13]
    assert found(owner, text="0%25s")[0] == []  # no pattern, but the words
    assert found(owner, text="assistant")[0] == []  # a word of the format, and of no text
    assert found(owner, column="topic=geld")[0] == [13]
    assert found(owner, column="topic=Gel")[0] == []
    assert len(found(owner, model="gpt")[0]) == 12
    assert sorted(found(owner, annotator=who.pseudonym)[0]) == sorted(judged_by(study, who))
    assert len(found(owner, state="complete")[0]) == 3
    assert len(found(owner, state="open")[0]) == 10
    assert found(owner, state="skipped")[0] == [judged_by(study, who)[-1]]
    owner.form("/owner/comparisons/2/withdraw", {})
    owner.form("/owner/gold/3", {"answer": "a"})
    assert found(owner, state="withdrawn")[0] == [2]
    assert found(owner, state="gold")[0] == [3]
    assert found(owner, text="%235")[1].count("Open comparison 5") == 1


@pytest.mark.parametrize(
    "query", ["state=odd", "annotator=nobody", "column=topic", "before=x", f"before={10**30}"]
)
def test_filters_that_name_nothing_are_refused(owner, query):
    assert owner.client.get(f"/owner/comparisons?{query}").status_code == 400


# -------------------------------------------------------------------------------- exports


def test_an_export_is_started_by_our_own_form_only(study, owner):
    judge(study, person(study), "left", 3)
    assert export(owner).status_code == 200
    assert owner.client.get("/owner/export/pairs.zip").status_code == 405
    assert owner.client.post("/owner/export/pairs.zip").status_code == 403
    forged = {"csrf": "0" * 64}
    assert owner.client.post("/owner/export/pairs.zip", data=forged).status_code == 403
    elsewhere = {"sec-fetch-site": "cross-site"}
    right = {"csrf": owner.csrf}
    answer = owner.client.post("/owner/export/pairs.zip", data=right, headers=elsewhere)
    assert answer.status_code == 403
    assert export(Browser(study, "viewer")).status_code == 403
    stranger = TestClient(owner.app)
    assert stranger.post("/owner/export/pairs.zip", data=right).url.path == "/sign-in"


@pytest.mark.parametrize("range_", ["bytes=0-9", "bytes=9-0", "bytes=0-0,1-1", "odd", "bytes=-"])
def test_nothing_of_an_export_stays_behind_whatever_the_range(
    study, owner, range_, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    judge(study, person(study), "left", 3)
    headers = {"range": range_}
    answer = owner.client.post("/owner/export/raw.zip", data={"csrf": owner.csrf}, headers=headers)
    assert answer.status_code == 200
    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_an_export_that_fails_says_why_and_leaves_nothing(study, owner, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    answer = export(owner, aggregate="magic")
    assert answer.status_code in (400, 422)
    assert "magic" in answer.text
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def test_progress_says_which_model_is_better(study, owner):
    judge(study, person(study), prefers_good, 12)
    refreshed(owner)
    text = page(owner, "")
    assert "gpt wins 100 % [" in text
    assert "against llama" in text
    assert "gpt" not in page(Browser(study, "viewer"), "")


def test_options_of_an_export_are_taken(study, owner):
    study.compare("Q?", ["x", "y"], columns={"topic": "billing", "note": "n"})
    judge(study, person(study), "left", 13)
    answer = export(owner, "pairs", keep=["topic"], test_share="50")
    files = zipfile.ZipFile(io.BytesIO(answer.content))
    assert {"train.jsonl", "test.jsonl"} <= set(files.namelist())
    rows = b"".join(files.read(name) for name in ("train.jsonl", "test.jsonl")).decode()
    assert "billing" in rows
    assert '"note"' not in rows
    assert "there are: " in export(owner, "pairs", keep=["none"]).text


def test_a_comparison_whose_texts_were_masked_since_is_none_any_more(study, owner, rows):
    clear = {"prompt": "Mail jo@example.com", "response_a": "yes", "response_b": "no"}
    study.add(rows([clear]))
    study.add(rows([clear]), mask=("pii",))
    assert [13 in found(owner, **filters)[0] for filters in ({}, {"state": "withdrawn"})] == [
        False,
        False,
    ]
    assert found(owner, text="Mail")[0] == [14]
    for path in ("", "/edit"):
        answer = owner.client.get(f"/owner/comparisons/13{path}")
        assert answer.status_code == 400
        assert "gave way to one with masked texts" in answer.text
    assert owner.form("/owner/comparisons/13/reopen", {}).status_code == 400


# ---------------------------------------------------------------------------- audit, menu


def test_the_audit_is_readable_and_paged(study, owner):
    for number in range(60):
        study.change("calm-fox", overlap=number % 2 + 2, reasons=("tone", f"fact {number}"))
    text = page(owner, "/audit")
    assert "overlap: <del>2</del> → 3" in text
    assert "[&#39;" not in text
    assert "fact 59" in text
    assert "fact 0<" not in text
    assert "fact 0<" in page(owner, "/audit?page=1")


def test_the_menu_has_one_way_to_each_page_and_a_viewer_sees_theirs(study, owner):
    text = page(owner, "/gold")
    sections = re.search(r'<nav aria-label="Study".*?</nav>', text, re.S)[0]
    assert re.findall(r">(\w[^<]*)</a>", sections) == [
        "Progress",
        "Review",
        "People",
        "Set-up",
        "Export",
    ]
    assert re.findall(r'aria-current="\w+">(\w+)', text) == ["Review", "Gold"]
    viewer = page(Browser(study, "viewer"), "")
    sections = re.search(r'<nav aria-label="Study".*?</nav>', viewer, re.S)[0]
    assert re.findall(r">(\w[^<]*)</a>", sections) == ["Progress", "People"]
    assert "/judge" not in viewer


def test_every_page_renders_for_an_empty_study_and_a_full_one(sqlite_study):
    owner = Browser(sqlite_study, "owner")
    paths = [
        *("", "/comparisons", "/disagreements", "/problems", "/gold", "/annotators"),
        *("/invitations", "/setup", "/settings", "/guideline", "/audit", "/export", "/numbers"),
    ]
    for path in paths:
        page(owner, path)
    refreshed(owner)
    for path in paths:
        page(owner, path)


def test_the_payment_list_has_judgments_and_hours_of_everybody(study, owner):
    one, two = person(study), person(study)
    judge(study, one, "left", 3, active_ms=5)
    judge(study, two, "skip", 1)
    who = schema.identity.insert().values(
        annotator=one.id, name="=HYPERLINK()", platform="PROLIFIC_PID", external_id="5f3c"
    )
    study.database.transact(lambda db: db.execute(who))
    page = owner.client.get("/owner/annotators").text
    assert "/owner/export/payments.csv" in page
    found = owner.client.post("/owner/export/payments.csv", data={"csrf": csrf_of(page)})
    table = list(csv.DictReader(io.StringIO(found.text.removeprefix("\ufeff"))))
    rows = {row["pseudonym"]: row for row in table}
    assert {name: row["judgments"] for name, row in rows.items()} == {
        one.pseudonym: "3",
        two.pseudonym: "1",
    }
    mine = rows[one.pseudonym]
    assert (mine["platform"], mine["external_id"]) == ("PROLIFIC_PID", "5f3c")
    assert not mine["name"].startswith("=")
    assert owner.client.post("/owner/export/payments.csv", data={}).status_code == 403
