"""Who is asked what: overlap, leases, sides, gold and retests."""

import threading
import time
import uuid
from collections import Counter

import pytest
from scipy.stats import binomtest
from sqlalchemy import func, select, update

from plaudit.study import schema
from plaudit.study.answers import Answer, vote
from tests.study.conftest import fill, given, judge, person


def run_out(study):
    """Every lease ends."""
    a = schema.assignment
    study.database.transact(lambda db: db.execute(update(a).values(leased_until=time.time() - 1)))


def test_asking_again_gives_the_same_with_the_same_sides(study):
    fill(study)
    who = person(study)
    first = given(study, who, 3)
    assert len({item.token for item in first}) == 3
    assert given(study, who, 3) == first


def test_the_overlap_is_a_limit_and_everyone_is_asked_once(study):
    fill(study, 5)
    study.change(overlap=2)
    people = [person(study) for _ in range(4)]
    for who in people:
        judge(study, who, count=9)
    votes = Counter(judgment.comparison for judgment in study.judgments())
    assert set(votes.values()) == {2}
    pairs = [(j.comparison, j.annotator) for j in study.judgments()]
    assert len(pairs) == len(set(pairs)) == 10
    assert study.counts()["remaining"] == 0


def test_many_at_once_never_hold_a_slot_twice(study):
    """Twelve threads judge everything; no comparison gets more votes than asked for."""
    fill(study, 40)
    study.change(overlap=2)
    people = [person(study) for _ in range(12)]
    errors = []

    def work(who):
        try:
            judge(study, who, count=60)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for who in people:  # a thread stops at a slot that another one holds at that moment
        judge(study, who, count=60)
    votes = Counter(judgment.comparison for judgment in study.judgments())
    assert len(votes) == 40
    assert set(votes.values()) == {2}


def test_a_lease_that_runs_out_comes_back_to_others(study):
    fill(study, 1)
    first, second = person(study), person(study)
    (held,) = given(study, first)
    assert given(study, second) == []
    run_out(study)
    (again,) = given(study, second)
    assert {held.left, held.right} == {again.left, again.right}


def test_a_late_vote_is_kept_marked_and_may_exceed_the_overlap(study):
    fill(study, 1)
    first, second = person(study), person(study)
    (held,) = given(study, first)
    run_out(study)
    judge(study, second)
    late = Answer(key=uuid.uuid4().hex, answer="left")
    study.database.transact(lambda db: vote(db, first, held.token, late))
    with study.database.read() as db:
        marks = db.scalars(select(schema.judgment.c.late).order_by(schema.judgment.c.id)).all()
        slots = db.scalar(select(schema.comparison.c.slots))
    assert (marks, slots) == ([False, True], -1)


def test_a_renewed_lease_does_not_run_out(study):
    fill(study, 2)
    who = person(study)
    given(study, who, 2)
    a = schema.assignment
    soon = update(a).values(leased_until=time.time() + 1)
    study.database.transact(lambda db: db.execute(soon))
    given(study, who, 2)
    with study.database.read() as db:
        assert db.scalar(select(func.min(a.c.leased_until))) > time.time() + 100


def test_skipped_comparisons_go_to_someone_else(study):
    fill(study, 3)
    first, second = person(study), person(study)
    judge(study, first, "skip", 5)
    assert given(study, first) == []
    assert len(judge(study, second, count=5)) == 3


def test_a_side_is_a_fair_coin_and_recorded(study):
    fill(study, 300)
    judge(study, person(study), count=300)
    with study.database.read() as db:
        sides = Counter(db.scalars(select(schema.judgment.c.left)))
        answers = Counter(db.scalars(select(schema.judgment.c.answer)))
    assert sides == answers  # always left: the answer is the response that stood there
    assert binomtest(sides["a"], 300).pvalue > 1e-4


