"""Answers: a vote, an undo, an edit, an owner's resolution. Every one is a new row.

The screen says left and right; what is stored is a and b, by the side that the assignment
recorded. An answer carries a key of the browser's making, so that a request sent again, after
a lost response or by an impatient finger, is the same answer and not another one. Keys are a
person's own: nobody can read or take what another person, or an import, has stored.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from plaudit.config import StudySettings
from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.accounts import Person, audit
from plaudit.study.assignment import RANKED, change_slots
from plaudit.study.next_comparison import lock
from plaudit.study.notes import with_sides_swapped
from plaudit.study.ranking import (
    in_shown_order,
    pairs_of,
    preferred,
    ranks_of,
    standing_pairs,
    store_ranking,
    tiers_on_screen,
)
from plaudit.types import as_messages

ANSWERS = ("left", "right", "tie", "both_bad", "skip", "rank")
CRITERION_ANSWERS = ("left", "right", "tie")
RECENT = 10
LONGEST_NOTE = 10_000  # characters
LONGEST_REASON, MOST_REASONS = 60, 20  # beside the study's own reasons
MOST_VERSIONS = 50  # rows of one answer: votes, edits and withdrawals


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
    criteria: Mapping[str, str] = field(default_factory=dict)  # answer to each further question
    tiers: tuple[tuple[int, ...], ...] = ()  # of rank: places on the screen, the best first

    def __post_init__(self) -> None:
        if not 8 <= len(self.key) <= 64:
            raise DataError("key must have 8 to 64 characters")
        if self.answer not in ANSWERS:
            raise DataError(f"answer {self.answer!r} is not one of {', '.join(ANSWERS)}")
        if self.strength is not None and self.strength not in (1, 2, 3):
            raise DataError(f"strength must be 1, 2 or 3, found {self.strength}")
        if self.strength is not None and self.answer not in ("left", "right"):
            raise DataError(f"{self.answer} has no strength")
        if len(self.rationale) > LONGEST_NOTE or len(self.report) > LONGEST_NOTE:
            raise DataError(f"a note has at most {LONGEST_NOTE:,} characters")
        if len(self.reasons) > MOST_REASONS:
            raise DataError(f"at most {MOST_REASONS} reasons, found {len(self.reasons)}")
        if wrong := set(self.criteria.values()) - set(CRITERION_ANSWERS):
            known = ", ".join(CRITERION_ANSWERS)
            raise DataError(f"a criterion is answered by {known}, found {wrong.pop()!r:.40}")

    def check(self, settings: StudySettings) -> Answer:
        """The answer; raises DataError on what this study does not ask for."""
        for reason in set(self.reasons) - set(settings.reasons):
            if len(reason) > LONGEST_REASON:
                raise DataError(
                    f"a reason is one of the study's, or has at most {LONGEST_REASON} characters; "
                    f"found {len(reason):,}"
                )
        if unknown := set(self.criteria) - set(settings.criteria):
            asked = ", ".join(settings.criteria) or "none"
            raise DataError(f"no criterion {unknown.pop()!r:.60}; this study asks: {asked}")
        return self


def vote(db: Connection, person: Person, token: str, answer: Answer) -> int:
    """Store the answer to an assignment; returns the judgment's number.

    An answer whose lease has run out is kept and marked late. Raises DataError when the
    assignment is not this person's, Conflict when it was answered before.
    """
    lock(db, person)
    if (known := _by_key(db, person, answer.key, token)) is not None:
        return known
    assignment = _assignment(db, person, s.assignment.c.token == token)
    last = _last_of(db, assignment["id"])
    if assignment["state"] in ("done", "skipped"):
        raise Conflict("this comparison is answered already; edit the answer instead")
    late = assignment["state"] == "expired"
    number = _answer(db, person, assignment, answer, late=late, supersedes=last)
    _move(db, assignment, "skipped" if answer.answer == "skip" else "done")
    db.execute(_JUDGED, {"person": person.id, "step": 1})
    return number


def undo(
    db: Connection, person: Person, key: str, lease_seconds: float, token: str | None = None
) -> str | None:
    """Take back an answer, to the assignment `token` or the person's last one.

    Returns the token of the assignment, open again; None when there is nothing to take back.
    Raises Conflict when the answer has been changed too often.
    """
    j = s.latest.c
    lock(db, person)
    if (known := _by_key(db, person, key, token)) is not None:
        return _token_of(db, known)
    last = _own(person).where(j.assignment.is_not(None)).order_by(j.id.desc()).limit(1)
    if token is not None:
        a = s.assignment
        last = last.join(a, a.c.id == j.assignment).where(a.c.token == token)
    row = db.execute(last).mappings().one_or_none()
    if row is None:
        return None
    assignment = _assignment(db, person, s.assignment.c.id == row["assignment"])
    _refuse_more_versions(db, assignment["id"])
    _withdraw(db, person, key, dict(row))
    _withdraw_pairs(db, person, key, assignment["id"])
    _move(db, assignment, "leased", lease_seconds)
    db.execute(_JUDGED, {"person": person.id, "step": -1})
    return str(assignment["token"])


def edit(db: Connection, person: Person, number: int, answer: Answer) -> int:
    """Change one of the person's last ten answers by a row that supersedes it.

    Raises Conflict when it is not among them, was superseded meanwhile or changed too often.
    """
    lock(db, person)
    if (known := _by_key(db, person, answer.key)) is not None:
        return known
    if number not in [row.number for row in recent(db, person)]:
        raise Conflict("only your last ten answers can be changed, each from its latest form")
    of = db.scalar(select(s.judgment.c.assignment).where(s.judgment.c.id == number))
    assignment = _assignment(db, person, s.assignment.c.id == of)
    _refuse_more_versions(db, assignment["id"])
    stored = _answer(db, person, assignment, answer, late=False, supersedes=number)
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
        "key": own_key(owner, key),
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

    number: int  # of the row; counts everybody's, so no browser is told
    token: str
    version: int
    answer: str
    strength: int | None
    reasons: list[str]
    rationale: str
    report: str
    criteria: dict[str, str]
    prompt: str
    tiers: list[list[int]]  # of rank


def recent(db: Connection, person: Person) -> list[Recent]:
    """The person's last ten answers that stand, newest first."""
    j = s.latest.c
    return _as_shown(db, s.latest, j.annotator == person.id, j.kind.in_(("vote", "retest")))


