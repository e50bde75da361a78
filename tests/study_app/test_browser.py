"""The judging screen in a real chromium: keys only, two people, undo, reconnect, blindness, axe.

Chromium is the distribution's, found on the path or named by CHROMIUM_PATH.
"""

import re
import time

import pytest
from sqlalchemy import func, select

from plaudit.study import schema
from tests.rendering.attacks import XSS
from tests.study.conftest import (
    CHROMIUM,
    Server,
    fill,
    judge,
    person,
    prefers_good,
    press,
    ready,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
# A guard against a key that waits for the server; benchmarks/RESULTS.md has what it takes.
AT_ONCE = 200  # ms from key to picture


@pytest.fixture
def open_page(chromium):
    """Opens pages in contexts of their own; fails the test on any error in their console."""
    contexts, errors = [], []

    def new(link, path="/judge", **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(link)
        page.click("#start")
        page.goto(link.rsplit("/join/", 1)[0] + path)
        return page

    yield new
    for context in contexts:
        context.close()
    assert errors == []


def settled(study, count):
    """Wait until so many judgments stand; their answers."""
    for _ in range(100):
        found = [j.answer for j in study.judgments()]
        if len(found) == count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{len(found)} judgments, not {count}")


def good_key(page):
    return "ArrowLeft" if "good" in page.inner_text("#left") else "ArrowRight"


def test_a_session_with_keys_only(server, open_page):
    fill(server.study, 20)
    page = open_page(server.link())
    ready(page)
    for _ in range(20):
        press(page, good_key(page))
    settled(server.study, 20)
    page.wait_for_selector("#empty:not([hidden])")
    assert page.inner_text("#progress") == "20 today · 20 in all"
    for comparison, judgment in zip(
        server.study.comparisons(), server.study.judgments(), strict=False
    ):
        assert comparison
        assert judgment.active_seconds is not None


def test_two_people_at_once_share_nothing(server, open_page):
    fill(server.study, 12)
    pages = [open_page(server.link()) for _ in range(2)]
    for page in pages:
        ready(page)
    for _ in range(12):
        for page in pages:
            if page.is_visible("#left"):
                press(page, good_key(page))
    settled(server.study, 12)
    assert len({j.comparison for j in server.study.judgments()}) == 12
    assert len({j.annotator for j in server.study.judgments()}) == 2


def test_undo_and_editing_an_earlier_judgment(server, open_page):
    fill(server.study, 5)
    page = open_page(server.link())
    ready(page)
    first = page.inner_text("#prompt")
    press(page, "ArrowLeft")
    settled(server.study, 1)
    press(page, "u")
    assert page.inner_text("#prompt") == first
    settled(server.study, 0)
    press(page, "ArrowDown")
    assert settled(server.study, 1) == ["tie"]
    press(page, "0")
    settled(server.study, 2)
    press(page, "h")
    page.wait_for_selector("#recent[open] li button")
    page.click("#recent-list li:nth-child(2) button")
    page.wait_for_timeout(400)
    assert page.inner_text("#prompt") == first
    press(page, good_key(page))
    for _ in range(40):
        if "tie" not in settled(server.study, 2):
            break
        time.sleep(0.05)
    assert sorted(settled(server.study, 2))[-1] == "both_bad"


def test_graded_mode_skip_note_and_report(server, open_page):
    fill(server.study, 4)
    page = open_page(server.link())
    ready(page)
    press(page, "m")
    press(page, "1")
    assert page.get_attribute("#graded .level >> nth=0", "aria-pressed") == "true"
    press(page, "ArrowRight")
    page.click(".chip >> nth=0")
    press(page, "r")
    page.click("#ask-chips .chip >> nth=0")
    page.click("#ask-ok")
    page.wait_for_timeout(200)
    press(page, "n")
    page.keyboard.type("because it is so")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and so")
    press(page, "Enter")  # sends what is chosen, from the note too
    settled(server.study, 1)
    press(page, "s")
    page.keyboard.press("Enter")
    settled(server.study, 2)
    with server.study.database.read() as db:
        first, second = db.execute(
            select(schema.judgment).order_by(schema.judgment.c.id)
        ).mappings()
    assert first["strength"] == 2
    assert first["reasons"] == ["more correct"]
    assert first["rationale"] == "because it is so\nand so"
    assert first["report"] == "harmful"
    assert (second["answer"], second["reasons"]) == ("skip", ["cannot judge this"])


def test_nothing_is_lost_when_the_connection_drops(server, open_page):
    """Votes go on without a connection, survive a reload, and arrive once it is back."""
    fill(server.study, 8)
    page = open_page(server.link())
    ready(page)
    press(page, "ArrowLeft")
    settled(server.study, 1)
    page.context.set_offline(True)
    press(page, "ArrowRight")
    press(page, "ArrowDown")
    page.wait_for_selector("#status[data-kind=kept]")
    assert page.inner_text("#status") == "Kept on this device (2)"
    assert len(list(server.study.judgments())) == 1
    page.context.set_offline(False)
    settled(server.study, 3)
    page.wait_for_selector("#status[data-kind=saved]")
    # Answered by the server, but the answer is lost on the way: sent again, stored once.
    page.route("**/api/votes", lambda route: (route.fetch(), route.abort())[1], times=1)
    ready(page)
    press(page, "ArrowLeft")
    settled(server.study, 4)
    page.wait_for_timeout(1500)
    assert len(list(server.study.judgments())) == 4
    page.context.set_offline(True)
    press(page, "ArrowLeft")
    page.context.set_offline(False)
    page.reload()
    settled(server.study, 5)


def test_a_double_press_is_one_vote(server, open_page):
    fill(server.study, 4)
    page = open_page(server.link())
    ready(page)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(600)
    assert len(list(server.study.judgments())) == 1


def test_a_key_is_answered_at_once_even_by_a_slow_server(server, open_page):
    fill(server.study, 12)
    page = open_page(server.link())
    ready(page)
    page.route("**/api/votes", lambda route: (time.sleep(0.25), route.continue_())[1])
    page.evaluate(
        """() => { window.took = []; addEventListener("keydown", () => {
        const start = performance.now(), before = document.getElementById("prompt").textContent;
        const check = () => document.getElementById("prompt").textContent !== before
            ? window.took.push(performance.now() - start) : requestAnimationFrame(check);
        requestAnimationFrame(check); }, {capture: true}); }"""
    )
    for _ in range(9):
        press(page, "ArrowLeft")
    took = sorted(page.evaluate("window.took"))
    print("ms from key to picture:", [round(ms, 1) for ms in took])
    assert len(took) == 9
    assert took[len(took) // 2] < AT_ONCE


def test_shortcuts_can_be_switched_off(server, open_page):
    fill(server.study, 3)
    page = open_page(server.link())
    ready(page)
    page.click("#open-keys")
    page.uncheck("#shortcuts")
    page.click("#keys form button")
    press(page, "ArrowLeft")
    assert not list(server.study.judgments())
    page.reload()
    ready(page)
    press(page, "ArrowLeft")
    assert not list(server.study.judgments())
    page.click("#fast .choice >> nth=0")
    settled(server.study, 1)


def test_no_script_of_a_response_runs_and_nothing_is_fetched(server, open_page):
    for number, text in enumerate(XSS):
        server.study.compare(f"XSS {number} {text}", [f"good {text}", f"bad {text} {number}"])
    page = open_page(server.link())
    outside, violations = [], []
    page.on("request", lambda request: outside.append(request.url))
    page.on("console", lambda message: violations.append(message.text))
    ready(page)
    for _ in range(len(XSS)):
        press(page, "d")
        press(page, "ArrowLeft")
    settled(server.study, len(XSS))
    assert page.evaluate("window.hacked") is None
    assert [url for url in outside if not url.startswith(server.base)] == []
    assert [text for text in violations if "Content Security Policy" in text] == []


def test_blindness_over_all_network_traffic(server, open_page):
    models = ["zephyrmodel", "falconmodel"]
    for number in range(6):
        responses = [f"good {number}", f"bad {number}"]
        server.study.compare(
            f"Q{number}", responses, models=models, columns={"topic": "secrettopic"}
        )
    page = open_page(server.link())
    bodies = []

    def keep(response):
        if response.status < 300:
            bodies.append(f"{response.url} {response.all_headers()} {response.text()}")

    page.on("response", keep)
    page.goto(server.base + "/judge")
    ready(page)
    for _ in range(6):
        press(page, "ArrowLeft")
    press(page, "h")
    settled(server.study, 6)
    traffic = "\n".join(bodies)
    assert "/api/votes" in traffic
    with server.study.database.read() as db:
        hashes = db.scalars(select(schema.response.c.hash)).all()
    for secret in (*models, "secrettopic", *hashes):
        assert secret not in traffic


PAGES = [
    "/judge",
    "/owner",
    "/owner/annotators",
    "/owner/disagreements",
    "/owner/gold",
    "/owner/export",
    "/owner/setup",
]


@pytest.fixture
def busy(server):
    """A study with disagreements, gold candidates, flags and a guideline."""
    study = server.study
    fill(study, 8)
    study.change(overlap=3)
    study.write_guideline("# Be fair\n\n- correct\n- kind")
    judge(study, person(study), prefers_good, 6)
    judge(study, person(study), prefers_good, 6)
    judge(study, person(study), "left", 6)
    server.watch.refresh()
    return server


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_clean_for_axe(busy, open_page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    page = open_page(busy.link("owner"), "/judge", color_scheme=scheme)
    for path in PAGES:
        page.goto(busy.base + path)
        if path == "/judge":
            ready(page)
            for key in ("?", "m"):
                _clean(axe.run(page, options=options), path)
                press(page, key)
                _clean(axe.run(page, options=options), path + " " + key)
                press(page, "Escape")
        _clean(axe.run(page, options=options), path)
    page.goto(busy.base + "/sign-in")
    _clean(axe.run(page, options=options), "/sign-in")
    page.goto(busy.link())
    _clean(axe.run(page, options=options), "/join")


def _clean(results, where):
    found = [
        (v["id"], [n["html"][:120] for n in v["nodes"]]) for v in results.response["violations"]
    ]
    assert found == [], where


def test_a_phone_can_do_everything(busy, open_page):
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    page = open_page(busy.link(), **phone)
    ready(page)
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(width) <= 0
    for button in page.query_selector_all("#fast .choice"):
        box = button.bounding_box()
        assert box["height"] >= 44
        assert box["y"] + box["height"] <= 740
    before = page.inner_text("#prompt")
    page.tap("#fast .choice >> nth=0")
    page.wait_for_timeout(400)
    assert page.inner_text("#prompt") != before
    page = open_page(busy.link("owner"), "/owner", **phone)
    for path in PAGES[1:]:
        page.goto(busy.base + path)
        assert page.evaluate(width) <= 0, path


def test_the_screen_works_at_400_percent(busy, open_page):
    page = open_page(busy.link(), viewport={"width": 320, "height": 256})
    ready(page)
    width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(width) <= 0


def test_gold_and_retests_look_like_any_other(server, open_page, rows):
    fill(server.study, 6)
    gold = {"prompt": "Gold?", "response_a": "good", "response_b": "bad", "label": "a"}
    server.study.add(rows([{**gold, "prompt": f"Gold {n}?"} for n in range(6)]), labels="gold")
    server.study.change(gold_rate=0.5, retest_rate=0.5, retest_after=0)
    page = open_page(server.link())
    bodies = []
    page.on("response", lambda r: bodies.append(r.text()) if "/api/" in r.url else None)
    shapes = set()
    ready(page)
    for _ in range(20):
        if not page.is_visible("#left"):
            break
        shapes.add(re.sub(r">[^<]*<", "><", page.inner_html("main")))
        press(page, good_key(page))
    with server.study.database.read() as db:
        kinds = dict(
            db.execute(
                select(schema.judgment.c.kind, func.count()).group_by(schema.judgment.c.kind)
            ).all()
        )
    assert kinds.get("retest", 0) > 0
    assert len(shapes) == 1
    assert not re.search(r"gold|retest|kind", " ".join(bodies).replace("Gold ", ""))


def test_the_app_under_a_path_in_a_browser(sqlite_study, chromium):
    fill(sqlite_study, 2)
    with Server(sqlite_study, root_path="/judging") as running:
        page = chromium.new_page()
        page.goto(running.link().replace("/join/", "/judging/join/"))
        page.click("#start")
        ready(page)
        assert page.url.endswith("/judging/judge")
        press(page, "ArrowLeft")
        settled(sqlite_study, 1)
        page.close()
