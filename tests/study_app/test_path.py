"""A person's path, start to end, in a real browser: from a table of two bots to a model.

With PLAUDIT_PICTURES set to a folder, each page is kept there at three widths (docs/collecting).
"""

import csv
import json
import os
import zipfile
from pathlib import Path

import pytest

from plaudit.samples import ANSWERS, GUIDELINE, QUESTION, SUPPORT_DESK
from plaudit.study import Study
from tests.study.conftest import CHROMIUM, Server, press, ready
from tests.study.test_loop import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]
PICTURES = os.environ.get("PLAUDIT_PICTURES")
COMPARISONS = 20


WIDTHS = (1280, 820, 360)
COLUMNS = "prompt=Customer message,response_a=Bot v1,response_b=Bot v2"


def picture(page, name, **options):
    if not PICTURES:
        return
    Path(PICTURES).mkdir(parents=True, exist_ok=True)
    before = page.viewport_size
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 860 if width > 400 else 740})
        page.wait_for_timeout(150)
        path = Path(PICTURES) / f"{name}-{width}.jpeg"
        page.screenshot(path=path, type="jpeg", quality=72, **options)
    page.set_viewport_size(before)
    page.wait_for_timeout(150)


@pytest.fixture
def candidates(tmp_path):
    """Twenty tickets with the answers of two bots, the password question among them."""
    rows, seen = [(QUESTION, *ANSWERS, "account")], {QUESTION}
    for line in SUPPORT_DESK.read_text().splitlines():
        row = json.loads(line)
        if row["prompt"] not in seen and len(rows) < COMPARISONS:
            seen.add(row["prompt"])
            sides = [row["response_a"], row["response_b"]]
            rows.append((row["prompt"], *sorted(sides, key=len), row["topic"]))
    for n in range(0, COMPARISONS, 4):  # the shorter ones are not always of the same bot
        prompt, short, long, topic = rows[n]
        rows[n] = prompt, long, short, topic
    path = tmp_path / "tickets.csv"
    with path.open("w", newline="") as table:
        csv.writer(table).writerows([("Customer message", "Bot v1", "Bot v2", "Topic"), *rows])
    return path


def longer(page):
    """Key of the longer response: a simple taste that two people can nearly share."""
    left, right = (len(page.inner_text(f"#{side}")) for side in ("left", "right"))
    return "ArrowLeft" if left > right else "ArrowRight"


