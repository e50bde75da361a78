"""Taking out, stopping and deactivating people, and what becomes of their judgments and slots."""

import threading
import uuid

import pytest
from sqlalchemy import select

from plaudit.errors import DataError
from plaudit.study import Study, people, schema
from plaudit.study.accounts import Newcomer, invite, join
from plaudit.study.answers import Answer, vote
from plaudit.study.overview import OverviewUpdater
from plaudit.study.owners import owners
from tests.study.conftest import fill, given, judge, person, prefers_good

A, C = schema.annotator.c, schema.comparison.c


def do(study, work, *arguments):
    return study.database.transact(lambda db: work(db, *arguments))


def of(study, who):
    with study.database.read() as db:
        return db.execute(select(schema.annotator).where(A.id == who.id)).mappings().one()


def slots(study):
    with study.database.read() as db:
        return [*db.scalars(select(C.slots).order_by(C.id))]


def test_a_person_taken_out_is_in_no_figure_and_others_are_asked(study):
    fill(study, 6)
    bad, good, owner = person(study), person(study), person(study, "owner")
    judge(study, bad, "left", 4)
    given(study, bad, 2)
    assert slots(study) == [0] * 6
    do(study, people.take_out, bad.id, owner)
    assert slots(study) == [1] * 6
    assert study.counts() == {"comparisons": 6, "judgments": 0, "remaining": 6}
    assert len(judge(study, good, prefers_good, 6)) == 6
    do(study, people.take_back, bad.id, owner)
    assert study.counts()["judgments"] == 10
    assert sorted(slots(study)) == [-1] * 4 + [0] * 2
    with study.database.read() as db:
        verbs = [*db.scalars(select(schema.audit.c.verb).order_by(schema.audit.c.id))]
    assert verbs[-2:] == ["take out", "take back"]


def test_who_was_taken_out_can_do_nothing_even_with_a_comparison_on_the_screen(study):
    fill(study, 2)
    who, owner = person(study), person(study, "owner")
    (item,) = given(study, who)
    do(study, people.take_out, who.id, owner)
    answer = Answer(key=uuid.uuid4().hex, answer="left")
    with pytest.raises(DataError, match="has ended your work here"):
        do(study, lambda db: vote(db, who, item.token, answer))
    assert slots(study) == [1, 1]
    with pytest.raises(DataError, match="was taken out of the study; take that back first"):
        do(study, people.change_active, who.id, True, owner)


def test_nobody_removes_themselves_or_who_is_not_there(study):
    owner = person(study, "owner")
    for work in (people.take_out, people.take_back, people.resume):
        with pytest.raises(DataError, match="this is you; another owner can do that"):
            do(study, work, owner.id, owner)
        with pytest.raises(DataError, match="no annotator 999"):
            do(study, work, 999, owner)
    with pytest.raises(DataError, match="this is you"):
        do(study, people.change_active, owner.id, False, owner)


