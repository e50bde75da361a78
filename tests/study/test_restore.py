"""Raw exports into a study: strictly checked, audited, and never in another person's name."""

import json

import pytest
from sqlalchemy import func, select

from plaudit.errors import DataError
from plaudit.study import Study, schema
from tests.study.conftest import fill, judge, person


@pytest.fixture
def raw(sqlite_study, tmp_path):
    """A raw export of three comparisons with a judgment each, and who gave them."""
    fill(sqlite_study, 3)
    sqlite_study.write_guideline("Be fair.")
    who = person(sqlite_study)
    judge(sqlite_study, who, "left", 3, reasons=("clearer",), rationale="so")
    sqlite_study.export(tmp_path / "raw", format="raw")
    return tmp_path / "raw", who


def lines(folder):
    return [json.loads(line) for line in (folder / "raw.jsonl").read_text().splitlines()]


def names(study):
    return {judgment.annotator for judgment in study.judgments()}


def verbs(study):
    with study.database.read() as db:
        return db.scalars(select(schema.audit.c.verb).order_by(schema.audit.c.id)).all()


def test_an_empty_study_gets_the_names_as_they_were(raw, where):
    folder, who = raw
    with Study(where()) as copy:
        assert copy.add(folder / "raw.jsonl").labels == 3
        assert names(copy) == {who.pseudonym}
        assert verbs(copy) == ["restore", "restore", "add"]
        assert copy.guideline() == (1, "Be fair.")


@pytest.mark.parametrize("own", ["a person", "a comparison"])
def test_beside_others_judgments_nobody_is_made_to_have_said_anything(raw, where, own):
    folder, who = raw
    with Study(where(), gold_rate=0, retest_rate=0, question="Mine?") as study:
        if own == "a person":
            person(study)
        else:
            fill(study, 1)
        for _ in range(2):  # the same again adds nothing
            study.add(folder / "raw.jsonl")
            assert names(study) == {f"imported:{who.pseudonym}"}
            assert study.counts()["judgments"] == 3
        assert study.settings.question == "Mine?"
        with study.database.read() as db:
            roles = dict(
                db.execute(select(schema.annotator.c.pseudonym, schema.annotator.c.role)).all()
            )
            details = db.scalars(
                select(schema.audit.c.details).where(schema.audit.c.verb == "restore")
            ).all()
        assert roles[f"imported:{who.pseudonym}"] == "imported"
        assert who.pseudonym not in roles
        assert details[0] == {
            "comparisons": 3 - (own == "a comparison"),
            "judgments": 3,
            "under": "imported:",
        }


def test_votes_in_the_name_of_a_person_of_the_study_are_not_theirs(raw, where):
    folder, _ = raw
    with Study(where(), gold_rate=0, retest_rate=0) as study:
        victim = person(study)
        forged = lines(folder)
        for row in forged:
            row["judgments"][0]["annotator"] = victim.pseudonym
        path = folder / "forged.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in forged))
        study.add(path)
        assert names(study) == {f"imported:{victim.pseudonym}"}
        with study.database.read() as db:
            assert (
                db.scalar(
                    select(schema.annotator.c.judged).where(schema.annotator.c.id == victim.id)
                )
                == 0
            )


def test_a_restore_that_was_cut_short_goes_on_under_the_same_names(raw, where):
    folder, who = raw
    first, *rest = lines(folder)
    path = folder / "part.jsonl"
    with Study(where()) as copy:
        for part in ([first], rest):
            path.write_text("".join(json.dumps(row) + "\n" for row in part))
            copy.add(path)
        assert names(copy) == {who.pseudonym}


