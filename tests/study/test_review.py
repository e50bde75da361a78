"""What owners decide about comparisons: withdraw, edit, gold, and the queue of problems."""

import threading
import uuid

import pytest
from sqlalchemy import func, select, update

from plaudit.errors import DataError
from plaudit.study import Study, review, schema
from plaudit.study.answers import Answer, resolve, undo, vote
from tests.study.conftest import fill, given, judge, person, prefers_good

C = schema.comparison.c


def do(study, work, *arguments):
    return study.database.transact(lambda db: work(db, *arguments))


def read(study, work, *arguments):
    with study.database.read() as db:
        return work(db, *arguments)


def row(study, number):
    with study.database.read() as db:
        return db.execute(select(schema.comparison).where(C.id == number)).mappings().one()


def numbers(study):
    with study.database.read() as db:
        return [*db.scalars(select(C.id).order_by(C.id))]


def skip(study, who, **details):
    (number,) = judge(study, who, "skip", 1, **details)
    with study.database.read() as db:
        j = schema.judgment.c
        return db.scalar(select(j.comparison).where(j.id == number))


# ------------------------------------------------------------------- withdraw and reopen


def test_a_withdrawn_comparison_is_in_no_figure_and_asked_no_more_until_it_is_reopened(study):
    fill(study, 3, overlap=2)
    who, other = person(study), person(study)
    judge(study, who, prefers_good, 3)
    first = numbers(study)[0]
    do(study, review.withdraw, first, "owner")
    do(study, review.withdraw, first, "owner")  # twice is once
    assert study.counts() == {"comparisons": 2, "judgments": 2, "remaining": 2}
    assert len(judge(study, other, prefers_good, 3)) == 2
    do(study, review.reopen, first, "owner")
    assert study.counts() == {"comparisons": 3, "judgments": 5, "remaining": 1}
    assert len(judge(study, other, prefers_good, 3)) == 1
    with pytest.raises(DataError, match="no comparison 999"):
        do(study, review.withdraw, 999, "owner")


def test_an_answer_to_what_was_withdrawn_meanwhile_is_kept_and_takes_no_slot(study):
    """On somebody's screen at that moment: stored, in no figure, and right after a reopening."""
    fill(study, 1, overlap=2)
    who = person(study)
    (item,) = given(study, who)
    (number,) = numbers(study)
    do(study, review.withdraw, number, "owner")
    answer = Answer(key=uuid.uuid4().hex, answer="left")
    do(study, lambda db: vote(db, who, item.token, answer))
    assert (study.counts()["judgments"], row(study, number)["slots"]) == (0, 0)
    do(study, lambda db: undo(db, who, uuid.uuid4().hex, 60))
    assert row(study, number)["slots"] == 0
    do(study, review.reopen, number, "owner")
    assert row(study, number)["slots"] == 1  # the undo holds one
    assert study.counts()["remaining"] == 2


# ------------------------------------------------------------------- a new version


def texts(study, number):
    card = read(study, review.card, number)
    return {name: [m.text for m in card[name]] for name in review.SIDES}


def test_an_edit_withdraws_the_version_before_and_asks_the_new_one_anew(study):
    fill(study, 2, columns={"topic": "billing"}, overlap=2)
    judge(study, person(study), prefers_good, 2)
    old = numbers(study)[0]
    before = texts(study, old)
    new = do(study, review.edit, old, {**before, "prompt": ["Better question?"]}, "owner")
    after = row(study, new)
    assert texts(study, new)["prompt"] == ["Better question?"]
    sides = texts(study, new)
    assert sorted(sides["a"] + sides["b"]) == sorted(before["a"] + before["b"])
    assert (after["replaces"], after["slots"], after["columns"]) == (old, 2, {"topic": "billing"})
    assert row(study, old)["withdrawn_at"] is not None
    assert read(study, review.card, old)["replaced_by"] == new
    assert study.counts()["judgments"] == 1
    known = read(study, review.models, new)
    assert sorted(known["a"] + known["b"]) == ["gpt", "llama"]
    # Each model keeps its text, whichever of them is response a now.
    of = {text: read(study, review.models, old)[side] for side in "ab" for text in before[side]}
    assert {text: known[side] for side in "ab" for text in texts(study, new)[side]} == of


def test_what_a_form_does_to_line_ends_is_no_change(study):
    study.compare("One\ntwo", ["a\nb", "c\r\nd"])
    (number,) = numbers(study)
    sent = {
        name: [text.replace("\r\n", "\n").replace("\n", "\r\n") for text in parts]
        for name, parts in texts(study, number).items()
    }
    with pytest.raises(DataError, match="nothing was changed"):
        do(study, review.edit, number, sent, "owner")


def test_edits_that_cannot_be_are_refused_and_change_nothing(study):
    study.compare("Q", ["x", "y"])
    study.compare("R", ["x", "y"])
    first = numbers(study)[0]
    before = texts(study, first)
    with pytest.raises(DataError, match="both responses would be the same"):
        do(study, review.edit, first, {**before, "a": ["z"], "b": ["z"]}, "owner")
    with pytest.raises(DataError, match="is there already"):
        do(study, review.edit, first, {**before, "prompt": ["R"]}, "owner")
    assert study.counts()["comparisons"] == 2
    new = do(study, review.edit, first, {**before, "prompt": ["nul \0 and \ud800"]}, "owner")
    assert texts(study, new)["prompt"] == ["nul  and ?"]


def test_content_in_parts_is_kept_by_an_edit(study):
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    study.compare([{"role": "user", "content": parts}], ["x", "y"])
    (number,) = numbers(study)
    changed = {"prompt": ["(not plain text; kept as it is)"], "a": ["new"], "b": ["other"]}
    new = do(study, review.edit, number, changed, "owner")
    assert read(study, review.card, new)["prompt"][0].content == tuple(parts)


