"""A study of plaudit 0.1 opens at the newest schema with everything kept, on both stores."""

import json
import time
from pathlib import Path

import pytest
from alembic.command import upgrade
from sqlalchemy import delete, inspect, select, text, update
from sqlalchemy.exc import DatabaseError

from plaudit.config import StudySettings
from plaudit.errors import DataError
from plaudit.study import Study, schema
from plaudit.study import database as db_module
from plaudit.types import Comparison, Message, messages_id

FIRST = Path(db_module.__file__).parent / "migrations" / "versions"
NOW = 1_700_000_000.0


def old_study(where, monkeypatch):
    """A study as 0.1 left it: two comparisons, votes with an undo, three people, old settings."""
    monkeypatch.setattr(db_module, "HEAD", "0001")
    monkeypatch.setattr("alembic.command.upgrade", _upgrade_to_first)
    database = db_module.open_database(where)
    monkeypatch.undo()
    texts = []
    for number in range(2):
        prompt = (Message("user", f"Q{number}"),)
        a, b = sorted(
            ((Message("assistant", f"{w} {number}"),) for w in ("good", "bad")), key=messages_id
        )
        texts.append(Comparison(prompt, a, b))
    with database.write() as db:
        _fill(db, texts)
    database.close()
    return texts


def _upgrade_to_first(config, _revision):
    upgrade(config, "0001")


def _fill(db, texts):
    settings = {"name": "Desk", "question": "Which reply?", "overlap": 2, "reasons": ["tone"]}
    settings |= {"license_replies": "CC0"}
    run(db, "study", id=1, settings=settings, secret="s" * 64, created_at=NOW)
    run(db, "guideline", version=1, markdown="Be fair.", created_at=NOW)
    for number, (name, role) in enumerate(
        [("calm-fox", "annotator"), ("wise-owl", "owner"), ("keen-elk", "reader")], start=1
    ):
        run(
            db,
            "annotator",
            id=number,
            pseudonym=name,
            role=role,
            active=True,
            place=number,
            judged=1,
            preferences={},
            created_at=NOW,
        )
    run(db, "identity", annotator=3, name="Jo", email="jo@example.com", password="$argon2id$x")
    run(
        db,
        "invitation",
        id=1,
        hash="h" * 64,
        role="reader",
        uses=1,
        expires_at=time.time() + 99,
        created_at=NOW,
    )
    for number, asked in enumerate(texts, start=1):
        _comparison(db, number, asked)
    votes = [(1, 1, 1, "a", None), (2, 1, 2, "tie", None), (3, 1, 2, "withdrawn", 2)]
    for key, annotator, comparison, answer, earlier in votes:
        run(
            db,
            "judgment",
            id=key,
            key=f"key-{key}",
            comparison=comparison,
            annotator=annotator,
            assignment=comparison,
            kind="vote",
            answer=answer,
            strength=2 if answer == "a" else None,
            left="a",
            reasons=["tone"],
            rationale="so",
            report="",
            active_ms=4000,
            guideline=1,
            late=False,
            supersedes=earlier,
            created_at=NOW + key,
        )
    run(db, "audit", id=1, at=NOW, actor="wise-owl", verb="bar", details={"annotator": "x"})


def _comparison(db, number, asked):
    for key, table, messages in (
        (number, "prompt", asked.prompt),
        (2 * number, "reply", asked.response_a),
        (2 * number + 1, "reply", asked.response_b),
    ):
        values = {"hash": messages_id(messages), "turns": [m.to_dict() for m in messages]}
        if table == "reply":
            values |= {"prompt": number, "characters": 6, "words": 2}
        run(db, table, id=key, **values)
    run(db, "origin", id=number, reply=2 * number, model="gpt", sampling={}, hash="o" * 32)
    run(
        db,
        "comparison",
        id=number,
        hash=asked.id,
        prompt=number,
        reply_a=2 * number,
        reply_b=2 * number + 1,
        place=number,
        overlap=2,
        slots=2 - (number == 1) - (number == 2),
        reopened=False,
        group=messages_id(asked.prompt),
        columns={"topic": "x"},
        created_at=NOW,
    )
    run(
        db,
        "assignment",
        id=number,
        token=f"{number:032d}",
        comparison=number,
        annotator=1,
        kind="vote",
        left="a",
        state="done" if number == 1 else "leased",
        leased_until=time.time() + 900,
        issued_at=NOW,
    )


