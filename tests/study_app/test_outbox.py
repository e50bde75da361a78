"""The outbox of the judging screen: no answer is dropped that the store has not refused."""

import os
import shutil

import pytest

from tests.study.conftest import fill

CHROMIUM = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium")


@pytest.fixture
def page(server):
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no chromium")
    fill(server.study, 8)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(server.link())
        page.click("#start")
        page.wait_for_selector("#left .message")
        yield page
        browser.close()


def press(page, count):
    for _ in range(count):
        page.wait_for_timeout(350)
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(500)


def test_answers_are_sent_when_the_browser_stores_nothing_more(page, server):
    page.evaluate(
        "() => { Storage.prototype.setItem = () => { throw new DOMException('full'); }; }"
    )
    press(page, 3)
    assert server.study.counts()["judgments"] == 3


@pytest.mark.parametrize("status", [403, 404, 413])
def test_answers_are_kept_when_something_else_than_the_store_refuses(page, server, status):
    page.route("**/api/votes", lambda route: route.fulfill(status=status, body="<h1>no</h1>"))
    press(page, 2)
    page.unroute("**/api/votes")
    press(page, 1)
    assert server.study.counts()["judgments"] == 3
