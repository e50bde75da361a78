"""Opening a study: who can read its files, what a failure leaves behind, what a log is told."""

import os
import sqlite3
import stat

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from plaudit.errors import DataError
from plaudit.study import Study
from plaudit.study.accounts import invite
from tests.study.conftest import fill, judge, person


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_study_and_its_exports_are_for_its_owner_alone(tmp_path, open_umask):
    with Study(tmp_path / "desk.db", gold_rate=0) as study:
        fill(study, 2)
        judge(study, person(study), count=2)
        for name in ("desk.db", "desk.db-wal", "desk.db-shm"):
            assert mode(tmp_path / name) == 0o600
        for form in ("pairs", "trl", "raw", "dataset"):
            study.export(tmp_path / form, format=form)
            for path in (tmp_path / form).rglob("*"):
                assert path.is_dir() or mode(path) == 0o600, path


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o640), (0o666, 0o660), (0o660, 0o660)])
def test_a_study_that_everybody_could_read_is_closed(tmp_path, before, after):
    path = tmp_path / "desk.db"
    Study(path).close()
    path.chmod(before)
    Study(path).close()
    assert mode(path) == after


def test_a_plain_copy_of_an_open_study_is_a_study(tmp_path):
    with Study(tmp_path / "desk.db"):
        (tmp_path / "copy.db").write_bytes((tmp_path / "desk.db").read_bytes())
        with Study(tmp_path / "copy.db", create=False) as copy:
            assert copy.counts()["comparisons"] == 0


def test_a_failed_add_leaves_no_empty_study_behind(tmp_path):
    with pytest.raises(DataError, match="no such file"), Study(tmp_path / "desk.db") as study:
        study.add(tmp_path / "missing.jsonl")
    assert list(tmp_path.iterdir()) == []


def interrupted(path, work, error=KeyboardInterrupt):
    with Study(path) as study:
        work(study)
        raise error


def test_what_a_study_holds_already_stays_whatever_fails(tmp_path):
    path = tmp_path / "desk.db"
    Study(path).close()
    with pytest.raises(DataError), Study(path) as study:  # an empty one that was there before
        study.add(tmp_path / "missing.jsonl")
    assert path.exists()
    path.unlink()
    for keep in (
        lambda study: fill(study, 1),
        lambda study: study.write_guideline("Be fair."),
        lambda study: study.database.transact(lambda db: invite(db, "owner", "test")),
    ):
        with pytest.raises(KeyboardInterrupt):
            interrupted(path, keep)
        assert path.exists()
        for file in tmp_path.iterdir():
            file.unlink()


def test_a_new_study_that_another_has_opened_meanwhile_stays(tmp_path):
    path = tmp_path / "desk.db"
    others = []
    with pytest.raises(DataError):
        interrupted(path, lambda study: others.append(Study(path)), DataError)
    assert path.exists()
    fill(others[0], 1)
    others[0].close()
    assert Study(path).counts()["comparisons"] == 1


def test_a_file_that_is_no_study_is_not_touched(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(DataError, match="not a study"):
        Study(path)
    assert path.read_bytes() == before


def test_a_folder_where_nothing_can_be_made_is_one_clear_line(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root can write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match="cannot be made"):
        Study(tmp_path / "desk.db")


def test_the_values_of_a_failed_statement_are_in_no_message(study):
    with pytest.raises(DatabaseError) as failed, study.database.write() as db:
        db.execute(text("INSERT INTO nowhere VALUES (:email)"), {"email": "jo@example.com"})
    assert "jo@example.com" not in str(failed.value)
