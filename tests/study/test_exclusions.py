"""Who and what is taken out: of the view, the table, exports, counts and agreement alike."""

import json
import time
import uuid

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from plaudit.errors import DataError, UsageError
from plaudit.study import Study, schema
from plaudit.study.answers import Answer, edit, undo
from plaudit.study.judgment_table import JudgmentTable
from plaudit.study.overview import OverviewUpdater
from tests.study.conftest import fill, judge, person, prefers_good


def take_out(study, who, at=1.0):
    a = schema.annotator
    with study.database.write() as db:
        db.execute(update(a).where(a.c.id == who.id).values(excluded_at=at))


def mark(study, number, **values):
    c = schema.comparison
    with study.database.write() as db:
        ids = db.scalars(select(c.c.id).order_by(c.c.id)).all()
        db.execute(update(c).where(c.c.id == ids[number]).values(**values))


def share_device(study, *people):
    a = schema.annotator
    with study.database.write() as db:
        ids = [who.id for who in people]
        db.execute(update(a).where(a.c.id.in_(ids)).values(device="one browser"))


@given(
    answers=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["left", "tie", "skip", "undo", "edit"])),
        max_size=15,
    ),
    excluded=st.sets(st.integers(0, 2)),
    out=st.dictionaries(st.integers(0, 3), st.sampled_from(["withdrawn_at", "explanation"])),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_table_and_the_view_agree(tmp_path_factory, answers, excluded, out):
    folder = tmp_path_factory.mktemp("out")
    with Study(folder / "s.db", overlap=3, gold_rate=0, agreement_share=0) as study:
        fill(study, 4)
        people = [person(study) for _ in range(3)]
        table = JudgmentTable()
        last = {}
        for who, answer in answers:
            if answer == "undo":
                study.database.transact(lambda db, p=people[who]: undo(db, p, uuid.uuid4().hex, 60))
                last.pop(who, None)
            elif answer == "edit" and who in last:
                said = Answer(key=uuid.uuid4().hex, answer="tie")
                last[who] = study.database.transact(
                    lambda db, p=people[who], n=last[who], s=said: edit(db, p, n, s)
                )
            elif answer != "edit" and (numbers := judge(study, people[who], answer)):
                (last[who],) = numbers
        with study.database.read() as db:
            table.refresh(db)
        for who in excluded:
            take_out(study, people[who])
        for number, column in out.items():
            mark(study, number, **{column: 1.0 if column == "withdrawn_at" else "because"})
        with study.database.read() as db:
            table.refresh(db)
            standing = [*db.scalars(select(schema.standing.c.id))]
        assert sorted(table.rows["id"][table.stands].tolist()) == sorted(standing)
        counted = study.counts()["judgments"]
        assert counted == len(list(study.judgments())) == len(standing)
        rows = judgments(study, folder / "csv", "csv")
        assert rows == counted
        votes = [j for j in study.judgments() if j.answer in ("a", "b", "tie")]
        assert judgments(study, folder / "pairs", "pairs") == len(votes)


def judgments(study, folder, form):
    """How many judgments an export rests on."""
    try:
        return study.export(folder, format=form).judgments
    except DataError:
        return 0


@pytest.fixture
def two(study):
    """Four comparisons, judged alike by two people."""
    study.change(overlap=2)
    fill(study, 4)
    people = person(study), person(study)
    for who in people:
        judge(study, who, prefers_good, 4)
    return study, *people


def test_an_annotator_taken_out_is_in_no_figure_and_comes_back(two, tmp_path):
    study, one, other = two
    watch = OverviewUpdater(study.database)
    assert watch.refresh().agreement is not None
    take_out(study, other)
    assert watch.refresh().agreement is None
    assert study.counts()["judgments"] == 4
    assert {j.annotator for j in study.judgments()} == {one.pseudonym}
    for form in ("pairs", "trl", "dataset", "csv"):
        done = study.export(tmp_path / form, format=form)
        assert (form, done.judgments) == (form, 4)
        assert done.models.judgments == 4
    again = study.export(tmp_path / "again", excluded=(other.pseudonym,))
    assert again.judgments == again.models.judgments == 8
    with pytest.raises(UsageError, match=f"--excluded {one.pseudonym}: no annotator who was taken"):
        study.export(tmp_path / "x", excluded=(one.pseudonym,))
    with pytest.raises(UsageError, match="add --excluded with the same names"):
        study.export(tmp_path / "x", only=(other.pseudonym,))
    study.export(tmp_path / "raw", format="raw")
    rows = [json.loads(x) for x in (tmp_path / "raw" / "raw.jsonl").open()]
    said = [j for row in rows for j in row["judgments"]]
    assert [j.get("excluded", False) for j in said].count(True) == 4
    assert all(j.get("excluded") == (j["annotator"] == other.pseudonym or None) for j in said)
    take_out(study, other, None)
    assert watch.refresh().agreement.votes == 8
    assert study.export(tmp_path / "back").judgments == 8