# ------------------------------------------------------------------- skipped and reported


def test_skips_and_reports_wait_for_the_owner_with_their_reasons(study):
    fill(study, 4)
    who, other = person(study), person(study)
    skipped = skip(study, who, reasons=("cannot judge this",), rationale="no such product")
    judge(study, other, "left", 1, report="insults the customer")
    cards = read(study, review.problems, 0, 10)
    assert {card["id"] for card in cards} >= {skipped}
    lines = [line for card in cards for line in card["problems"]]
    assert {(line["pseudonym"], line["answer"] == "skip") for line in lines} == {
        (who.pseudonym, True),
        (other.pseudonym, False),
    }
    assert {line["report"] for line in lines} == {"", "insults the customer"}
    assert {line["rationale"] for line in lines} == {"no such product", ""}
    assert read(study, review.problem_counts)["problems"] == len(cards)


def test_kept_stays_away_until_somebody_has_trouble_again(study):
    fill(study, 1, overlap=3)
    number = skip(study, person(study))
    (card,) = read(study, review.problems, 0, 10)
    do(study, review.keep, number, card["upto"], "owner")
    assert read(study, review.problems, 0, 10) == []
    assert study.counts()["remaining"] == 3
    skip(study, person(study), reasons=("again",))
    (card,) = read(study, review.problems, 0, 10)
    assert [line["reasons"] for line in card["problems"]] == [["again"]]


def test_a_skip_that_came_while_the_owner_was_looking_is_not_kept_with_the_rest(study):
    fill(study, 1, overlap=3)
    number = skip(study, person(study))
    (card,) = read(study, review.problems, 0, 10)
    skip(study, person(study))
    do(study, review.keep, number, card["upto"], "owner")
    assert len(read(study, review.problems, 0, 10)) == 1


def test_what_everybody_skips_is_said_and_does_not_wait_for_ever(study):
    fill(study, 4, overlap=2)
    first, second = person(study), person(study)
    skip(study, first)
    judge(study, second, "left", 4)  # has judged all the others, and this one
    judge(study, first, "left", 2)
    assert read(study, review.problem_counts) == {"problems": 1, "stuck": 1}
    person(study)  # somebody new can be asked
    assert read(study, review.problem_counts) == {"problems": 1, "stuck": 0}


def test_what_two_people_skip_has_nobody_left(study):
    fill(study, 2)
    first, second = person(study), person(study)
    number = skip(study, first)
    judge(study, first, "left", 1)
    assert read(study, review.problem_counts) == {"problems": 1, "stuck": 0}
    with study.database.write() as db:  # the queue is random: have the second skip the same
        db.execute(update(schema.comparison).where(C.id != number).values(slots=0))
    assert skip(study, second) == number
    assert read(study, review.problem_counts) == {"problems": 1, "stuck": 1}
    (card,) = read(study, review.problems, 0, 10)
    assert card["stuck"]
    person(study)  # somebody new can be asked
    assert read(study, review.problem_counts)["stuck"] == 0


def test_a_skip_that_was_taken_back_or_is_of_the_withdrawn_is_no_problem(study):
    fill(study, 2)
    who = person(study)
    skip(study, who)
    do(study, lambda db: undo(db, who, uuid.uuid4().hex, 60))
    assert read(study, review.problems, 0, 10) == []
    number = skip(study, who)
    do(study, review.withdraw, number, "owner")
    assert read(study, review.problems, 0, 10) == []


# ------------------------------------------------------------------- everything that was said


def test_every_version_is_shown_with_why_it_does_not_count(study):
    from plaudit.study.people import take_out

    fill(study, 1, overlap=3)
    who, other, owner = person(study), person(study), person(study, "owner")
    judge(study, who, "left", 1)
    do(study, lambda db: undo(db, who, uuid.uuid4().hex, 60))
    judge(study, who, "right", 1)
    judge(study, other, "tie", 1)
    do(study, take_out, other.id, owner)
    (number,) = numbers(study)
    said = read(study, review.judgments, number)
    assert [line["why_not"] for line in said] == [
        "changed later",
        "taken back",
        "",
        "annotator taken out",
    ]
    assert [line["counts"] for line in said] == [False, False, True, False]
    do(study, review.withdraw, number, "owner")
    assert read(study, review.judgments, number)[2]["why_not"] == "comparison withdrawn"


def test_two_owners_who_resolve_at_once_leave_one_resolution(where):
    path = where()
    with Study(path, gold_rate=0, retest_rate=0) as study:
        fill(study, 1)
        (number,) = numbers(study)
        owners = [person(study, "owner") for _ in range(4)]
        barrier, failed = threading.Barrier(len(owners)), []

        def decide(owner):
            barrier.wait()
            try:
                key = uuid.uuid4().hex
                do(study, lambda db: resolve(db, owner, number, "a", key))
            except DataError as error:
                failed.append(str(error))

        threads = [threading.Thread(target=decide, args=(owner,)) for owner in owners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        j = schema.standing.c
        with study.database.read() as db:
            count = select(func.count()).where(j.kind == "resolution")
            assert db.scalar(count) == 1
        assert failed == []


def test_gold_that_was_withdrawn_is_listed_no_more(study):
    fill(study, 2)
    first = numbers(study)[0]
    do(study, review.set_gold, first, "a", "owner")
    assert read(study, review.gold, 0, 10) == (1, [first])
    do(study, review.withdraw, first, "owner")
    assert read(study, review.gold, 0, 10) == (0, [])
    with pytest.raises(DataError, match="no comparison 999"):
        do(study, review.set_gold, 999, "a", "owner")