def run(db, table, **values):
    kinds = {"key": '"key"', "group": '"group"', "columns": '"columns"', "left": '"left"'}
    names = ", ".join(f'"{name}"' if name in kinds or name == "at" else name for name in values)
    slots = ", ".join(f":{name}" for name in values)
    given = {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in values.items()}
    db.execute(text(f"INSERT INTO {table} ({names}) VALUES ({slots})"), given)


def test_a_study_of_the_first_schema_opens_with_everything_kept(where, monkeypatch):
    target = where()
    texts = old_study(target, monkeypatch)
    with Study(target, create=False) as study:
        assert list(study.comparisons()) == texts
        (judgment,) = study.judgments()
        assert (judgment.comparison, judgment.answer) == (texts[0].id, "a")
        assert (judgment.annotator, judgment.strength, judgment.active_seconds) == (
            "calm-fox",
            2,
            4,
        )
        assert study.counts() == {"comparisons": 2, "judgments": 1, "remaining": 3}
        assert study.guideline() == (1, "Be fair.")
        assert study.settings == StudySettings(
            name="Desk",
            question="Which reply?",
            overlap=2,
            reasons=("tone",),
            license_responses="CC0",
        )
        with study.database.read() as db:
            roles = db.scalars(select(schema.annotator.c.role).order_by(schema.annotator.c.id))
            assert roles.all() == ["annotator", "owner", "viewer"]
            assert db.scalars(select(schema.invitation.c.role)).all() == ["viewer"]
            assert db.scalar(select(schema.identity.c.email)) == "jo@example.com"
            assert db.scalars(select(schema.judgment.c.p)).all() == [None] * 3
            assert db.scalars(select(schema.origin.c.model)).all() == ["gpt", "gpt"]
        for change in (update(schema.judgment).values(answer="b"), delete(schema.audit)):
            with (
                pytest.raises(DatabaseError, match="append-only"),
                study.database.write() as db,
            ):
                db.execute(change)
        (again,) = study.compare("Q0", ["good 0", "bad 0"])  # known by the hash it always had
        assert again == texts[0].id
        assert study.counts()["comparisons"] == 2


def test_a_migrated_study_has_the_schema_of_a_new_one(where, monkeypatch):
    """Tables, columns, constraints by name, indexes and views: nothing of the old words is left."""
    old, new = where(), where()
    old_study(old, monkeypatch)
    with Study(old) as first, Study(new) as second:
        found = [described(study.database.engine) for study in (first, second)]
    for of_old, of_new in zip(*found, strict=True):
        assert of_old.keys() == of_new.keys()
        for name in of_old:
            assert of_old[name] == of_new[name], name
    assert not any(word in repr(found[0]) for word in ("reply", "turns", "reader", "'place'"))


def described(engine):
    see = inspect(engine)
    tables = {
        name: (
            [(c["name"], str(c["type"]), c["nullable"]) for c in see.get_columns(name)],
            see.get_pk_constraint(name),
            sorted(map(str, see.get_foreign_keys(name))),
            sorted(map(str, see.get_unique_constraints(name))),
            sorted(map(str, see.get_check_constraints(name))),
            sorted((i["name"], i["column_names"], _condition(i)) for i in see.get_indexes(name)),
        )
        for name in sorted(see.get_table_names())
    }
    return tables, {name: see.get_view_definition(name) for name in sorted(see.get_view_names())}


def _condition(index):
    return [str(value) for _, value in sorted(index.get("dialect_options", {}).items())]


def test_the_views_have_the_columns_that_the_schema_says(study):
    see = inspect(study.database.engine)
    for view in schema.views.sorted_tables:
        assert [c["name"] for c in see.get_columns(view.name)] == [c.name for c in view.c]


def test_a_migration_that_fails_changes_nothing(tmp_path, monkeypatch):
    target = str(tmp_path / "old.db")
    old_study(target, monkeypatch)
    before = (tmp_path / "old.db").read_bytes()
    monkeypatch.setattr("alembic.op.get_bind", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Study(target)
    monkeypatch.undo()
    assert len(before) == len((tmp_path / "old.db").read_bytes())
    with Study(target) as study:
        assert study.counts()["comparisons"] == 2


def test_rows_that_refer_to_missing_ones_stop_the_migration(tmp_path, monkeypatch):
    import sqlite3

    target = str(tmp_path / "old.db")
    old_study(target, monkeypatch)
    broken = sqlite3.connect(target)
    broken.execute("UPDATE comparison SET reply_a = 999 WHERE id = 1")
    broken.commit()
    broken.close()
    with pytest.raises(DataError, match="rows refer to missing ones"):
        Study(target)
