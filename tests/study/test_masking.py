"""Privacy of every column, and masked texts in place of clear ones that were there already."""

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from plaudit.errors import UsageError
from plaudit.study import Study, schema
from plaudit.study.answers import undo
from plaudit.study.overview import OverviewUpdater
from tests.study.conftest import given as assigned
from tests.study.conftest import judge, person, prefers_good

MAIL = "jo.doe@example.com"


def personal(count=8, **more):
    return [
        {
            "prompt": f"Question {n}? Write to {MAIL}",
            "response_a": f"good {n} {MAIL}",
            "response_b": f"bad {n}",
            "topic": "x",
            "customer": f"jo{n}@example.com",
            "group": f"jo{n}@example.com",
            **more,
        }
        for n in range(count)
    ]


def stored(study):
    """All that the store holds, as text."""
    with study.database.read() as db:
        return "\n".join(
            repr(row)
            for table in schema.metadata.sorted_tables
            for row in db.execute(select(table))
        )


def test_a_mask_covers_columns_and_keeps_those_that_are_named(study, tmp_path, rows):
    added = study.add(rows(personal()), mask=("pii",), keep=("customer",))
    assert added.columns == {"topic": 8}
    assert added.found["e-mail"] == 8 * 4
    assert "@example.com" not in stored(study)
    judge(study, person(study), count=8)
    for form in ("pairs", "trl", "raw", "csv"):
        study.export(tmp_path / form, format=form)
        for path in (tmp_path / form).iterdir():
            assert "@example.com" not in path.read_text()
    row = json.loads((tmp_path / "pairs" / "train.jsonl").read_text().splitlines()[0])
    assert row["columns"] == {"customer": "[e-mail]"}
    with study.database.read() as db:  # a group that is personal keeps its rows apart
        assert len({*db.scalars(select(schema.comparison.c.group))}) == 8


def test_without_a_mask_columns_stay_and_finds_in_them_are_counted(study, rows):
    added = study.add(rows([{**row, "prompt": "Q", "response_a": "x"} for row in personal(2)]))
    assert (added.found, added.masked, added.columns) == ({"e-mail": 2}, False, {})
    kept = study.add(rows(personal(2)), keep=("topic",))
    assert kept.columns == {"customer": 2}


def test_a_practice_pair_keeps_its_explanation_under_a_mask(study, rows):
    row = {**personal(1)[0], "label": "a", "explanation": f"ask {MAIL}"}
    study.add(rows([row]), mask=("pii",), labels="practice")
    with study.database.read() as db:
        assert db.scalars(select(schema.comparison.c.explanation)).all() == ["ask [e-mail]"]


def test_a_column_to_keep_that_is_not_there_is_an_error(study, rows):
    data = rows([*personal(30), {**personal(1)[0], "late": "x"}])
    with pytest.raises(UsageError, match="--keep topics: .* there are: customer, late, topic"):
        study.add(data, mask=("pii",), keep=("topics",))
    assert study.counts()["comparisons"] == 0
    assert "late" not in study.add(data, mask=("pii",), keep=("topic,late",)).columns


# ------------------------------------------------------------------- masked after clear


@pytest.fixture
def clear(study, rows):
    """Eight comparisons with addresses, half of them judged, one gold."""
    study.change(overlap=2, gold_rate=0)
    study.add(rows(personal(label="a")))
    who = person(study)
    judge(study, who, prefers_good, 3, strength=2)
    judge(study, who, "skip")
    (held,) = assigned(study, who)
    return study, who, held


def test_masking_later_replaces_the_clear_copies(clear, tmp_path, rows):
    study, who, held = clear
    before = study.counts()
    answers = sorted(j.answer for j in study.judgments())
    preferred = winners(study, tmp_path / "before")
    added = study.add(rows(personal(label="a")), mask=("pii",))
    assert added.replaced == 8
    assert study.counts() == before
    assert "@example.com" not in stored(study)
    if study.database.sqlite:
        for suffix in ("", "-wal"):
            path = f"{study.where}{suffix}"
            assert b"@example.com" not in Path(path).read_bytes()
    assert len(list(study.comparisons())) == 8
    assert winners(study, tmp_path / "after") == preferred
    assert len(answers) == len(list(study.judgments()))
    (again,) = assigned(study, who)
    assert (again.token, again.left[0].content[:3]) == (held.token, held.left[0].content[:3])
    assert study.add(rows(personal(label="a")), mask=("pii",)).replaced == 0
    assert study.counts() == before
    judge(study, person(study), prefers_good, 20)
    assert {text[:4] for text in winners(study, tmp_path / "end")} == {"good"}
    OverviewUpdater(study.database).refresh()


def winners(study, folder):
    """The preferred response of each comparison that has one, without its address."""
    study.export(folder, aggregate="majority")
    rows = [json.loads(x) for x in (folder / "train.jsonl").open()]
    best = [
        row["response_a" if row["p"] > 0.5 else "response_b"] for row in rows if row["p"] != 0.5
    ]
    return sorted(each[0]["content"].replace(MAIL, "[e-mail]") for each in best)


def test_an_answer_can_be_taken_back_after_masking(clear, rows):
    study, who, _ = clear
    study.add(rows(personal(label="a")), mask=("pii",))
    before = study.counts()
    undone = study.database.transact(lambda db: undo(db, who, uuid.uuid4().hex, 60))
    assert undone is not None
    assert study.counts()["judgments"] == before["judgments"] - 1
    judge(study, who, prefers_good)
    assert study.counts()["judgments"] == before["judgments"]


