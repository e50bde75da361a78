"""The owner's pages in a real chromium: questions before a decision, forms, axe, narrow screens."""

import pytest
from sqlalchemy import select

from plaudit.study import people, schema
from tests.study.conftest import CHROMIUM, fill, judge, person, prefers_good

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
PAGES = (
    *("", "/comparisons", "/comparisons/1", "/comparisons/1/edit", "/disagreements", "/problems"),
    *("/gold", "/annotators", "/invitations", "/setup", "/settings", "/settings?part=amount"),
    *("/settings?part=checks", "/settings?part=start", "/guideline", "/audit", "/export"),
)
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def busy(server):
    """A study with disagreements, gold, somebody stopped and taken out, skips and a guideline."""
    study = server.study
    fill(study, 8, columns={"topic": "a rather long name of a topic", "n": 3})
    study.change(overlap=3, gold_rate=0.04, columns_shown=("topic",))
    study.write_guideline("# Be fair\n\n- correct\n- kind")
    everyone = [person(study) for _ in range(4)]
    judge(study, everyone[0], prefers_good, 6, rationale="A is clear")
    judge(study, everyone[1], "skip", 2, reasons=("cannot judge this",))
    judge(study, everyone[1], prefers_good, 4)
    judge(study, everyone[2], "left", 6, report="odd")
    study.database.transact(lambda db: people.stop(db, {everyone[2].id: "too fast " * 9}))
    owner = person(study, "owner")
    study.database.transact(lambda db: people.take_out(db, everyone[3].id, owner))
    server.watch.refresh()
    return server


@pytest.fixture
def open_owner(busy, chromium):
    """Opens pages as an owner; fails the test on any error in their console."""
    contexts, errors = [], []

    def new(path="", **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: "Content Security" in m.text and errors.append(m.text))
        page.goto(busy.link("owner"))
        page.click("#start")
        page.goto(busy.base + "/owner" + path)
        return page

    yield new
    for context in contexts:
        context.close()
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_clean_for_axe(busy, open_owner, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    page = open_owner(color_scheme=scheme)
    for path in PAGES:
        page.goto(f"{busy.base}/owner{path}")
        found = axe.run(page, options=options).response["violations"]
        assert [(v["id"], [n["html"][:150] for n in v["nodes"]]) for v in found] == [], path


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_no_page_is_wider_than_its_screen(busy, open_owner, width):
    page = open_owner(viewport={"width": width, "height": 740})
    for path in PAGES:
        page.goto(f"{busy.base}/owner{path}")
        assert page.evaluate(WIDER) <= 0, path


def test_taking_out_asks_first(busy, open_owner):
    page = open_owner("/annotators")
    page.click("button:has-text('Take out') >> nth=0")
    page.wait_for_selector("#confirm[open]")
    assert "leave every figure and export" in page.inner_text("#confirm-question")
    page.click("#confirm button:has-text('Cancel')")
    page.wait_for_timeout(200)
    a = schema.annotator.c
    out = select(a.id).where(a.excluded_at.is_not(None))
    with busy.study.database.read() as db:
        before = db.scalars(out).all()
    page.click("button:has-text('Take out') >> nth=0")
    with page.expect_navigation():
        page.click("#confirm-ok")
    with busy.study.database.read() as db:
        assert len(db.scalars(out).all()) == len(before) + 1


def test_a_setting_is_saved_twice_in_a_row_and_a_stale_tab_is_told(busy, open_owner):
    page = open_owner("/settings?part=amount")
    stale = page.context.new_page()
    stale.goto(page.url)
    for value in ("2", "4"):
        page.fill("#set-overlap", value)
        page.click("form#amount .primary")
        page.wait_for_selector(f"input[name=was-overlap][value='{value}']", state="attached")
        assert "Saved: People per comparison" in page.inner_text("#saved")
    stale.fill("#set-quota", "9")
    stale.click("form#amount .primary")
    stale.wait_for_selector("#saved .done")
    assert (busy.study.settings.overlap, busy.study.settings.quota) == (4, 9)
    stale.fill("#set-overlap", "5")
    stale.evaluate("document.querySelector('[name=was-overlap]').value = '3'")
    stale.click("form#amount .primary")
    stale.wait_for_selector("#saved .error")
    assert "changed meanwhile" in stale.inner_text("#saved")
    assert stale.input_value("#set-overlap") == "5"


def test_a_link_is_copied_by_its_button_and_a_menu_closes(busy, open_owner):
    page = open_owner("/invitations", permissions=["clipboard-read", "clipboard-write"])
    page.click("text=Create a link")
    page.click("text=Copy")
    page.wait_for_selector("text=Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "/join/" in copied
    assert copied == page.input_value("#link input")
    page.click(".masthead .menu summary")
    assert page.is_visible("text=Look as an annotator")
    page.keyboard.press("Escape")
    assert not page.is_visible("text=Look as an annotator")


def test_models_are_named_when_asked_for(busy, open_owner):
    page = open_owner("/comparisons/1")
    assert "llama" not in page.content()
    page.click("text=Show which model wrote which response")
    page.wait_for_selector("text=llama")


def test_a_problem_is_edited_as_a_new_version(busy, open_owner):
    page = open_owner("/problems")
    page.click("text=Edit as a new version >> nth=0")
    page.fill("textarea[name=prompt]", "A clearer question?")
    with page.expect_navigation():
        page.click("text=Save as a new version")
    assert "A new version of" in page.inner_text("main")
    assert "A clearer question?" in page.inner_text(".prompt")