def test_from_a_file_to_a_model(chromium, candidates, tmp_path, tiny_base):
    with (
        Study(tmp_path / "desk.db", gold_rate=0, agreement_share=0, retest_rate=0) as study,
        Server(study) as server,
    ):
        new = chromium.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
        owner = new.new_page()
        owner.goto(server.link("owner"))
        picture(owner, "owner-link")
        owner.click("summary")
        owner.fill("input[name=email]", "owner@example.com")
        owner.fill("input[name=password]", "correct horse battery")
        owner.click("#start")
        owner.wait_for_url("**/owner")
        for part, name, value in (("question", "name", "Support desk"), ("amount", "overlap", "2")):
            owner.goto(f"{server.base}/owner/settings?part={part}")
            owner.fill(f"input[name={name}]", value)
            owner.click(f"form#{part} button")
            owner.wait_for_selector("#saved .done")
        picture(owner, "settings", full_page=True)
        owner.goto(server.base + "/owner/guideline")
        owner.fill("textarea[name=markdown]", GUIDELINE.read_text())
        owner.click("form[hx-post$='/guideline'] button")
        owner.wait_for_selector("#written .done")
        owner.goto(server.base + "/owner/setup")
        owner.set_input_files("input[name=file]", candidates)
        owner.fill("input[name=columns]", COLUMNS)
        owner.click("form[hx-post$='/add'] button")
        owner.wait_for_selector("#added .done")
        assert f"{COMPARISONS} comparisons added" in owner.inner_text("#added")
        picture(owner, "data", full_page=True)
        owner.goto(server.base + "/owner/invitations")
        owner.fill("input[name=uses]", "2")
        owner.click("form[hx-post$='/invite'] button")
        owner.wait_for_selector("#link input")
        link = owner.input_value("#link input")
        picture(owner, "invitations", full_page=True)

        people = []
        for number in range(2):
            page = chromium.new_context(viewport={"width": 1280, "height": 860}).new_page()
            page.goto(link)
            if number == 0:
                picture(page, "join")
            page.click("#start")
            ready(page)
            people.append(page)
        picture(people[0], "judging")
        people[0].keyboard.press("g")
        people[0].wait_for_timeout(200)
        picture(people[0], "guideline")
        people[0].keyboard.press("Escape")
        for turn in range(COMPARISONS):
            if turn == 8:  # the second loses the connection, judges on, and gets it back
                people[1].context.set_offline(True)
            if turn == 10:
                people[1].wait_for_selector("#status[data-kind=kept]")
                picture(people[1], "offline")
                people[1].context.set_offline(False)
                people[1].wait_for_selector("#status[data-kind=saved]")
            for number, page in enumerate(people):
                other = {"ArrowLeft": "ArrowRight", "ArrowRight": "ArrowLeft"}
                key = longer(page)
                press(page, other[key] if number and turn % 4 == 3 else key)
        for page in people:
            page.wait_for_selector("#empty:not([hidden])")
        picture(people[0], "finished")
        assert study.counts() == {"comparisons": 20, "judgments": 40, "remaining": 0}

        server.watch.refresh()
        owner.goto(server.base + "/owner")
        assert "Two people agree" in owner.inner_text("#numbers")
        assert "Bot v2 wins" in owner.inner_text("#numbers")
        picture(owner, "progress", full_page=True)
        owner.goto(server.base + "/owner/comparisons")
        picture(owner, "comparisons", full_page=True)
        owner.click("main a[href*='/owner/comparisons/'] >> nth=0")
        picture(owner, "comparison", full_page=True)
        for name in ("problems", "audit", "guideline"):
            owner.goto(f"{server.base}/owner/{name}")
            picture(owner, f"owner-{name}", full_page=True)
        owner.goto(server.base + "/account")
        picture(owner, "account")
        owner.goto(server.base + "/owner/annotators")
        picture(owner, "annotators", full_page=True)
        owner.goto(server.base + "/owner/disagreements")
        waiting = owner.query_selector_all("section.card form.decide")
        assert len(waiting) == 5
        picture(owner, "disagreements")
        for button in ("Response a", "Response b"):
            done = len(owner.query_selector_all("section.card .done"))
            owner.click(f"section.card form.decide >> nth=0 >> text={button}")
            owner.wait_for_selector(f"section.card .done >> nth={done}")
        picture(owner, "resolved")
        owner.goto(server.base + "/owner/gold")
        picture(owner, "gold")
        owner.goto(server.base + "/owner/export")
        picture(owner, "export")
        with owner.expect_download() as download:
            owner.click("form[action$='pairs.zip'] button")
        archive = tmp_path / "pairs.zip"
        download.value.save_as(archive)
        phone = {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True}
        study.compare(QUESTION, [*ANSWERS, "It is on the page."], in_order=True)
        page = chromium.new_context(**phone, color_scheme="dark").new_page()
        page.goto(server.link())
        page.click("#start")
        ready(page)
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / "phone-dark.jpeg", type="jpeg", quality=72)
    zipfile.ZipFile(archive).extractall(tmp_path / "pairs")
    exported = [json.loads(row) for row in (tmp_path / "pairs" / "train.jsonl").open()]
    assert len(exported) == COMPARISONS
    assert sum(row["p"] in (0.0, 1.0) for row in exported) == 2  # the two resolved
    models = json.loads((tmp_path / "pairs" / "models.json").read_text())
    assert models["sentence"].startswith("Bot v2 wins")
    done = run(
        *("train", tmp_path / "pairs" / "train.jsonl", "-o", tmp_path / "model"),
        *("--base", tiny_base, "--test-share", "0.3"),
    )
    assert done == 0
    assert (tmp_path / "model" / "plaudit.json").exists()
