"""Votes, undo, edits and resolutions: append-only, idempotent, canonical."""

import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from plaudit.config import StudySettings
from plaudit.errors import DataError
from plaudit.study import schema
from plaudit.study.answers import (
    Answer,
    Conflict,
    edit,
    recent,
    resolve,
    taken_back,
    undo,
    vote,
)
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


def vote_on(study, who, **details):
    """Answers what the person holds first; returns the token and the judgment's number."""
    (item,) = conftest.given(study, who)
    answer = Answer(**{"key": key(), "answer": "left", **details})
    return item.token, study.database.transact(lambda db: vote(db, who, item.token, answer))


def test_a_key_is_a_persons_own(study, rows):
    """Nobody can take or learn of a key of another person, or of an import."""
    fill(study, 6)
    same, (first, second) = key(), (person(study), person(study))
    for who in (first, second):
        vote_on(study, who, key=same)
    labelled = {"prompt": "P", "response_a": "yes", "response_b": "no", "label": "a"}
    study.add(rows([labelled]))
    imported = rows_of(study)[-1]["key"]
    study.add(rows([{**labelled, "prompt": "another"}]))
    taken = [row["key"] for row in rows_of(study) if row["kind"] == "imported"]
    assert imported in taken
    for known in taken:
        assert vote_on(study, first, key=known)[1]  # is an answer of its own
    assert len({row["key"] for row in rows_of(study)}) == len(rows_of(study))


def test_a_key_of_before_keys_were_a_persons_own_is_still_known(study):
    fill(study, 1)
    who, old = person(study), key()
    (item,) = conftest.given(study, who)
    judge(study, who)
    (row,) = rows_of(study)
    j = schema.judgment
    fields = {name: row[name] for name in ("comparison", "annotator", "assignment", "kind", "left")}
    again = {**fields, "key": old, "answer": "a", "supersedes": row["id"]}
    number = study.database.transact(
        lambda db: db.execute(j.insert().values(**again).returning(j.c.id)).scalar_one()
    )
    answer = Answer(key=old, answer="left")
    assert study.database.transact(lambda db: vote(db, who, item.token, answer)) == number


def test_one_key_for_two_comparisons_loses_no_answer(study):
    fill(study, 2)
    who, same = person(study), key()
    vote_on(study, who, key=same)
    with pytest.raises(Conflict, match="another comparison"):
        vote_on(study, who, key=same)
    vote_on(study, who)
    assert len(list(study.judgments())) == 2


def test_times_are_no_longer_than_the_comparison_has_been_out(study):
    fill(study, 2)
    who = person(study)
    vote_on(study, who, active_ms=4000, wall_ms=9000, first_input_ms=3000)
    conftest.given(study, who)
    conftest.issued_earlier(study, who, 10)
    vote_on(study, who, active_ms=4000, wall_ms=3500, first_input_ms=100)
    quick, slow = rows_of(study)
    assert max(quick["active_ms"], quick["wall_ms"], quick["first_input_ms"]) < 3000
    assert (slow["active_ms"], slow["wall_ms"], slow["first_input_ms"]) == (3500, 3500, 100)


def test_an_answer_has_at_most_fifty_versions_and_is_never_lost_in_between(study):
    fill(study, 1)
    who = person(study)
    judge(study, who)
    for _ in range(24):
        study.database.transact(lambda db: undo(db, who, key(), 60))
        judge(study, who, "right")
    with pytest.raises(Conflict, match="at most 50 times"):
        study.database.transact(lambda db: undo(db, who, key(), 60))
    with study.database.read() as db:
        (mine,) = recent(db, who)
    with pytest.raises(Conflict, match="at most 50 times"):
        study.database.transact(
            lambda db: edit(db, who, mine.number, Answer(key=key(), answer="tie"))
        )
    assert len(rows_of(study)) == 49
    assert len(list(study.judgments())) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reasons": ("x" * 61,)}, "at most 60 characters; found 61"),
        ({"criteria": {"funny": "left"}}, "no criterion 'funny'; this study asks: helpful"),
    ],
)
def test_what_the_study_does_not_ask_is_refused(values, message):
    asked = StudySettings(criteria=("helpful",), reasons=("y" * 100,))
    fits = Answer(key=key(), answer="left", reasons=("y" * 100,), criteria={"helpful": "tie"})
    assert fits.check(asked) is fits
    with pytest.raises(DataError, match=message):
        Answer(**{"key": key(), "answer": "left", **values}).check(asked)


def test_criteria_are_stored_by_response_and_shown_by_side(study):
    fill(study, 12)
    study.change(criteria=("helpful", "harmless"))
    who = person(study)
    good = []
    for _ in range(12):
        (item,) = conftest.given(study, who)
        said = {"helpful": prefers_good(item), "harmless": "tie"}
        good.append(prefers_good(item))
        vote_on(study, who, criteria=said)
    with study.database.read() as db:
        shown = recent(db, who)
    assert [mine.criteria["helpful"] for mine in shown] == good[::-1][:10]
    for comparison, row in zip(study.comparisons(), rows_of(study), strict=True):
        assert row["criteria"]["harmless"] == {"answer": "tie"}
        chosen = row["criteria"]["helpful"]["answer"]
        with study.database.read() as db:
            pair = study_pair(db, row["comparison"])
        assert pair[chosen].startswith("good"), comparison


def study_pair(db, comparison):
    c = schema.comparison_text.c
    row = db.execute(select(c.a_messages, c.b_messages).where(c.id == comparison)).one()
    return {"a": row.a_messages[0]["content"], "b": row.b_messages[0]["content"]}


def test_what_is_taken_back_can_be_shown_again(study):
    fill(study, 1)
    who = person(study)
    said = {"strength": 2, "reasons": ("clearer",), "rationale": "A is", "report": "odd"}
    token, _ = vote_on(study, who, **said)
    study.database.transact(lambda db: undo(db, who, key(), 60))
    with study.database.read() as db:
        back = taken_back(db, token)
    assert (back.answer, back.strength, back.reasons) == ("left", 2, ["clearer"])
    assert (back.rationale, back.report, back.version) == ("A is", "odd", 2)