def taken_back(db: Connection, token: str) -> Recent | None:
    """What an assignment's answer was before it was withdrawn."""
    j, a = s.judgment, s.assignment.c
    last = (
        select(j.c.supersedes)
        .join(s.assignment, a.id == j.c.assignment)
        .where(a.token == token, j.c.answer == "withdrawn")
        .order_by(j.c.id.desc())
        .limit(1)
    )
    found = _as_shown(db, j, j.c.id == last.scalar_subquery())
    return found[0] if found else None


def _as_shown(db: Connection, source: Any, *conditions: Any) -> list[Recent]:
    """The newest answers to assignments among the rows of `judgment` or a view of it."""
    j, a, every = source.c, s.assignment.c, s.judgment.alias()
    version = select(func.count()).where(every.c.assignment == j.assignment).scalar_subquery()
    query = (
        select(
            source,
            *(a.token, s.prompt.c.messages, version.label("version")),
            *(s.ranking.c.tiers, s.panel.c.responses),
        )
        .join(s.assignment, a.id == j.assignment)
        .join(s.comparison, s.comparison.c.id == j.comparison)
        .join(s.prompt, s.prompt.c.id == s.comparison.c.prompt)
        .outerjoin(s.ranking, s.ranking.c.id == j.ranking)
        .outerjoin(s.panel, s.panel.c.id == s.ranking.c.panel)
        .where(*conditions)
        .order_by(j.id.desc())
        .limit(RECENT)
    )
    return [
        Recent(
            row["id"],
            row["token"],
            row["version"],
            "rank" if row["tiers"] else on_screen(row["answer"], row["left"]),
            row["strength"],
            row["reasons"],
            row["rationale"],
            row["report"],
            {n: on_screen(said["answer"], row["left"]) for n, said in row["criteria"].items()},
            as_messages(row["messages"][-1:])[0].text[:200],
            tiers_on_screen(row["tiers"], in_shown_order(row["token"], row["responses"]))
            if row["tiers"]
            else [],
        )
        for row in db.execute(query).mappings()
    ]