def test_rows_added_later_are_found_by_who_had_finished(study):
    fill(study, 3)
    who = person(study)
    assert len(judge(study, who, count=9)) == 3
    study.compare("One more?", ["yes", "no"], in_order=True)
    assert len(judge(study, who, count=9)) == 1


def test_questions_in_order_come_first(study):
    fill(study, 4)
    study.compare("First?", ["yes", "no"], in_order=True)
    (item,) = given(study, person(study))
    assert item.prompt[0].content == "First?"


def test_gold_is_mixed_in_at_its_rate_and_takes_no_slot(study, rows):
    fill(study, 200)
    gold = [
        {"prompt": f"Gold {n}", "response_a": "yes", "response_b": "no", "label": "a"}
        for n in range(60)
    ]
    study.add(rows(gold), labels="gold")
    study.change(gold_rate=0.2)
    who = person(study)
    judge(study, who, count=120)
    with study.database.read() as db:
        c, j = schema.comparison, schema.judgment
        query = select(func.count()).select_from(j).join(c, c.c.id == j.c.comparison)
        seen = db.scalar(query.where(c.c.gold.is_not(None)))
    assert binomtest(seen, 120, 0.2).pvalue > 1e-4
    assert study.counts()["remaining"] == 200 - (120 - seen)


@pytest.mark.parametrize("count", [40])
def test_retests_swap_the_sides_of_ones_own_votes(study, count):
    fill(study, count)
    study.change(retest_rate=0.5, retest_after=5)
    who = person(study)
    judge(study, who, "left", 2 * count)
    with study.database.read() as db:
        j = schema.judgment
        found = db.execute(select(j.c.comparison, j.c.kind, j.c.left, j.c.answer)).all()
    votes = {row.comparison: row for row in found if row.kind == "vote"}
    retests = [row for row in found if row.kind == "retest"]
    assert len(votes) == count
    assert len(retests) > 5
    assert len({row.comparison for row in retests}) == len(retests)
    for row in retests:
        assert row.left != votes[row.comparison].left
        assert row.answer != votes[row.comparison].answer  # always left: never the same response


def test_lapsed_leases_of_every_kind_come_back_together_and_in_order(study, rows):
    """Gold is not told by what returns when a person has let everything run out."""
    fill(study, 30)
    gold = {"response_a": "yes", "response_b": "no", "label": "a"}
    study.add(rows([{"prompt": f"Gold {n}", **gold} for n in range(30)]), labels="gold")
    study.change(gold_rate=0.5)
    who, other = person(study), person(study)
    for _ in range(8):
        held = [item.token for item in given(study, who, 3)]
        run_out(study)
        given(study, other, 0)  # another person's request finds them lapsed
        assert [item.token for item in given(study, who, 3)] == held
        judge(study, who)


def test_gold_never_comes_back_alone(study, rows):
    fill(study, 2)
    gold = {"response_a": "yes", "response_b": "no", "label": "a"}
    study.add(rows([{"prompt": f"Gold {n}", **gold} for n in range(9)]), labels="gold")
    study.change(gold_rate=0.5)
    first, second = person(study), person(study)
    while (
        len(held := given(study, first, 3)) < 3
        or len({"Gold" in item.prompt[0].content for item in held}) == 1
    ):
        first = person(study)
        run_out(study)
    run_out(study)
    study.change(gold_rate=0)
    while judge(study, second):  # takes all that is open
        pass
    assert given(study, first, 3) == []


def test_what_was_withdrawn_is_held_no_longer(study):
    fill(study, 4)
    who = person(study)
    held = given(study, who, 3)
    c, a = schema.comparison, schema.assignment
    gone = select(a.c.comparison).where(a.c.token == held[0].token).scalar_subquery()
    study.database.transact(
        lambda db: db.execute(update(c).where(c.c.id == gone).values(withdrawn_at=1.0, slots=0))
    )
    now = given(study, who, 3)
    assert [item.token for item in now[:2]] == [item.token for item in held[1:]]
    assert len(now) == 3
