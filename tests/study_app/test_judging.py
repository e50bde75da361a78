"""The judging screen in a real browser: the end of a session, tabs, keys, introduction, looks."""

import re

import pytest

from tests.study.conftest import CHROMIUM, fill, press, ready
from tests.study.test_practice import practice_rows
from tests.study_app.test_browser import good_key, open_page, settled  # noqa: F401

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


def end_sessions(server):
    from sqlalchemy import delete

    from plaudit.study import schema

    server.study.database.transact(lambda db: db.execute(delete(schema.session)))


def status(page):
    return page.inner_text("#status")


def wait_for_status(page, text):
    page.wait_for_function(
        "text => document.getElementById('status').textContent === text", arg=text
    )


def code_of(page):
    """The return code that the browser was given when it joined."""
    page.goto(page.url.rsplit("/", 1)[0] + "/account")
    return re.findall(r'data-path="/join/([\w-]+)"', page.content())[0]


def test_saved_is_said_only_after_the_server_has_answered(server, open_page):  # noqa: F811
    fill(server.study, 4)
    page = open_page(server.link())
    ready(page)
    on_their_way = []
    page.route("**/api/votes", lambda route: on_their_way.append(route))
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(200)
    assert status(page) == "Sending…"
    on_their_way.pop().continue_()
    wait_for_status(page, "Saved: A is better")
    assert len(list(server.study.judgments())) == 1
    page.unroute("**/api/votes")
    page.route("**/api/votes", lambda route: route.fulfill(status=500, body="{}"))
    press(page, "ArrowLeft")
    wait_for_status(page, "Kept on this device (1)")
    page.unroute("**/api/votes")
    wait_for_status(page, "Saved: A is better")
    settled(server.study, 2)


def test_when_the_session_is_over_one_signs_in_again_and_the_answers_go_out(server, open_page):  # noqa: F811
    fill(server.study, 6)
    page = open_page(server.link())
    code = code_of(page)
    page.goto(server.base + "/judge")
    ready(page)
    press(page, "ArrowLeft")
    settled(server.study, 1)
    end_sessions(server)
    page.context.clear_cookies()
    press(page, "ArrowLeft")
    page.wait_for_selector("#resume[open]")
    assert status(page) == "Signed out. Kept on this device (1)"
    page.fill("#resume-code", "wrong-code")
    page.click("#resume-go")
    page.wait_for_selector("#resume-error:not([hidden])")
    page.click("#resume-later")
    page.wait_for_timeout(300)
    press(page, "ArrowRight")
    assert status(page) == "Signed out. Kept on this device (2)"
    page.click("#sign-in-again")
    page.fill("#resume-code", f"{server.base}/join/{code}")
    page.click("#resume-go")
    settled(server.study, 3)
    assert len({judgment.annotator for judgment in server.study.judgments()}) == 1
    page.wait_for_selector("#resume", state="hidden")


def test_answers_of_one_person_never_go_out_as_anothers(server, open_page):  # noqa: F811
    fill(server.study, 8)
    page = open_page(server.link())
    ready(page)
    me = page.get_attribute("#main", "data-me")
    end_sessions(server)
    press(page, "ArrowLeft")
    page.wait_for_selector("#resume[open]")
    page.context.clear_cookies()
    other = page.context.new_page()  # somebody else joins in this browser
    other.goto(server.link())
    other.click("#start")
    ready(other)
    assert f"One answer of {me} are kept" in other.inner_text("#banner") or me in other.inner_text(
        "#banner"
    )
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_function(
        "() => document.getElementById('status').textContent.includes('is signed in at this browser now')"
    )
    assert list(server.study.judgments()) == []
    press(other, "ArrowLeft")
    (judgment,) = [*server.study.judgments()] if settled(server.study, 1) else []
    assert judgment.annotator != me


def test_two_tabs_share_the_outbox_and_show_nothing_twice(server, open_page):  # noqa: F811
    fill(server.study, 8)
    first = open_page(server.link())
    ready(first)
    second = first.context.new_page()
    second.goto(server.base + "/judge")
    ready(second)
    assert first.inner_text("#prompt") == second.inner_text("#prompt")
    first.context.set_offline(True)
    press(first, "ArrowLeft")
    second.wait_for_function(
        "() => document.getElementById('status').textContent.includes('other tab')"
    )
    assert first.inner_text("#prompt") == second.inner_text("#prompt")
    press(second, "ArrowRight")
    press(first, "ArrowDown")
    first.context.set_offline(False)
    settled(server.study, 3)
    first.wait_for_timeout(800)
    assert len(list(server.study.judgments())) == 3
    left = "Object.keys(localStorage).filter(n => n.startsWith('plaudit-outbox-')).length"
    assert first.evaluate(left) == 0


