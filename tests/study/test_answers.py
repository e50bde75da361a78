"""Votes, undo, edits and resolutions: append-only, idempotent, canonical."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from plaudit.errors import DataError
from plaudit.study import schema
from plaudit.study.answers import Answer, Conflict, edit, recent, resolve, undo, vote
from plaudit.study.assignment import assign
from tests.study import conftest
from tests.study.conftest import fill, judge, person, prefers_good


def key():
    return uuid.uuid4().hex


def rows_of(study):
    with study.database.read() as db:
        return db.execute(select(schema.judgment).order_by(schema.judgment.c.id)).mappings().all()


def test_left_and_right_become_the_same_response_whatever_the_side(study):
    ids = fill(study, 30)
    study.change(overlap=2)
    for who in (person(study), person(study)):
        judge(study, who, prefers_good, 30)
    by_comparison = {i: set() for i in ids}
    for judgment in study.judgments():
        by_comparison[judgment.comparison].add(judgment.answer)
    assert all(len(answers) == 1 for answers in by_comparison.values())
    for comparison, judged in zip(study.comparisons(), by_comparison.values(), strict=True):
        chosen = comparison.response_a if judged == {"a"} else comparison.response_b
        assert "good" in chosen[0].content


def test_a_request_sent_again_is_one_vote(study):
    fill(study, 2)
    who = person(study)
    (item,) = conftest.given(study, who)
    answer = Answer(key=key(), answer="right", strength=2, reasons=("clearer",), rationale="so")
    numbers = {
        study.database.transact(lambda db: vote(db, who, item.token, answer)) for _ in range(3)
    }
    assert len(numbers) == 1
    (row,) = rows_of(study)
    assert (row["strength"], row["reasons"], row["rationale"]) == (2, ["clearer"], "so")


def test_a_second_answer_to_the_same_comparison_is_a_conflict(study):
    fill(study, 1)
    who = person(study)
    (item,) = conftest.given(study, who)
    first, second = Answer(key=key(), answer="left"), Answer(key=key(), answer="right")
    study.database.transact(lambda db: vote(db, who, item.token, first))
    with pytest.raises(Conflict, match="answered already"):
        study.database.transact(lambda db: vote(db, who, item.token, second))
    assert len(rows_of(study)) == 1


def test_one_cannot_answer_for_another(study):
    fill(study, 1)
    (item,) = conftest.given(study, person(study))
    other, answer = person(study), Answer(key=key(), answer="left")
    with pytest.raises(DataError, match="not given to you"):
        study.database.transact(lambda db: vote(db, other, item.token, answer))
    assert rows_of(study) == []


def test_undo_is_a_row_and_brings_the_comparison_back_with_its_sides(study):
    fill(study, 1)
    who = person(study)
    (item,) = conftest.given(study, who)
    judge(study, who, "left")
    again = key()
    for _ in range(2):  # sent twice, taken back once
        token = study.database.transact(lambda db: undo(db, who, again, 60))
    assert token == item.token
    assert conftest.given(study, who) == [item]
    judge(study, who, "right")
    kinds = [(row["answer"], row["supersedes"]) for row in rows_of(study)]
    first, second, third = (row["id"] for row in rows_of(study))
    assert [answer for answer, _ in kinds][1] == "withdrawn"
    assert [earlier for _, earlier in kinds] == [None, first, second]
    assert len(list(study.judgments())) == 1
    assert third
    stranger = person(study)
    assert study.database.transact(lambda db: undo(db, stranger, key(), 60)) is None


def test_ones_last_ten_can_be_edited_by_rows_that_supersede(study):
    fill(study, 12)
    who = person(study)
    numbers = judge(study, who, "left", 12)
    with study.database.read() as db:
        shown = recent(db, who)
    assert [row.number for row in shown] == numbers[::-1][:10]
    assert {row.answer for row in shown} == {"left"}
    changed = Answer(key=key(), answer="tie")
    number = study.database.transact(lambda db: edit(db, who, numbers[-1], changed))
    assert study.database.transact(lambda db: edit(db, who, numbers[-1], changed)) == number
    with pytest.raises(Conflict, match="last ten"):
        study.database.transact(
            lambda db: edit(db, who, numbers[0], Answer(key=key(), answer="tie"))
        )
    with pytest.raises(Conflict, match="latest form"):
        study.database.transact(
            lambda db: edit(db, who, numbers[-1], Answer(key=key(), answer="left"))
        )
    assert sorted(j.answer for j in study.judgments()).count("tie") == 1
    assert len(list(study.judgments())) == 12


def test_an_owner_resolves_and_may_change_their_mind(study):
    fill(study, 1)
    owner = person(study, "owner")
    judge(study, person(study))
    with study.database.read() as db:
        comparison = db.scalar(select(schema.comparison.c.id))
    for answer in ("a", "b"):
        study.database.transact(lambda db, a=answer: resolve(db, owner, comparison, a, key()))
    with pytest.raises(DataError, match="not one of a, b, tie, both_bad"):
        study.database.transact(lambda db: resolve(db, owner, comparison, "left", key()))
    standing = [j for j in study.judgments() if j.annotator == owner.pseudonym]
    assert [j.answer for j in standing] == ["b"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"answer": "first"}, "not one of left, right, tie, both_bad, skip"),
        ({"answer": "left", "strength": 4}, "strength must be 1, 2 or 3"),
        ({"answer": "tie", "strength": 1}, "tie has no strength"),
        ({"answer": "left", "key": "short"}, "8 to 64 characters"),
        ({"answer": "left", "rationale": "x" * 10_001}, "10,000 characters"),
    ],
)
def test_impossible_answers_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        Answer(**{"key": "k" * 32, **values})


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["left", "tie", "skip", "both_bad", "undo", "expire", "edit"]),
    ),
    max_size=30,
)


@given(steps=STEPS)
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_slots_are_always_the_overlap_less_leases_and_votes(tmp_path_factory, steps):
    """Whatever people do, in any order, no slot is lost or made."""
    from plaudit.study import Study
    from tests.study.test_assignment import run_out

    study = Study(
        tmp_path_factory.mktemp("s") / "s.db",
        overlap=2,
        gold_rate=0,
        agreement_share=0,
        retest_rate=0,
    )
    fill(study, 3)
    people = [person(study) for _ in range(3)]
    for who, step in steps:
        me = people[who]
        if step == "undo":
            study.database.transact(lambda db, me=me: undo(db, me, key(), 60))
        elif step == "expire":
            run_out(study)
            study.database.transact(lambda db, me=me: assign(db, me, study.settings, 0))
        elif step == "edit":
            with study.database.read() as db:
                mine = recent(db, me)
            if mine:
                answer = Answer(key=key(), answer="skip" if len(mine) % 2 else "right")
                study.database.transact(
                    lambda db, me=me, n=mine[0].number, a=answer: edit(db, me, n, a)
                )
        else:
            judge(study, me, step)
        check_slots(study)
    study.close()


def check_slots(study):
    a, c = schema.assignment, schema.comparison
    taken = (
        select(func.count())
        .where(a.c.comparison == c.c.id, a.c.state.in_(("leased", "done")))
        .scalar_subquery()
    )
    with study.database.read() as db:
        for slots, used in db.execute(select(c.c.slots, taken)):
            assert slots == 2 - used
        later = schema.judgment.alias()
        j = schema.judgment
        standing = select(j.c.comparison, j.c.annotator).where(
            j.c.answer != "withdrawn",
            ~select(later.c.id).where(later.c.supersedes == j.c.id).exists(),
        )
        pairs = db.execute(standing).all()
    assert len(pairs) == len(set(pairs))