def note_with_sides(rationale: str, left: str | None) -> str:
    """A note with the responses that its A and B meant; `left` is the one on the left.

    The screen calls the left response A. A note written with response a there needs nothing.
    """
    return with_sides_swapped(rationale) if left == "b" else rationale


# -------------------------------------------------------------------------------- storing


def _own(person: Person, *columns: Any) -> Any:
    """The person's answers that stand."""
    j = s.latest.c
    return select(s.latest, *columns).where(
        j.annotator == person.id, j.kind.in_(("vote", "retest"))
    )


# Built once, as in `assignment`. A key of before keys were a person's own is stored as it was sent.
_KEY = (
    select(s.judgment.c.id, s.assignment.c.token)
    .outerjoin(s.assignment, s.assignment.c.id == s.judgment.c.assignment)
    .where(
        s.judgment.c.key.in_((bindparam("own"), bindparam("sent"))),
        s.judgment.c.annotator == bindparam("person"),
    )
)
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


def own_key(person: Person, key: str) -> str:
    """The key under which a person's answer is stored; a pseudonym moves with its study."""
    return sha256(f"{person.pseudonym}\n{key}".encode()).hexdigest()


def _by_key(db: Connection, person: Person, key: str, token: str | None = None) -> int | None:
    """The judgment that the person has stored under this key.

    Raises Conflict when it is the answer to another assignment than `token`.
    """
    values = {"own": own_key(person, key), "sent": key, "person": person.id}
    row = db.execute(_KEY, values).first()
    if row is None:
        return None
    if token is not None and row.token != token:
        raise Conflict("this key is that of your answer to another comparison")
    return int(row.id)


def _assignment(db: Connection, person: Person, condition: Any) -> RowMapping:
    """The assignment, locked against a second answer at the same moment."""
    c = s.comparison.c
    query = (
        select(
            s.assignment,
            s.annotator.c.guideline_seen,
            *(c.panel, c.response_a, c.response_b, s.panel.c.responses),
            RANKED.label("ranked"),
        )
        .join(s.annotator, s.annotator.c.id == s.assignment.c.annotator)
        .join(s.comparison, c.id == s.assignment.c.comparison)
        .outerjoin(s.panel, s.panel.c.id == c.panel)
        .where(condition, s.assignment.c.annotator == person.id)
        .with_for_update(of=s.assignment)
    )
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        raise DataError("this comparison was not given to you")
    return row


def _last_of(db: Connection, assignment: int) -> int | None:
    """The newest judgment of an assignment: a withdrawal, which the next answer supersedes."""
    return db.scalar(_LAST, {"given": assignment})


def _refuse_more_versions(db: Connection, assignment: int) -> None:
    """One place stays free: what was withdrawn can always be answered again."""
    rows = select(func.count()).where(s.judgment.c.assignment == assignment)
    if (db.scalar(rows) or 0) >= MOST_VERSIONS - 1:
        raise Conflict(f"an answer can be changed at most {MOST_VERSIONS} times")


def _withdraw(db: Connection, person: Person, key: str, row: Mapping[str, Any]) -> None:
    same = ("comparison", "annotator", "assignment", "kind", "left", "ranking")
    withdrawn = {"answer": "withdrawn", "supersedes": row["id"], "key": own_key(person, key)}
    _insert(db, {name: row[name] for name in same} | withdrawn)