def test_a_refused_answer_is_said_and_its_comparison_asked_again(server, open_page):  # noqa: F811
    fill(server.study, 4)
    page = open_page(server.link())
    ready(page)
    prompt = page.inner_text("#prompt-text")
    refusal = '{"error": "no criterion"}'
    page.route("**/api/votes", lambda route: route.fulfill(status=400, body=refusal), times=1)
    press(page, "ArrowLeft")
    wait_for_status(page, "Not stored: no criterion")
    for _ in range(2):
        press(page, "ArrowLeft")
    assert len(settled(server.study, 2)) == 2
    assert page.inner_text("#prompt-text") == prompt


def test_the_guideline_opens_before_the_first_vote_and_after_a_change(server, open_page):  # noqa: F811
    fill(server.study, 6)
    server.study.write_guideline("Be fair.")
    page = open_page(server.link())
    page.wait_for_selector("#guideline[open]")
    press(page, "ArrowLeft")
    assert list(server.study.judgments()) == []
    page.click("#guideline-read")
    ready(page)
    press(page, "ArrowLeft")
    settled(server.study, 1)
    page.reload()
    ready(page)
    assert not page.query_selector("#guideline[open]")
    server.study.write_guideline("Be fair.\n\nBe kind.")
    press(page, "ArrowLeft")
    page.wait_for_selector("#guideline[open] .changes ins")
    assert "Be kind." in page.inner_text("#guideline .changes ins")
    page.keyboard.press("Escape")
    ready(page)
    press(page, "ArrowLeft")
    settled(server.study, 3)
    assert [judgment.guideline_version for judgment in server.study.judgments()] == ["1", "1", "2"]


def test_practice_explains_itself_and_is_not_stored(server, open_page, rows):  # noqa: F811
    fill(server.study, 2)
    server.study.add(rows(practice_rows(2)), labels="practice")
    page = open_page(server.link())
    ready(page)
    assert page.inner_text("#left") == "first 0"
    press(page, "ArrowRight")
    page.wait_for_selector("#practice[open]")
    assert "You said: B is better. Expected here: A is better." in page.inner_text("#practice")
    assert "A says first 0." in page.inner_text("#practice")
    press(page, "Enter")
    press(page, "ArrowRight")
    page.wait_for_selector("#practice[open]")
    assert "yes" in page.inner_text("#practice-title")
    press(page, "Enter")
    assert page.is_hidden("#banner")
    press(page, "ArrowLeft")
    settled(server.study, 1)
    page.reload()
    ready(page)
    assert "Question" in page.inner_text("#prompt")


KEYS = [
    ({"key": "à", "code": "Digit0"}, "both_bad"),  # AZERTY
    ({"key": "0", "code": "Numpad0"}, "both_bad"),
    ({"key": "0", "code": "Digit0", "shiftKey": True}, "both_bad"),  # AZERTY with Shift
    ({"key": "=", "code": "Digit0", "shiftKey": True}, "tie"),  # QWERTZ
    ({"key": "ArrowDown", "code": "Numpad2"}, "tie"),  # without the number lock
]


@pytest.mark.parametrize(("event", "answer"), KEYS)
def test_keys_of_other_layouts(server, open_page, event, answer):  # noqa: F811
    fill(server.study, 2)
    page = open_page(server.link())
    ready(page)
    page.evaluate(
        "e => document.body.dispatchEvent(new KeyboardEvent('keydown', {...e, bubbles: true, cancelable: true}))",
        event,
    )
    assert settled(server.study, 1) == [answer]


@pytest.mark.parametrize(
    "event",
    [
        {"key": "ArrowLeft", "repeat": True},
        {"key": "ArrowLeft", "altKey": True},
        {"key": "ArrowLeft", "isComposing": True},
        {"key": "Dead", "code": "KeyU"},
    ],
)
def test_keys_that_mean_nothing(server, open_page, event):  # noqa: F811
    fill(server.study, 2)
    page = open_page(server.link())
    ready(page)
    page.evaluate(
        "e => document.body.dispatchEvent(new KeyboardEvent('keydown', {...e, bubbles: true}))",
        event,
    )
    page.wait_for_timeout(300)
    assert list(server.study.judgments()) == []


