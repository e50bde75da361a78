"""Whole studies move: backups of a running one, copies between both stores, in both directions."""

import json
import sqlite3
import stat
import threading
import uuid

import pytest
from sqlalchemy import func, insert, select

from plaudit.errors import DataError, UsageError
from plaudit.study import Study, schema
from plaudit.study.accounts import Newcomer, invite, join, person_of
from plaudit.study.answers import Answer, edit, resolve
from plaudit.study.assignment import assign
from plaudit.study.database import open_database
from tests.study.conftest import fill, given, judge, person, prefers_good


def everything(database):
    """Every row of every table."""
    with database.read() as db:
        return {
            table.name: [tuple(row) for row in db.execute(
                select(table).order_by(*table.primary_key.columns)
            )]
            for table in schema.metadata.sorted_tables
        }  # fmt: skip


@pytest.fixture
def full(study):
    """A study with something in every table, and the session of an owner with an account."""
    study.change(overlap=2, criteria=("harmless",), name="Schreibtisch “Ü”")
    study.write_guideline("Sei fair 🙂")
    fill(study, 6, columns={"topic": "x", "n": 0.1 + 0.2, "deep": {"a": [1, None]}})
    one, two = person(study), person(study)
    *_, last = judge(study, one, prefers_good, 4, strength=2, reasons=("clearer",), rationale="so")
    study.database.transact(
        lambda db: edit(db, one, last, Answer(key=uuid.uuid4().hex, answer="tie"))
    )
    judge(study, two, "skip")
    given(study, two)

    def account(db):
        jo = Newcomer(name="Jo", email="jo@example.com", password="$argon2id$x")
        return join(db, invite(db, "owner", "test"), jo)

    owner, session = study.database.transact(account)
    study.database.transact(lambda db: resolve(db, owner, 1, "a", uuid.uuid4().hex))
    study.database.transact(lambda db: invite(db, "annotator", "test", 5))
    others(study, person(study).id)
    return study, one, two, session


def others(study, third):
    """Rows of what no function here writes: a panel with a ranking, a rendering, a device."""
    with study.database.write() as db:
        panel = {"hash": "p" * 32, "prompt": 1, "responses": [1, 2]}
        db.execute(insert(schema.panel).values(id=7, **panel))
        ranking = {"panel": 7, "annotator": 1, "tiers": [[1], [2]]}
        db.execute(insert(schema.ranking).values(id=9, **ranking))
        db.execute(insert(schema.rendering).values(hash="r" * 32, version=1, messages=[{"a": "b"}]))
        db.execute(
            schema.annotator.update().where(schema.annotator.c.id == third).values(
                device="d", excluded_at=1.5, stop_reason="fast"
            )
        )  # fmt: skip
        db.execute(
            schema.comparison.update().where(schema.comparison.c.id == 6).values(
                replaces=5, withdrawn_at=2.5, agreement=True, explanation="so", panel=7, slots=0
            )
        )  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request, tmp_path):
    """An empty store of either kind, by name."""
    if request.param == "sqlite":
        return str(tmp_path / "copy.db")
    return request.getfixturevalue("postgresql")()


def test_a_copy_is_exact_and_goes_on_where_it_was(full, elsewhere):
    study, _, two, session = full
    (held,) = given(study, two)
    before = everything(study.database)
    counts = study.copy_to(elsewhere)
    assert counts == {name: len(rows) for name, rows in before.items()}
    assert all(before.values()), "a table is empty: the copy of it is not tested"
    with Study(elsewhere, create=False) as copy:
        assert everything(copy.database) == before
        assert copy.settings == study.settings
        assert copy.counts() == study.counts()
        with copy.database.read() as db:  # whoever was signed in still is
            assert person_of(db, session).role == "owner"
        assert given(copy, two) == [held]
        new = fill(copy, 8)
        assert len(set(new)) == 8
        judge(copy, person(copy), prefers_good, 3)
        with copy.database.read() as db:
            assert db.scalar(select(func.max(schema.judgment.c.id))) == len(before["judgment"]) + 3
    assert everything(study.database) == before


def test_nobody_is_asked_again_after_there_and_back(full, elsewhere, tmp_path):
    study, one, *_ = full
    study.copy_to(elsewhere)
    with Study(elsewhere, create=False) as there:
        there.copy_to(tmp_path / "back.db")
    with Study(tmp_path / "back.db") as back:
        assert everything(back.database) == everything(study.database)
        seen = {row.prompt for row in given(back, one, 9)}
        with back.database.read() as db:
            a = schema.assignment.c
            done = db.scalars(select(a.comparison).where(a.annotator == one.id, a.state == "done"))
            prompts = db.scalars(
                select(schema.prompt.c.messages)
                .join(schema.comparison, schema.comparison.c.prompt == schema.prompt.c.id)
                .where(schema.comparison.c.id.in_(done.all()))
            ).all()
        assert not {item[0].content for item in seen} & {p[0]["content"] for p in prompts}