def test_clear_columns_of_texts_without_a_find_are_replaced_too(study, rows):
    data = [{**row, "prompt": f"Q{n}", "response_a": "good"} for n, row in enumerate(personal())]
    study.add(rows(data))
    added = study.add(rows(data), mask=("pii",))
    assert (added.replaced, added.comparisons, added.known) == (8, 0, 8)
    assert "@example.com" not in stored(study)


def test_texts_that_others_share_stay(study, rows):
    study.compare(f"Shared {MAIL}", ["one", "two"])
    row = {"prompt": f"Shared {MAIL}", "response_a": "one", "response_b": "three"}
    study.add(rows([row]))
    study.add(rows([row]), mask=("pii",))
    texts = {c.prompt[0].content for c in study.comparisons()}
    assert texts == {f"Shared {MAIL}", "Shared [e-mail]"}


def test_two_clear_comparisons_that_are_one_when_masked(study, tmp_path, rows):
    study.change(overlap=2)
    data = [
        {"prompt": f"Write to {name}@example.com", "response_a": "good", "response_b": "bad"}
        for name in ("jo", "al")
    ]
    study.add(rows(data))
    one, two = person(study), person(study)
    judge(study, one, prefers_good, 2)
    judge(study, two, prefers_good, 1)
    added = study.add(rows(data), mask=("pii",))
    assert added.replaced == 2
    assert added.dropped == {"votes of one person on two comparisons that are one when masked": 1}
    assert study.counts() == {"comparisons": 1, "judgments": 2, "remaining": 0}
    assert study.export(tmp_path / "out").judgments == 2


def test_a_raw_export_after_masking_restores_to_the_same(clear, tmp_path, rows):
    study, *_ = clear
    study.add(rows(personal(label="a")), mask=("pii",))
    first = study.export(tmp_path / "raw", format="raw")
    assert first.files["raw.jsonl"] == 8
    with Study(tmp_path / "copy.db") as copy:
        copy.add(tmp_path / "raw" / "raw.jsonl")
        assert copy.counts()["judgments"] == study.counts()["judgments"]
        assert winners(copy, tmp_path / "b") == winners(study, tmp_path / "a")


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.sampled_from("ab")), max_size=8))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_vote_changes_its_mind_by_masking(tmp_path_factory, votes):
    """Whichever response is called a before and after, the same text wins."""
    folder = tmp_path_factory.mktemp("masks")
    data = folder / "d.jsonl"
    texts = [(f"good {n} x{n}@y.org", f"bad {n}") for n in range(4)]
    rows = [{"prompt": f"Q{n}", "response_a": a, "response_b": b} for n, (a, b) in enumerate(texts)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Study(folder / "s.db", overlap=9, gold_rate=0, agreement_share=0) as study:
        study.add(data)
        people = [person(study) for _ in range(4)]
        for who, good, _ in votes:
            judge(
                study,
                people[who],
                lambda i, g=good: "left" if ("good" in i.left[0].content) == g else "right",
            )
        before = said(study)
        study.add(data, mask=("pii",))
        assert said(study) == before


def said(study):
    """(prompt, annotator, whether the good response won) of every judgment."""
    texts = {c.id: (c.prompt[0].content, c.response_a[0].content) for c in study.comparisons()}
    return sorted(
        (
            texts[j.comparison][0],
            j.annotator,
            (j.answer == "a") == ("good" in texts[j.comparison][1]),
        )
        for j in study.judgments()
    )


# ------------------------------------------------------------------------- names of models


def test_the_studys_own_models_are_masked_by_name_in_any_language(study, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(
        "msg,Bot v1,Orca\n"
        "Hallo?,Ich bin Bot v1 und helfe gern.,Ich bin Orca.\n"
        "Hi?,Orca: sure. An Orca whale is big.,bot-v1 says no\n"
        "Hm?,I am an Alpaca farmer,我是Orca。\n"
    )
    study.compare("Old?", ["x", "y"], models=["Granite-3.1", "m"])
    added = study.add(
        table, columns="prompt=msg,response_a=Bot v1,response_b=Orca", mask=("models",)
    )
    assert added.names == ("Bot v1", "Granite-3.1", "Orca")
    texts = {m[0].content for c in study.comparisons() for m in (c.response_a, c.response_b)}
    assert texts >= {
        "Ich bin [model's name] und helfe gern.",
        "Ich bin [model's name].",
        "[model's name]: sure. An Orca whale is big.",
        "[model's name] says no",
        "I am an Alpaca farmer",
        "我是[model's name]。",
    }
    with study.database.read() as db:  # who wrote what is still known
        assert {"Bot v1", "Orca"} <= {*db.scalars(select(schema.origin.c.model))}


def test_a_name_that_comes_with_a_later_row_is_masked_in_the_first(study, rows):
    data = [
        {"prompt": "Q", "response_a": "Ask Zephyr-7b.", "response_b": "no", "model_a": "m1x"},
        {"prompt": "R", "response_a": "yes", "response_b": "no", "model_a": "zephyr-7b"},
    ]
    study.add(rows(data), mask=("models",))
    assert "Zephyr" not in stored(study).replace("'zephyr-7b'", "")


def test_secure_delete_is_on_where_texts_are_overwritten(sqlite_study, rows):
    sqlite_study.add(rows(personal(3)))
    sqlite_study.add(rows(personal(3)), mask=("pii",))
    with sqlite_study.database.glance() as db:
        assert db.scalar(text("PRAGMA integrity_check")) == "ok"
