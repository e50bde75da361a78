"""The store, the same on SQLite and PostgreSQL: adding, settings, append-only tables."""

import json
import threading

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import DatabaseError

import plaudit
from plaudit.data import pairs_of, read
from plaudit.errors import DataError, UsageError
from plaudit.study import Study, schema
from plaudit.study.database import HEAD
from tests.study.conftest import fill, judge, person

PAIR = {"prompt": "Hi", "response_a": "Hello!", "response_b": "What?", "label": "a"}


def test_adding_the_same_data_again_adds_nothing(study, rows):
    data = rows([PAIR, {**PAIR, "prompt": "Bye", "label": "tie"}, {**PAIR, "prompt": 3}])
    first, second = study.add(data), study.add(data)
    assert (first.comparisons, first.labels, first.dropped) == (2, 2, {"unreadable": 1})
    assert (second.comparisons, second.known, second.labels) == (0, 2, 0)
    assert "data.jsonl:3" in first.problems[0]
    assert study.counts() == {"comparisons": 2, "judgments": 2, "remaining": 2}


def test_a_comparison_is_the_same_whichever_way_round(study, rows):
    swapped = {**PAIR, "response_a": "What?", "response_b": "Hello!", "label": "b"}
    study.add(rows([PAIR]))
    added = study.add(rows([swapped]))
    assert (added.comparisons, added.known) == (0, 1)
    assert len({judgment.answer for judgment in study.judgments()}) == 1


def test_texts_are_stored_once_with_every_origin(study):
    for model in ("gpt", "llama"):
        study.compare(
            "Hi", ["Hello!", "What?"], models=[model, "other"], sampling={"temperature": 1}
        )
    with study.database.read() as db:
        assert db.scalar(select(func.count()).select_from(schema.response)) == 2
        models = db.scalars(select(schema.origin.c.model)).all()
    assert sorted(models) == ["gpt", "llama", "other"]


def test_votes_in_the_data_become_imported_judgments(study, rows):
    votes = {k: v for k, v in PAIR.items() if k != "label"} | {"votes_a": 3, "votes_b": 1}
    assert study.add(rows([votes])).labels == 4
    assert {judgment.annotator for judgment in study.judgments()} == {"imported"}
    answers = [judgment.answer for judgment in study.judgments()]
    assert sorted(map(answers.count, set(answers))) == [1, 3]


@pytest.mark.parametrize(("pairing", "count"), [("all", 10), ("ring", 5), ("one", 1)])
def test_several_responses_are_paired_by_policy(study, rows, pairing, count):
    ranked = {"prompt": "Hi", "responses": list("vwxyz"), "ranks": [1, 2, 3, 4, 5]}
    added = study.add(rows([ranked]), pairing=pairing)
    assert added.comparisons == added.labels == count


def test_unlabelled_candidates_are_added_and_useless_rows_counted(study, rows):
    added = study.add(
        rows(
            [
                {
                    "prompt": "Hi",
                    "responses": [{"text": "a", "model": "m1"}, {"text": "b", "model": "m2"}],
                },
                {"prompt": "Hi", "response_a": "same", "response_b": "same"},
                {"prompt": "Hi", "response_a": "", "response_b": " "},
            ]
        )
    )
    assert (added.format, added.comparisons, added.labels) == ("candidates", 1, 0)
    assert added.dropped == {"identical responses": 1, "both responses empty": 1}


def test_gold_leaves_the_open_queue(study, rows):
    added = study.add(rows([PAIR, {**PAIR, "prompt": "Bye", "label": "skip"}]), labels="gold")
    assert added.labels == 1
    assert added.dropped == {"no certain answer, not made gold": 1}
    assert study.counts()["remaining"] == 1


def test_personal_data_is_counted_and_masked_on_request(study, rows):
    row = {**PAIR, "response_a": "Write to jo@example.com", "response_b": "I am ChatGPT."}
    found = study.add(rows([row]))
    assert found.found == {"e-mail": 1, "model's name": 1}
    assert not found.masked
    study.add(rows([{**row, "prompt": "Again"}]), mask=("pii", "models"))
    texts = [c.response_a[0].content + c.response_b[0].content for c in study.comparisons()]
    assert "jo@" in texts[0]
    assert "[e-mail]" in texts[1]
    assert "ChatGPT" not in texts[1]