def test_keys_are_changed_checked_and_kept(server, open_page):  # noqa: F811
    fill(server.study, 4)
    page = open_page(server.link())
    ready(page)
    page.click("#open-keys")
    page.click("#keys-list [data-action=left]")
    press(page, "s")
    assert "taken" in page.inner_text("#keys-said")
    press(page, "j")
    assert page.inner_text("#keys-said") == "J: A is better (graded: move the choice)"
    press(page, "Escape")
    press(page, "j")
    settled(server.study, 1)
    page.reload()
    ready(page)
    press(page, "ArrowLeft")
    assert len(list(server.study.judgments())) == 1
    press(page, "j")
    settled(server.study, 2)
    assert page.inner_text("#fast .choice >> nth=0").startswith("J")


def test_undo_keeps_the_note_the_reasons_and_the_level(server, open_page):  # noqa: F811
    fill(server.study, 4)
    server.study.change(mode="graded")
    page = open_page(server.link())
    ready(page)

    def shown():
        pressed = page.evaluate(
            "[...document.querySelectorAll('#graded [aria-pressed=true], .chip[aria-pressed=true]')].map(b => b.textContent.trim())"
        )
        return page.input_value("#note"), pressed

    press(page, "2")
    page.click(".chip >> nth=1")
    press(page, "n")
    page.keyboard.type("because")
    before = shown()
    assert before[0] == "because"
    assert len(before[1]) == 2
    press(page, "Enter")
    settled(server.study, 1)
    assert shown() == ("", [])
    press(page, "u")
    settled(server.study, 0)
    assert shown() == before
    press(page, "Enter")
    settled(server.study, 1)
    page.reload()  # and what the page itself no longer knows
    ready(page)
    press(page, "u")
    settled(server.study, 0)
    page.wait_for_function("() => document.getElementById('note').value === 'because'")
    assert shown() == before


def test_enter_sends_what_is_chosen_wherever_the_focus_is(server, open_page):  # noqa: F811
    fill(server.study, 6)
    server.study.change(mode="graded")
    page = open_page(server.link())
    for number, focus in enumerate(
        ("#note", ".chip >> nth=0", "#undo", "#prompt-text", "#graded .level >> nth=6")
    ):
        ready(page)
        page.wait_for_timeout(200)  # beyond the guard against a double tap
        page.click("#graded .level >> nth=2")
        page.focus(focus)
        page.keyboard.press("Enter")
        settled(server.study, number + 1)
    assert {judgment.strength for judgment in server.study.judgments()} == {1}


def test_a_double_click_is_one_vote(server, open_page):  # noqa: F811
    fill(server.study, 4)
    page = open_page(server.link())
    ready(page)
    page.dblclick("#fast .choice >> nth=0", delay=20)
    page.wait_for_timeout(600)
    box = page.query_selector("#fast .choice >> nth=0").bounding_box()
    assert len(list(server.study.judgments())) == 1
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    page.wait_for_timeout(320)
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    page.wait_for_timeout(600)
    assert len(list(server.study.judgments())) == 2


def test_several_questions_by_keys_alone(server, open_page):  # noqa: F811
    fill(server.study, 3)
    server.study.change(criteria=("helpful", "harmless"))
    page = open_page(server.link())
    ready(page)
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown"):
        press(page, key)
    assert list(server.study.judgments()) == []
    press(page, "Enter")
    settled(server.study, 1)
    from sqlalchemy import select

    from plaudit.study import schema

    with server.study.database.read() as db:
        row = db.execute(select(schema.judgment)).mappings().one()
    other = {"a": "b", "b": "a"}[row["answer"]]
    assert row["criteria"] == {"helpful": {"answer": other}, "harmless": {"answer": "tie"}}


def test_a_preview_stores_nothing_and_says_so(server, open_page):  # noqa: F811
    fill(server.study, 5)
    page = open_page(server.link("owner"), "/judge?preview=1")
    ready(page)
    assert page.inner_text("#banner").startswith("Preview")
    for _ in range(5):
        press(page, "ArrowLeft")
    page.wait_for_selector("#empty:not([hidden])")
    press(page, "u")
    assert page.is_visible("#left")
    page.wait_for_timeout(300)
    assert list(server.study.judgments()) == []


def test_raw_texts_are_what_was_written(server, open_page):  # noqa: F811
    server.study.compare("What is 2*3*4*5?", ["**120**, <b>so</b>", "one\n\n\ntwo"])
    page = open_page(server.link())
    ready(page)
    press(page, "w")
    page.wait_for_selector("#left .as-written")
    shown = {page.text_content(f"#{side} .as-written") for side in ("left", "right")}
    assert shown == {"**120**, <b>so</b>", "one\n\n\ntwo"}
    assert page.text_content("#prompt .as-written") == "What is 2*3*4*5?"
    press(page, "w")
    assert not page.query_selector(".as-written")