def test_withdrawn_and_practice_comparisons_are_left_out_and_counted(two, tmp_path):
    study, *_ = two
    mark(study, 0, withdrawn_at=time.time())
    mark(study, 1, explanation="because", gold="a")
    for form in ("pairs", "csv"):
        done = study.export(tmp_path / form, format=form)
        assert done.dropped == {"withdrawn": 1, "for practice": 1}
        assert done.judgments == 4
    study.export(tmp_path / "raw", format="raw")
    rows = [json.loads(x) for x in (tmp_path / "raw" / "raw.jsonl").open()]
    assert sum(row["withdrawn_at"] is not None for row in rows) == 1
    assert sum(row["explanation"] == "because" for row in rows) == 1


def test_two_votes_of_one_browser_are_one_and_no_agreement(two, tmp_path):
    study, one, other = two
    share_device(study, one, other)
    assert OverviewUpdater(study.database).refresh().agreement is None
    done = study.export(tmp_path / "out")
    assert done.judgments == 4
    assert done.dropped == {"later votes of one browser on one comparison": 4}
    third = person(study)
    study.change(overlap=3)
    judge(study, third, prefers_good, 4)
    assert OverviewUpdater(study.database).refresh().agreement.votes == 8
    table = JudgmentTable()
    with study.database.read() as db:
        table.refresh(db)
    kept = table.rows[table.one_per_person(table.stands)]
    assert other.id not in kept["annotator"]  # whose votes came later
    assert np.isin([one.id, third.id], kept["annotator"]).all()


# ----------------------------------------------------------------------- the random sample


def test_a_random_tenth_is_asked_of_three(where, tmp_path, rows):
    with Study(where(), gold_rate=0, retest_rate=0) as study:
        data = [{"prompt": f"Q{n}", "responses": ["good", "bad"]} for n in range(400)]
        added = study.add(rows(data))
        c = schema.comparison.c
        with study.database.read() as db:
            found = db.execute(select(c.hash, c.agreement, c.overlap, c.slots)).all()
        drawn = [row for row in found if row.agreement]
        assert 20 <= len(drawn) == added.drawn <= 65  # 40 expected; six standard deviations
        assert {(row.overlap, row.slots) for row in drawn} == {(3, 3)}
        assert {(row.overlap, row.slots) for row in found if not row.agreement} == {(1, 1)}
        assert study.add(rows(data)).drawn == 0
        study.change(agreement_share=0.5, agreement_overlap=5)
        with study.database.read() as db:  # what was added keeps its own
            again = db.execute(select(c.hash, c.agreement, c.overlap, c.slots)).all()
        assert sorted(again) == sorted(found)
        with Study(where(), gold_rate=0) as other:  # drawn by another secret
            other.add(rows(data))
            with other.database.read() as db:
                assert {*db.scalars(select(c.hash).where(c.agreement))} != {r.hash for r in drawn}


def test_an_overlap_given_by_hand_and_one_that_is_enough_draw_nothing(where, rows):
    data = rows([{"prompt": f"Q{n}", "responses": ["good", "bad"]} for n in range(60)])
    with Study(where()) as study:
        assert study.add(data, overlap=2).drawn == 0
    with Study(where(), overlap=3) as study:
        assert study.add(data).drawn == 0


def test_agreement_rests_on_the_sample_and_says_so(study):
    study.change(agreement_share=0.5)
    fill(study, 40)
    people = [person(study) for _ in range(3)]
    for who in people:
        judge(study, who, prefers_good, 40)
    c = schema.comparison.c
    with study.database.read() as db:
        drawn = len(db.scalars(select(c.id).where(c.agreement)).all())
    found = OverviewUpdater(study.database).refresh()
    assert found.agreement.alpha_nominal.n == drawn
    assert found.agreement_basis == f"Agreement based on {drawn} comparisons drawn at random."
    with study.database.write() as db:  # asked again for a reason: no part of the sample
        others = db.scalars(select(c.id).where(~c.agreement)).all()[:5]
        db.execute(update(schema.comparison).where(c.id.in_(others)).values(overlap=3, slots=2))
    for who in people:
        judge(study, who, "tie", 40)
    assert OverviewUpdater(study.database).refresh().agreement.alpha_nominal.n == drawn