def _withdraw_pairs(db: Connection, person: Person, key: str, assignment: int) -> None:
    """Take back what followed from the assignment's ranking, where it was one."""
    for row in standing_pairs(db, assignment):
        _withdraw(db, person, f"{key}: no {row['comparison']}", row)


def _answer(
    db: Connection,
    person: Person,
    assignment: RowMapping,
    answer: Answer,
    *,
    late: bool,
    supersedes: int | None,
) -> int:
    """Store an answer: of a pair, or of a panel with the pairs that follow from its ranking."""
    if not assignment["ranked"]:
        if answer.answer == "rank":
            raise DataError("two responses are compared, not ranked")
        return _store(db, person, assignment, answer, late=late, supersedes=supersedes)
    _withdraw_pairs(db, person, answer.key, assignment["id"])
    if answer.answer == "skip":
        return _store(db, person, assignment, answer, late=late, supersedes=supersedes)
    if answer.answer != "rank":
        raise DataError(f"these responses are ranked or skipped, found {answer.answer!r}")
    ranks = ranks_of(answer.tiers, in_shown_order(assignment["token"], assignment["responses"]))
    ranking = store_ranking(db, assignment["panel"], person.id, assignment["id"], ranks)
    of_anchor = preferred(ranks, assignment["response_a"], assignment["response_b"])
    follows = {"answer": of_anchor, "left": None, "ranking": ranking}
    number = _store(
        db, person, assignment, answer, late=late, supersedes=supersedes, follows=follows
    )
    fixed = {"annotator": person.id, "kind": "vote", "late": late, "ranking": ranking}
    fixed["guideline"] = assignment["guideline_seen"] or None
    for pair in pairs_of(db, person.id, assignment["comparison"], assignment["responses"]):
        said = preferred(ranks, pair.response_a, pair.response_b)
        about = {"comparison": pair.comparison, "supersedes": pair.last, "answer": said}
        _insert(db, fixed | about | {"key": own_key(person, f"{answer.key}: {pair.comparison}")})
    return number


def _store(
    db: Connection,
    person: Person,
    assignment: RowMapping,
    answer: Answer,
    *,
    late: bool,
    supersedes: int | None,
    follows: Mapping[str, Any] | None = None,
) -> int:
    values = asdict(answer) | _times(answer, assignment["issued_at"])
    values |= {name: assignment[name] for name in ("comparison", "annotator", "kind", "left")}
    values |= {
        "key": own_key(person, answer.key),
        "assignment": assignment["id"],
        "answer": canonical(answer.answer, assignment["left"]),
        "criteria": {
            name: {"answer": canonical(said, assignment["left"])}
            for name, said in answer.criteria.items()
        },
        "reasons": list(dict.fromkeys(answer.reasons)),
        # The version that was shown to them, not one that the browser names.
        "guideline": assignment["guideline_seen"] or None,
        "late": late,
        "supersedes": supersedes,
    }
    del values["tiers"]
    return _insert(db, values | dict(follows or {}))


def _times(answer: Answer, issued_at: float) -> dict[str, int | None]:
    """The times that the browser measured, none longer than the comparison has been out."""
    limit = max(0, int((time.time() - issued_at) * 1000))
    if answer.wall_ms is not None:
        limit = min(limit, answer.wall_ms)
    names = ("active_ms", "wall_ms", "first_input_ms")
    measured = {name: getattr(answer, name) for name in names}
    return {name: None if ms is None else min(ms, limit) for name, ms in measured.items()}


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


def canonical(answer: str, left: str) -> str:
    """left and right as a and b; the other answers as they are."""
    right = "b" if left == "a" else "a"
    return {"left": left, "right": right}.get(answer, answer)


def on_screen(answer: str, left: str | None) -> str:
    """a and b as left and right; the other answers as they are."""
    if answer in ("a", "b"):
        return "left" if answer == left else "right"
    return answer