@pytest.mark.parametrize(
    ("texts", "marks", "said"),
    [
        (
            ("Same. One only here.", "Same. Other here."),
            2,
            "Marked: sentences in one response only",
        ),
        (
            ("Nothing alike.", "All else."),
            0,
            "No sentence is in both responses, so nothing is marked",
        ),
        (("Same. Two.", "Two. Same."), 0, "Both responses have the same sentences"),
        (("相同。不同的。", "相同。别的。"), 2, "Marked: sentences in one response only"),
    ],
)
def test_differences_are_marked_where_something_is_shared(server, open_page, texts, marks, said):  # noqa: F811
    server.study.compare("Q", list(texts))
    page = open_page(server.link())
    ready(page)
    press(page, "d")
    wait_for_status(page, said)
    assert len(page.query_selector_all("mark")) == marks


def test_differences_of_thirty_thousand_sentences_do_not_freeze(server, open_page):  # noqa: F811
    for number in range(2):
        texts = [
            " ".join(f"Sentence {k * step} of {number}." for k in range(30_000)) for step in (2, 3)
        ]
        server.study.compare(f"Q{number}", texts)
    page = open_page(server.link())
    ready(page)
    took = page.evaluate("""async () => { const start = performance.now();
        document.getElementById('differences').click();
        await new Promise(requestAnimationFrame);
        return performance.now() - start; }""")
    assert took < 1500
    assert "Too long to mark" in status(page)


def test_the_screen_keeps_its_places(server, open_page):  # noqa: F811
    """The header does not move, the bar stands under short texts, nothing covers the text."""
    fill(server.study, 3)
    server.study.compare("Long?", ["word " * 3000, "other " * 3000])
    page = open_page(server.link())
    ready(page)
    box = "id => { const r = document.querySelector(id).getBoundingClientRect(); return [r.top, r.bottom, r.height]; }"
    header = page.evaluate(box, ".top")
    for _ in range(3):
        texts, bar = page.evaluate(box, "#responses"), page.evaluate(box, "#bar")
        if "Long" in page.inner_text("#prompt"):
            assert bar[1] == 860  # at the bottom of the window
        else:
            assert 0 <= bar[0] - texts[1] < 40
        press(page, good_key(page))
        page.wait_for_timeout(200)
        assert page.evaluate(box, ".top") == header
    page.context.set_offline(True)
    press(page, "ArrowLeft")
    assert page.evaluate(box, ".top") == header


@pytest.mark.parametrize("mode", ["fast", "graded"])
def test_on_a_phone_the_bar_takes_at_most_fifteen_percent(server, open_page, mode):  # noqa: F811
    fill(server.study, 2)
    server.study.change(mode=mode)
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    page = open_page(server.link(), **phone)
    ready(page)
    share = page.evaluate(
        "document.getElementById('bar').getBoundingClientRect().height / innerHeight"
    )
    assert share <= 0.15
    assert not [k for k in page.query_selector_all(".bar kbd") if k.is_visible()]


def test_four_responses_are_ranked_with_keys_and_buttons(server, open_page):  # noqa: F811
    for number in range(2):
        texts = [f"response {n} of {number}" for n in range(4)]
        server.study.compare(f"Rank {number}?", texts, pairing="rank")
    page = open_page(server.link())
    page.wait_for_selector("#panel article")
    page.wait_for_timeout(300)
    for key in ("ArrowLeft", "0", "Enter"):  # keys of pairs
        press(page, key)
    assert server.study.counts()["judgments"] == 0
    for key in ("3", "1", "=", "4", "2", "Backspace"):
        press(page, key)
    assert page.is_disabled("#submit")
    page.click("#panel article:nth-child(2) header button")
    ranks = [card.inner_text() for card in page.query_selector_all("#panel .rank")]
    assert ranks == ["Rank 2", "Rank 4", "Rank 1", "Rank 2"]
    press(page, "Enter")
    settled(server.study, 6)
    press(page, "u")
    settled(server.study, 0)
    assert [card.inner_text() for card in page.query_selector_all("#panel .rank")] == ranks
    press(page, "Enter")
    settled(server.study, 6)
    answers = [judgment.answer for judgment in server.study.judgments()]
    assert answers.count("tie") == 1
    page.keyboard.press("h")
    page.wait_for_selector("#recent[open] li button")
    assert page.inner_text("#recent-list strong") == "ranked"
    page.click("#recent-list button")
    page.wait_for_timeout(400)
    assert [card.inner_text() for card in page.query_selector_all("#panel .rank")] == ranks