def test_a_backup_is_one_file_of_the_running_study(full, tmp_path):
    study, *_ = full
    target = tmp_path / "backups" / "desk.db"
    target.parent.mkdir()
    study.backup(target)
    assert [path.name for path in target.parent.iterdir()] == ["desk.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with sqlite3.connect(f"file:{target}?mode=ro", uri=True) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM session").fetchone() == (0,)
    expected = everything(study.database)
    assert expected.pop("session")
    with Study(target) as restored:
        found = everything(restored.database)
        assert not found.pop("session")
        assert found == expected
        judge(restored, person(restored), prefers_good, 2)


def test_a_backup_goes_back_to_postgresql(full, tmp_path, postgresql):
    study, *_ = full
    study.backup(tmp_path / "b.db")
    where = postgresql()
    with Study(tmp_path / "b.db") as restored:
        restored.copy_to(where)
        with Study(where, create=False) as again:
            assert everything(again.database) == everything(restored.database)


def test_a_backup_made_while_people_judge_has_every_vote_acknowledged_before(
    sqlite_study, tmp_path
):
    study = sqlite_study
    fill(study, 300)
    stop, acknowledged = threading.Event(), []

    def work():
        me = person(study)
        while not stop.is_set():
            acknowledged.extend(judge(study, me))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            before = set(acknowledged)
            study.backup(tmp_path / f"{number}.db")
            with Study(tmp_path / f"{number}.db") as restored, restored.database.read() as db:
                assert before <= {*db.scalars(select(schema.judgment.c.id))}
                j, earlier = schema.judgment, schema.judgment.alias()
                dangling = select(j.c.id).where(j.c.supersedes.is_not(None)).outerjoin(
                    earlier, earlier.c.id == j.c.supersedes
                ).where(earlier.c.id.is_(None))  # fmt: skip
                assert db.scalars(dangling).all() == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert acknowledged


def test_nothing_is_written_over(full, elsewhere, tmp_path):
    study, *_ = full
    (tmp_path / "mine.db").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        study.backup(tmp_path / "mine.db")
    assert (tmp_path / "mine.db").read_text() == "mine"
    with pytest.raises(UsageError, match="is there already"):
        study.backup(study.where if "://" not in study.where else tmp_path / "mine.db")
    with pytest.raises(UsageError, match="no-folder is not there"):
        study.backup(tmp_path / "no-folder" / "b.db")
    with pytest.raises(UsageError, match="a URL is for --copy-to"):
        study.backup("postgresql://localhost/x")
    with Study(elsewhere) as other:
        fill(other, 1)
        before = everything(other.database)
        with pytest.raises(DataError, match="a study is there already"):
            study.copy_to(elsewhere)
        assert everything(other.database) == before
    with pytest.raises(DataError, match="a study is there already"):
        study.copy_to(study.where)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_copy_that_fails_leaves_nothing(study, elsewhere, monkeypatch):
    fill(study, 3)
    monkeypatch.setattr("plaudit.study.backup._copy_table", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        study.copy_to(elsewhere)
    monkeypatch.undo()
    database = open_database(elsewhere)
    assert not any(everything(database).values())
    database.close()
    study.copy_to(elsewhere)  # and the same place will do


def test_an_empty_study_that_was_just_made_is_a_place_too(full, where):
    study, *_ = full
    target = where()
    Study(target).close()
    study.copy_to(target)
    with Study(target, create=False) as copy:
        assert copy.settings == study.settings


def test_from_the_command_line(full, tmp_path, capsys):
    from plaudit.cli.main import app

    study, *_ = full

    def run(*words):
        try:
            app([str(word) for word in words], exit_on_error=False, print_error=False)
        except SystemExit as end:
            return end.code or 0
        return 0

    assert run("export", study.where, "--backup", tmp_path / "b.db") == 0
    assert "without sessions: people sign in again" in " ".join(capsys.readouterr().out.split())
    assert run("export", study.where, "--copy-to", tmp_path / "c.db", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"]["comparison"] == 6
    with pytest.raises(UsageError, match="the whole study"):
        run("export", study.where, "--backup", tmp_path / "d.db", "--format", "raw")
    assert not (tmp_path / "d.db").exists()


def test_assignments_held_go_on_in_a_backup(study, tmp_path):
    fill(study, 3)
    who = person(study)
    (item,) = given(study, who)
    study.backup(tmp_path / "b.db")
    with Study(tmp_path / "b.db") as restored:
        (again,) = restored.database.transact(lambda db: assign(db, who, restored.settings, 1))
        assert again == item