BAD = [
    ("judgments.0.created_at", float("inf"), "1e999"),
    ("judgments.0.created_at", "yesterday", None),
    ("judgments.0.created_at", True, None),
    ("judgments.0.active_ms", 1.5, None),
    ("judgments.0.active_ms", 2**40, None),
    ("judgments.0.strength", True, None),
    ("judgments.0.reasons", "clearer", None),
    ("judgments.0.reasons", [1], None),
    ("judgments.0.rationale", 5, None),
    ("judgments.0.rationale", "x" * 10_001, None),
    ("judgments.0.late", 1, None),
    ("judgments.0.annotator", "", None),
    ("judgments.0.annotator", "x" * 81, None),
    ("judgments.0.key", "x" * 65, None),
    ("judgments.0.colour", "red", None),
    ("judgments.0.criteria", {"harmless": {"answer": "left"}}, None),
    ("overlap", -1, None),
    ("overlap", 10**30, None),
    ("overlap", "2", None),
    ("gold_since", "now", None),
    ("queue_position", -5, None),
    ("group", 7, None),
    ("columns", [], None),
    ("origins_a", [{"model": 5, "sampling": {}}], None),
    ("origins_a", "gpt", None),
    ("extra", 1, None),
]


@pytest.mark.parametrize(("field", "value", "text"), BAD, ids=[f"{f}={v!r:.20}" for f, v, _ in BAD])
def test_a_row_with_a_field_of_another_kind_is_left_out_and_named(
    raw, tmp_path, field, value, text
):
    """And the study goes on working: pages, figures and every export."""
    folder, _ = raw
    bad, *good = lines(folder)
    target, names_ = bad, field.split(".")
    for name in names_[:-1]:
        target = target[int(name) if name.isdigit() else name]
    target[names_[-1]] = value
    written = json.dumps(bad)
    if text:
        written = written.replace("Infinity", text)
    path = folder / "bad.jsonl"
    path.write_text("".join(f"{line}\n" for line in [written, *map(json.dumps, good)]))
    with Study(tmp_path / "copy.db") as copy:
        added = copy.add(path)
        assert added.comparisons == 2
        assert sum(added.dropped.values()) == 1
        (problem,) = added.problems
        assert "bad.jsonl:1" in problem
        assert names_[-1] in problem
        for form in ("raw", "pairs", "trl", "dataset"):
            copy.export(tmp_path / form, format=form)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"name": 5}},
        {"settings": {"lease_seconds": "5"}},
        {"settings": {"gold_floor": 1e400}},
        {"settings": {"reasons": "abc"}},
        {"settings": {"reasons": [1]}},
        {"settings": {"colour": "red"}},
        {"settings": []},
        {"guidelines": [{"version": 1, "markdown": 5, "created_at": 1}]},
        {"guidelines": [{"version": 1, "markdown": "a", "created_at": float("inf")}]},
        {"annotators": [{"pseudonym": "x", "role": "god", "active": True, "created_at": 1}]},
        {"annotators": [{"pseudonym": "x", "role": "owner", "active": "yes", "created_at": 1}]},
        {"more": 1},
    ],
    ids=str,
)
def test_a_study_json_that_is_none_is_refused_before_anything_is_stored(raw, tmp_path, change):
    folder, _ = raw
    path = folder / "study.json"
    study = json.loads(path.read_text())
    for name, value in change.items():
        mixed = name == "settings" and isinstance(value, dict)
        study[name] = study[name] | value if mixed else value
    path.write_text(json.dumps(study))
    with Study(tmp_path / "copy.db") as copy:
        with pytest.raises(DataError, match=r"study\.json: not the study\.json of a raw export"):
            copy.add(folder / "raw.jsonl")
        with copy.database.read() as db:
            assert db.scalar(select(func.count()).select_from(schema.annotator)) == 0
        assert copy.settings.name == "Which response is better?"


def test_a_zero_byte_in_a_raw_export_is_taken_out(raw, where):
    folder, _ = raw
    rows = lines(folder)
    rows[0]["judgments"][0]["rationale"] = "a\0b"
    rows[0]["columns"] = {"note": "c\0d", "n": 1e308}
    path = folder / "nul.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Study(where()) as copy:
        assert copy.add(path).comparisons == 3
        with copy.database.read() as db:
            assert "ab" in db.scalars(select(schema.judgment.c.rationale)).all()
