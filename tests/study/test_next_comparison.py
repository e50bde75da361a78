"""The search of every vote: it misses nothing, and costs the same in every state of the queue."""

import time
import uuid

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import exists, func, select, update

from plaudit.study import Study, schema
from plaudit.study.answers import undo
from plaudit.study.assignment import expire, recount
from plaudit.study.next_comparison import LOOKED_THROUGH
from tests.study.conftest import fill, given, judge, person

C, A = schema.comparison.c, schema.assignment.c


def unseen_and_open(study, who):
    """How many comparisons are open that the person neither holds, has judged nor has skipped."""
    seen = exists().where(A.comparison == C.id, A.annotator == who.id, A.state != "expired")
    query = select(func.count()).select_from(schema.comparison).where(C.slots > 0, ~seen)
    with study.database.read() as db:
        return db.scalar(query)


class Queue(RuleBasedStateMachine):
    """Whatever has happened: whoever asks is given a comparison exactly when there is one."""

    def __init__(self):
        super().__init__()
        self.study = Study(self.where(), gold_rate=0, retest_rate=0, agreement_share=0)
        self.people = [person(self.study) for _ in range(3)]
        self.out = set()
        self.number = 0

    def teardown(self):
        self.study.close()

    @rule(count=st.integers(1, 4), overlap=st.sampled_from([None, 1, 2]))
    def add(self, count, overlap):
        for _ in range(count):
            self.number += 1
            self.study.compare(f"Q{self.number}?", ["yes", "no"], overlap=overlap)

    @rule(who=st.integers(0, 2), answer=st.sampled_from(["left", "tie", "skip"]))
    def answer(self, who, answer):
        if who not in self.out:
            judge(self.study, self.people[who], answer)

    @rule(who=st.integers(0, 2))
    def undo(self, who):
        if who not in self.out:
            self.study.database.transact(
                lambda db: undo(db, self.people[who], uuid.uuid4().hex, lease_seconds=900)
            )

    @rule()
    def leases_run_out(self):
        def work(db):
            db.execute(update(schema.assignment).values(leased_until=0.0))
            expire(db, time.time())

        self.study.database.transact(work)

    @rule(overlap=st.integers(1, 3))
    def change_overlap(self, overlap):
        self.study.change(overlap=overlap)

    @rule(who=st.integers(0, 2), out=st.booleans())
    def take_out(self, who, out):
        n = schema.annotator.c

        def work(db):
            mine = n.id == self.people[who].id
            db.execute(
                update(schema.annotator).where(mine).values(excluded_at=1.0 if out else None)
            )
            judged = select(A.comparison).where(A.annotator == self.people[who].id)
            recount(db, C.id.in_(judged))

        self.study.database.transact(work)
        (self.out.add if out else self.out.discard)(who)

    @invariant()
    def nothing_is_missed(self):
        for who in (who for n, who in enumerate(self.people) if n not in self.out):
            open_ones = unseen_and_open(self.study, who)
            with self.study.database.read() as db:
                mine = A.annotator == who.id, A.state == "leased"
                held = db.scalar(select(func.count()).where(*mine))
            if not held:
                assert bool(given(self.study, who)) == bool(open_ones)


Queue.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, suppress_health_check=list(HealthCheck), deadline=None
)


def test_whoever_asks_is_given_a_comparison_exactly_when_there_is_one(tmp_path):
    class OfThisTest(Queue):
        def where(self):
            return tmp_path / f"{uuid.uuid4().hex}.db"

    OfThisTest.TestCase.settings = Queue.TestCase.settings
    OfThisTest.TestCase("runTest").runTest()


def test_what_is_added_behind_one_who_had_finished_is_found(study):
    fill(study, 6)
    who = person(study)
    assert len(judge(study, who, count=20)) == 6
    study.compare("Later?", ["yes", "no"])
    assert len(judge(study, who, count=20)) == 1


def test_a_raised_overlap_opens_what_others_have_finished(study):
    fill(study, 5)
    first, second = person(study), person(study)
    assert len(judge(study, first, count=9)) == 5
    assert not given(study, second)
    study.change(overlap=2)
    assert not given(study, first)
    assert len(judge(study, second, count=9)) == 5


def test_one_browser_is_one_person(study):
    fill(study, 8)
    study.change(overlap=2)
    first, second, third = (person(study) for _ in range(3))
    same = schema.annotator.c.id.in_((first.id, second.id))
    study.database.transact(
        lambda db: db.execute(update(schema.annotator).where(same).values(device="d" * 64))
    )
    assert len(judge(study, first, count=3)) == 3
    assert len(judge(study, second, count=20)) == 5
    assert len(judge(study, third, count=20)) == 8


def statements(study):
    """{SQL: (executions, steps each, times planned anew)} of the connection that writes."""
    with study.database.write() as db:
        try:
            found = db.exec_driver_sql("SELECT sql, run, nstep, reprep FROM sqlite_stmt").all()
        except Exception:
            pytest.skip("this SQLite was built without the table of its statements")
    return {sql: (run, steps / max(run, 1), planned) for sql, run, steps, planned in found}


@pytest.mark.parametrize("state", ["fresh", "all seen", "all skipped", "many reopened"])
def test_a_vote_costs_the_same_in_every_state_of_the_queue(sqlite_study, state):
    """No statement of a vote looks through the queue, and none is planned anew each time."""
    study, size = sqlite_study, 3 * LOOKED_THROUGH
    fill(study, 30)
    busy, other = person(study), person(study)
    judge(study, other, count=30)
    for number in range(size):
        study.compare(f"More {number}?", ["yes", "no"], overlap=3)
    if state == "all seen":
        judge(study, busy, count=size + 30)
    elif state in ("all skipped", "many reopened"):
        judge(study, busy, "skip", count=size)
    who = other if state == "many reopened" else busy
    given(study, who)
    before = statements(study)
    for _ in range(20):
        judge(study, who)
        given(study, who)
    for sql, (run, steps, planned) in statements(study).items():
        earlier = before.get(sql, (0, 0, 0))
        run_now = run - earlier[0]
        if run_now:
            each = (run * steps - earlier[0] * earlier[1]) / run_now
            assert each < 40 * LOOKED_THROUGH, (each, sql)
            assert planned - earlier[2] <= 1, sql
