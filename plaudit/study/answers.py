"""Answers: a vote, an undo, an edit, an owner's resolution. Every one is a new row.

The screen says left and right; what is stored is a and b, by the side that the assignment
recorded. An answer carries a key of the browser's making, so that a request sent again, after
a lost response or by an impatient finger, is the same answer and not another one.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.accounts import Person, audit
from plaudit.study.assignment import change_slots
from plaudit.study.next_comparison import lock
from plaudit.types import as_messages

ANSWERS = ("left", "right", "tie", "both_bad", "skip")
RECENT = 10


class Conflict(DataError):
    """The answer is to something that has changed meanwhile; nothing was stored."""

    http_status = 409


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a person said on the screen. Raises DataError on values that cannot be."""

    key: str
    answer: str
    strength: int | None = None
    reasons: tuple[str, ...] = ()
    rationale: str = ""
    report: str = ""
    active_ms: int | None = None
    wall_ms: int | None = None
    first_input_ms: int | None = None
    guideline: int | None = None

    def __post_init__(self) -> None:
        if not 8 <= len(self.key) <= 64:
            raise DataError("key must have 8 to 64 characters")
        if self.answer not in ANSWERS:
            raise DataError(f"answer {self.answer!r} is not one of {', '.join(ANSWERS)}")
        if self.strength is not None and self.strength not in (1, 2, 3):
            raise DataError(f"strength must be 1, 2 or 3, found {self.strength}")
        if self.strength is not None and self.answer not in ("left", "right"):
            raise DataError(f"{self.answer} has no strength")
        if len(self.rationale) > 10_000 or len(self.report) > 10_000:
            raise DataError("a note has at most 10,000 characters")


def vote(db: Connection, person: Person, token: str, answer: Answer) -> int:
    """Store the answer to an assignment; returns the judgment's number.

    An answer whose lease has run out is kept and marked late. Raises DataError when the
    assignment is not this person's, Conflict when it was answered before.
    """
    lock(db, person)
    if (known := _by_key(db, person, answer.key)) is not None:
        return known
    assignment = _assignment(db, person, s.assignment.c.token == token)
    last = _last_of(db, assignment["id"])
    if assignment["state"] in ("done", "skipped"):
        raise Conflict("this comparison is answered already; edit the answer instead")
    late = assignment["state"] == "expired"
    number = _store(db, assignment, answer, late=late, supersedes=last)
    _move(db, assignment, "skipped" if answer.answer == "skip" else "done")
    db.execute(_JUDGED, {"person": person.id, "step": 1})
    return number


def undo(
    db: Connection, person: Person, key: str, lease_seconds: float, token: str | None = None
) -> str | None:
    """Take back an answer, to the assignment `token` or the person's last one.

    Returns the token of the assignment, open again; None when there is nothing to take back.
    """
    j = s.latest.c
    lock(db, person)
    if (known := _by_key(db, person, key)) is not None:
        return _token_of(db, known)
    last = _own(person).where(j.assignment.is_not(None)).order_by(j.id.desc()).limit(1)
    if token is not None:
        a = s.assignment
        last = last.join(a, a.c.id == j.assignment).where(a.c.token == token)
    row = db.execute(last).mappings().one_or_none()
    if row is None:
        return None
    assignment = _assignment(db, person, s.assignment.c.id == row["assignment"])
    same = {name: row[name] for name in ("comparison", "annotator", "assignment", "kind", "left")}
    _insert(db, {**same, "key": key, "answer": "withdrawn", "supersedes": row["id"]})
    _move(db, assignment, "leased", lease_seconds)
    db.execute(_JUDGED, {"person": person.id, "step": -1})
    return str(assignment["token"])


def edit(db: Connection, person: Person, number: int, answer: Answer) -> int:
    """Change one of the person's last ten answers by a row that supersedes it.

    Raises DataError when it is not among them, Conflict when it was superseded meanwhile.
    """
    lock(db, person)
    if (known := _by_key(db, person, answer.key)) is not None:
        return known
    if number not in [row.number for row in recent(db, person)]:
        raise Conflict("only your last ten answers can be changed, each from its latest form")
    of = db.scalar(select(s.judgment.c.assignment).where(s.judgment.c.id == number))
    assignment = _assignment(db, person, s.assignment.c.id == of)
    stored = _store(db, assignment, answer, late=False, supersedes=number)
    _move(db, assignment, "skipped" if answer.answer == "skip" else "done")
    return stored


def resolve(
    db: Connection, owner: Person, comparison: int, answer: str, key: str, rationale: str = ""
) -> int:
    """An owner's decision on a disagreement, canonical; it overrules the votes in exports."""
    if answer not in ("a", "b", "tie", "both_bad"):
        raise DataError(f"answer {answer!r} is not one of a, b, tie, both_bad")
    if (known := _by_key(db, owner, key)) is not None:
        return known
    # Locked, so that of two owners at once the second decides on what the first has said.
    this = select(s.comparison.c.id).where(s.comparison.c.id == comparison).with_for_update()
    if not db.scalar(this):
        raise DataError(f"no comparison {comparison}")
    j = s.latest.c
    last = select(j.id).where(j.comparison == comparison, j.kind == "resolution")
    row = {
        "key": key,
        "comparison": comparison,
        "annotator": owner.id,
        "kind": "resolution",
        "answer": answer,
        "rationale": rationale,
        "supersedes": db.scalar(last),
    }
    number = _insert(db, row)
    audit(db, owner.pseudonym, "resolve", comparison=comparison, answer=answer)
    return number