@pytest.mark.parametrize("how", ["take_out", "change_active"])
def test_the_last_two_owners_cannot_remove_each_other(where, how):
    with Study(where(), gold_rate=0, retest_rate=0) as study:
        pair = [person(study, "owner") for _ in range(2)]
        barrier, failed = threading.Barrier(2), []

        def remove(me, other):
            barrier.wait()
            try:
                if how == "take_out":
                    do(study, people.take_out, other.id, me)
                else:
                    do(study, people.change_active, other.id, False, me)
            except DataError as error:
                failed.append(str(error))

        threads = [threading.Thread(target=remove, args=two) for two in (pair, pair[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with study.database.read() as db:
            assert owners(db) == 1
        assert len(failed) == 1
        assert "the last owner cannot be" in failed[0]


def test_people_have_their_platform_and_the_stopped_come_first(study):
    one, two = person(study), person(study)
    token = study.database.transact(
        lambda db: invite(db, "annotator", "test", platform="PROLIFIC_PID")
    )
    new = Newcomer(name="Jo", external_id="abc")
    named = study.database.transact(lambda db: join(db, token, new))[0]
    do(study, people.stop, {two.id: "too fast"})
    with study.database.read() as db:
        found = people.people(db)
    assert [row["pseudonym"] for row in found] == [two.pseudonym, one.pseudonym, named.pseudonym]
    of = found[-1]
    assert (of["name"], of["platform"], of["external_id"]) == ("Jo", "PROLIFIC_PID", "abc")


# ----------------------------------------------------------------------------- by a rule


def gold_study(study, rows, floor=0.7, rules=("gold",)):
    study.change(gold_rate=0.5, gold_floor=floor, stop_rules=rules)
    fill(study, 60)
    gold = [
        {"prompt": f"Gold {n}", "response_a": "good", "response_b": "bad", "label": "a"}
        for n in range(40)
    ]
    study.add(rows(gold), labels="gold")


def wrong(item):
    return "right" if prefers_good(item) == "left" else "left"


def test_who_fails_gold_is_stopped_with_the_reason_and_an_owner_is_not(sqlite_study, rows):
    study = sqlite_study
    gold_study(study, rows)
    bad, good, owner = person(study), person(study), person(study, "owner")
    for who, choose in ((bad, wrong), (good, prefers_good), (owner, wrong)):
        judge(study, who, choose, 30)
    given(study, bad, 3)
    OverviewUpdater(study.database).refresh()
    assert of(study, bad)["stopped_at"] is not None
    assert "gold accuracy 0 %" in of(study, bad)["stop_reason"]
    assert "below 70 %" in of(study, bad)["stop_reason"]
    assert of(study, good)["stopped_at"] is None
    assert of(study, owner)["stopped_at"] is None
    with study.database.read() as db:
        a = schema.assignment.c
        assert not db.scalars(select(a.id).where(a.annotator == bad.id, a.state == "leased")).all()
        (stopped,) = people.stopped(db)
        line = db.execute(select(schema.audit).order_by(schema.audit.c.id.desc())).first()
    assert stopped["pseudonym"] == bad.pseudonym
    assert (line.actor, line.verb, line.details["annotator"]) == ("rule", "stop", bad.pseudonym)


def test_no_rule_no_stop_and_few_judgments_are_not_enough(sqlite_study, rows):
    study = sqlite_study
    gold_study(study, rows, rules=())
    bad = person(study)
    judge(study, bad, wrong, 60)
    OverviewUpdater(study.database).refresh()
    assert of(study, bad)["stopped_at"] is None
    study.change(stop_rules=("gold",))
    with study.database.write() as db:  # more than the fewest that count
        j = schema.judgment.c
        tests = db.scalars(
            select(j.id).join(schema.comparison, C.id == j.comparison).where(C.gold.is_not(None))
        ).all()
        assert len(tests) > 10
    OverviewUpdater(study.database).refresh()
    assert of(study, bad)["stopped_at"] is not None
    new = person(study)
    judge(study, new, wrong, 5)
    OverviewUpdater(study.database).refresh()
    assert of(study, new)["stopped_at"] is None


def test_who_reads_faster_than_anyone_is_stopped_and_resumes_with_a_clean_slate(study):
    for number in range(40):
        study.compare(
            f"Q{number}", [f"good {number} " + "word " * 200, f"b {number} " + "w " * 180]
        )
    study.change(stop_rules=("fast",))
    fast, owner = person(study), person(study, "owner")
    judge(study, fast, prefers_good, 12, active_ms=300)
    updater = OverviewUpdater(study.database)
    updater.refresh()
    assert of(study, fast)["stop_reason"] == "faster than reading speed in 12 of 12 judgments"
    do(study, people.resume, fast.id, owner)
    updater.refresh()
    assert (of(study, fast)["stopped_at"], of(study, fast)["stop_reason"]) == (None, "")
    judge(study, fast, prefers_good, 9, active_ms=300)
    updater.refresh()
    assert of(study, fast)["stopped_at"] is None
    judge(study, fast, prefers_good, 3, active_ms=300)
    updater.refresh()
    assert of(study, fast)["stop_reason"] == "faster than reading speed in 12 of 12 judgments"


def test_a_stop_comes_once_and_not_to_who_was_taken_out(study):
    who, gone, owner = person(study), person(study), person(study, "owner")
    do(study, people.take_out, gone.id, owner)
    reasons = {who.id: "why", gone.id: "why"}
    assert do(study, people.stop, reasons) == [who.pseudonym]
    assert do(study, people.stop, reasons) == []
    do(study, people.take_out, who.id, owner)
    assert of(study, who)["stopped_at"] is None
    with study.database.read() as db:
        details = db.scalars(select(schema.audit.c.details).order_by(schema.audit.c.id)).all()[-1]
    assert details == {"annotator": who.pseudonym, "reason": "why"}


def test_deactivating_still_ends_sessions_and_leases(study):
    fill(study, 2)
    who, owner = person(study), person(study, "owner")
    given(study, who, 2)
    do(study, people.change_active, who.id, False, owner)
    assert not of(study, who)["active"]
    assert len(judge(study, person(study), "left", 2)) == 2
    do(study, people.change_active, who.id, True, owner)
    assert of(study, who)["active"]