def test_compare_returns_ids_that_judgments_carry(study):
    (one,) = study.compare("Hi", ["Hello!", "What?"])
    assert study.compare("Hi", ["What?", "Hello!"]) == [one]
    judge(study, person(study))
    (judgment,) = study.judgments()
    (comparison,) = study.comparisons()
    assert judgment.comparison == comparison.id == one


def test_compare_from_many_threads_loses_nothing(where):
    target = where()
    Study(target).close()
    threads = [
        threading.Thread(
            target=lambda n=n: plaudit.compare(f"Q{n}", [f"a{n}", f"b{n}"], study=target)
        )
        for n in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Study(target) as study:
        assert study.counts()["comparisons"] == 24


def test_what_cannot_be_compared_says_so(study):
    with pytest.raises(DataError, match="identical responses"):
        study.compare("Hi", ["same", "same"])
    with pytest.raises(UsageError, match="1 models for 2 responses"):
        study.compare("Hi", ["a", "b"], models=["m"])


def test_settings_move_the_slots_and_are_audited(study):
    fill(study, 3)
    study.change(overlap=3, question="Which?")
    assert study.counts()["remaining"] == 9
    assert study.settings.question == "Which?"
    with pytest.raises(UsageError, match="overlap must lie in 1 to 100"):
        study.change(overlap=0)
    with pytest.raises(UsageError, match="no setting 'colour'"):
        study.change(colour="red")
    with study.database.read() as db:
        verbs = db.scalars(select(schema.audit.c.verb)).all()
    assert "change settings" in verbs


def test_guidelines_have_versions(study):
    assert study.guideline() == (0, "")
    assert study.write_guideline("Be fair.") == 1
    assert study.write_guideline("Be fair.") == 1
    assert study.write_guideline("Be fairer.") == 2
    assert study.guideline() == (2, "Be fairer.")


@pytest.mark.parametrize(
    "change", [update(schema.judgment).values(answer="a"), delete(schema.judgment)]
)
def test_judgments_cannot_be_changed_or_deleted(study, change):
    fill(study, 1)
    judge(study, person(study))
    with pytest.raises(DatabaseError, match="append-only"):
        study.database.transact(lambda db: db.execute(change))
    with pytest.raises(DatabaseError, match="append-only"):
        study.database.transact(lambda db: db.execute(delete(schema.audit)))
    assert study.counts()["judgments"] == 1


def test_the_migrations_end_at_the_schema(study):
    """Nothing that the tables say is missing from what the migrations make."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with study.database.read() as db:
        context = MigrationContext.configure(db)
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, schema.metadata) == []


def test_sqlite_is_set_to_outlive_a_power_cut(sqlite_study):
    with sqlite_study.database.read() as db:
        values = [
            db.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert values == ["wal", 2, 1, 10000]


def test_what_is_no_study_is_refused(tmp_path):
    plain = tmp_path / "notes.txt"
    plain.write_text("hello")
    with pytest.raises(DataError, match="not a SQLite file"):
        Study(plain)
    with pytest.raises(DataError, match="no such study; plaudit add"):
        Study(tmp_path / "none.db", create=False)
    with pytest.raises(DataError, match="is not there"):
        Study(tmp_path / "no" / "folder.db")
    with pytest.raises(DataError, match="found mysql"):
        Study("mysql://localhost/x")
    import sqlite3

    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.commit()
    with pytest.raises(DataError, match="not a study"):
        Study(tmp_path / "other.db")
    newer = tmp_path / "newer.db"
    Study(newer).close()
    db = sqlite3.connect(newer)
    db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.commit()
    with pytest.raises(DataError, match="newer plaudit"):
        Study(newer)


def test_a_transaction_that_is_run_again_counts_and_labels_once(study, rows, monkeypatch):
    """As PostgreSQL asks for after a deadlock: the second run is the one that stays."""
    once = study.database.transact

    def twice(work):
        class Lost(Exception):
            pass

        def lost(db):
            work(db)
            raise Lost

        with pytest.raises(Lost):
            once(lost)
        return once(work)

    data = rows([PAIR, PAIR])  # two equal labels are two, the same file again adds none
    monkeypatch.setattr(study.database, "transact", twice)
    added = study.add(data)
    assert (added.comparisons, added.known, added.labels) == (1, 1, 2)
    monkeypatch.undo()
    assert study.add(data).labels == 0


def test_owners_who_save_at_once_lose_nothing(study):
    errors = []

    def save(number):
        try:
            study.change(**[{"question": "Which?"}, {"overlap": 3}, {"mode": "graded"}][number % 3])
            study.write_guideline(f"Rule {number}")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    settings = study.settings
    assert (settings.question, settings.overlap, settings.mode) == ("Which?", 3, "graded")
    assert study.guideline()[0] == 9


CALL = {
    "id": "1",
    "type": "function",
    "function": {"name": "find", "arguments": '{"mail": "jo@x.org"}'},
}
RICH = {
    "prompt": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:4111111111111111"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "a cat", "tool_call_id": "1", "name": "find"},
    ],
    "response_a": [{"role": "assistant", "content": "A cat.", "reasoning_content": "I look."}],
    "response_b": "A dog.",
    "label": "a",
}


def test_messages_are_kept_whole(study, rows, tmp_path):
    """Parts, tool calls, reasoning: as they came, out again, and under the hash that they have."""
    data = rows([RICH])
    study.add(data)
    (stored,) = study.comparisons()
    (pair,) = pairs_of(read(str(data)))
    assert pair.a.messages[:3] == stored.prompt
    assert pair.a.messages[3:] in (stored.response_a, stored.response_b)
    (judgment,) = study.judgments()
    assert judgment.comparison == stored.id
    for form in ("pairs", "raw"):
        study.export(tmp_path / form, format=form)
        (name,) = (tmp_path / form).glob("[tr]*.jsonl")
        (again,) = pairs_of(read(str(name)))
        assert {again.a.id, again.b.id} == {pair.a.id, pair.b.id}
    with pytest.raises(DataError, match="more than text"):
        study.export(tmp_path / "dataset", format="dataset")


def test_tool_calls_are_masked_and_images_left_alone(study, rows):
    added = study.add(rows([RICH]), mask=("pii",))
    assert added.found == {"e-mail": 1}
    (stored,) = study.comparisons()
    assert "[e-mail]" in stored.prompt[1].fields["tool_calls"][0]["function"]["arguments"]
    assert stored.prompt[0].content[1]["image_url"]["url"] == "data:4111111111111111"


def test_counts_and_judgments_agree_with_retests(study):
    fill(study, 20)
    study.change(retest_rate=0.5, retest_after=2)
    judge(study, person(study), "left", 60)
    with study.database.read() as db:
        kinds = db.scalars(select(schema.standing.c.kind)).all()
    assert "retest" in kinds
    assert study.counts()["judgments"] == len(list(study.judgments())) == kinds.count("vote") == 20


def test_unknown_names_are_refused(tmp_path, sqlite_study):
    with pytest.raises(UsageError, match="no setting 'colour'"):
        Study(tmp_path / "x.db", colour="red")
    assert not (tmp_path / "x.db").exists()
    with pytest.raises(UsageError, match="no annotator of this name"):
        sqlite_study.export(tmp_path / "out", without=("nobody",))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="cannot be written"):
        sqlite_study.export(tmp_path / "file")


def test_a_raw_export_with_impossible_values_is_refused(sqlite_study, tmp_path, rows):
    fill(sqlite_study, 1)
    judge(sqlite_study, person(sqlite_study))
    sqlite_study.export(tmp_path / "raw", format="raw")
    row = json.loads((tmp_path / "raw" / "raw.jsonl").read_text())
    row["judgments"][0]["p"] = 0.7
    with Study(tmp_path / "copy.db") as copy:
        added = copy.add(rows([row]))
        assert "only imported judgments have p" in added.problems[0]
        study_json = tmp_path / "raw" / "study.json"
        study_json.write_text(study_json.read_text().replace('"annotator"', '"admin"'))
        with pytest.raises(
            DataError, match="annotators.0.role: Input should be 'owner'.*found 'admin'"
        ):
            copy.add(tmp_path / "raw" / "raw.jsonl")