@dataclass(frozen=True, slots=True)
class Recent:
    """One of a person's own answers, as it was on the screen."""

    number: int
    answer: str
    strength: int | None
    reasons: list[str] = field(default_factory=list)
    rationale: str = ""
    prompt: str = ""
    token: str = ""


def recent(db: Connection, person: Person) -> list[Recent]:
    """The person's last ten answers that stand, newest first."""
    j, a = s.latest.c, s.assignment
    rows = db.execute(
        _own(person, a.c.token, s.prompt.c.messages)
        .join(a, a.c.id == j.assignment)
        .join(s.comparison, s.comparison.c.id == j.comparison)
        .join(s.prompt, s.prompt.c.id == s.comparison.c.prompt)
        .order_by(j.id.desc())
        .limit(RECENT)
    ).mappings()
    return [
        Recent(
            row["id"],
            on_screen(row["answer"], row["left"]),
            row["strength"],
            row["reasons"],
            row["rationale"],
            as_messages(row["messages"][-1:])[0].text[:200],
            row["token"],
        )
        for row in rows
    ]


# -------------------------------------------------------------------------------- storing


def _own(person: Person, *columns: Any) -> Any:
    """The person's answers that stand."""
    j = s.latest.c
    return select(s.latest, *columns).where(
        j.annotator == person.id, j.kind.in_(("vote", "retest"))
    )


# Built once, as in `assignment`.
_KEY = select(s.judgment.c.id, s.judgment.c.annotator).where(s.judgment.c.key == bindparam("given"))
_LAST = (
    select(s.judgment.c.id)
    .where(s.judgment.c.assignment == bindparam("given"))
    .order_by(s.judgment.c.id.desc())
    .limit(1)
)
_INSERT = insert(s.judgment).returning(s.judgment.c.id)
_JUDGED = (
    update(s.annotator)
    .where(s.annotator.c.id == bindparam("person"))
    .values(judged=s.annotator.c.judged + bindparam("step"))
)


def _by_key(db: Connection, person: Person, key: str) -> int | None:
    row = db.execute(_KEY, {"given": key}).one_or_none()
    if row is not None and row.annotator != person.id:
        raise Conflict("this key is taken")
    return row.id if row else None


def _assignment(db: Connection, person: Person, condition: Any) -> RowMapping:
    """The assignment, locked against a second answer at the same moment."""
    query = select(s.assignment).where(condition, s.assignment.c.annotator == person.id)
    row = db.execute(query.with_for_update()).mappings().one_or_none()
    if row is None:
        raise DataError("this comparison was not given to you")
    return row


def _last_of(db: Connection, assignment: int) -> int | None:
    """The newest judgment of an assignment: a withdrawal, which the next answer supersedes."""
    return db.scalar(_LAST, {"given": assignment})


def _store(
    db: Connection, assignment: RowMapping, answer: Answer, *, late: bool, supersedes: int | None
) -> int:
    left = assignment["left"]
    right = "b" if left == "a" else "a"
    said = asdict(answer) | {
        "answer": {"left": left, "right": right}.get(answer.answer, answer.answer),
        "reasons": list(answer.reasons),
    }
    of = {name: assignment[name] for name in ("comparison", "annotator", "kind", "left")}
    of["assignment"] = assignment["id"]
    return _insert(db, {**said, **of, "late": late, "supersedes": supersedes})


def _insert(db: Connection, values: dict[str, Any]) -> int:
    """Insert a judgment; two at once on the same one conflict here, in the unique columns."""
    try:
        return int(db.execute(_INSERT, values).scalar_one())
    except IntegrityError as error:
        raise Conflict("this was answered at the same moment elsewhere; reload") from error


TAKES_SLOT = {"leased": 1, "done": 1, "skipped": 0, "expired": 0}


def _move(db: Connection, assignment: RowMapping, state: str, lease_seconds: float = 0) -> None:
    """Change an assignment's state, and its comparison's slots with it."""
    a = s.assignment
    values: dict[str, Any] = {"state": state}
    if state == "leased":
        values["leased_until"] = time.time() + lease_seconds
    db.execute(update(a).where(a.c.id == assignment["id"]).values(**values))
    change = TAKES_SLOT[assignment["state"]] - TAKES_SLOT[state]
    if assignment["kind"] == "vote" and change:
        change_slots(db, assignment["comparison"], change)


def _token_of(db: Connection, judgment: int) -> str | None:
    a, j = s.assignment, s.judgment
    query = select(a.c.token).join(j, j.c.assignment == a.c.id).where(j.c.id == judgment)
    return db.scalar(query)


def on_screen(answer: str, left: str | None) -> str:
    if answer in ("a", "b"):
        return "left" if answer == left else "right"
    return answer
