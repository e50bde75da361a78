"""Which comparison a person is asked next, and on which side each reply stands.

A comparison has `slots`: the overlap asked for, less the leases held and the votes given. A lease
takes a slot; a vote keeps it; a skip, or a lease that expires, gives it back. All of it happens
in the transaction of the caller, so two people can never take the same slot.

Gold looks like any other comparison. A retest is a comparison the person has judged, with the
sides swapped; neither takes a slot.
"""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, select, update

from plaudit.collection import schema as s
from plaudit.collection.database import upsert
from plaudit.collection.people import Person
from plaudit.settings import StudySettings
from plaudit.types import Turns, as_turns

__all__ = ["Assignment", "assign", "assignments", "change_slots", "expire", "lock"]

_random = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the screen shows: `token` is all that it may know of where this comes from."""

    token: str
    prompt: Turns
    left: Turns
    right: Turns


def assign(
    db: Connection, person: Person, settings: StudySettings, count: int = 3
) -> list[Assignment]:
    """The person's open assignments, oldest first, topped up to `count`; leases are renewed.

    Asking twice gives the same ones with the same sides, so a reload changes nothing.
    """
    now = time.time()
    place = lock(db, person).place
    expire(db, now)
    a = s.assignment
    held = db.scalars(
        update(a)
        .where(a.c.annotator == person.id, s.LEASED)
        .values(leased_until=now + settings.lease_seconds)
        .returning(a.c.id)
    ).all()
    for _ in range(len(held), count):
        if not _assign_one(db, person, place, settings, now):
            break
    return assignments(db, and_(a.c.annotator == person.id, s.LEASED))


class Standing(NamedTuple):
    """Where a person's search goes on, and how many answers they have given."""

    place: int
    judged: int


def lock(db: Connection, person: Person) -> Standing:
    """One transaction of a person at a time: two tabs must not take two slots at once."""
    p = s.annotator
    row = db.execute(select(p.c.place, p.c.judged).where(p.c.id == person.id).with_for_update())
    return Standing(*row.one())


def expire(db: Connection, now: float) -> int:
    """Give back the slots of leases that have run out; returns how many."""
    a = s.assignment
    run_out = select(a.c.id).where(s.LEASED, a.c.leased_until < now)
    ended = db.execute(
        update(a)
        # What another transaction is expiring at this moment is left to it.
        .where(a.c.id.in_(run_out.with_for_update(skip_locked=True)))
        .values(state="expired")
        .returning(a.c.comparison, a.c.kind)
    ).all()
    for row in ended:
        if row.kind == "vote":
            change_slots(db, row.comparison, 1)
    return len(ended)


def change_slots(db: Connection, comparison: int, change: int) -> None:
    """Take or give back slots of a comparison; gold has none."""
    c = s.comparison
    values: dict[str, Any] = {"slots": c.c.slots + change}
    if change > 0:
        values["reopened"] = True
    db.execute(update(c).where(c.c.id == comparison, c.c.gold.is_(None)).values(**values))


# ------------------------------------------------------------------------------ one more


def _assign_one(
    db: Connection, person: Person, place: int, settings: StudySettings, now: float
) -> bool:
    found = _find_open(db, person, place)
    if found is None:  # gold that came alone would be known for what it is
        return False
    draw = _random.random()
    if draw < settings.gold_rate and _take_gold(db, person, settings, now):
        return True
    draw -= settings.gold_rate
    if 0 <= draw < settings.retest_rate and _take_retest(db, person, settings, now):
        return True
    c, p = s.comparison, s.annotator
    taken = {"slots": c.c.slots - 1, "reopened": and_(c.c.reopened, c.c.slots > 1)}
    db.execute(update(c).where(c.c.id == found.id).values(**taken))
    if found.place > place:
        db.execute(update(p).where(p.c.id == person.id).values(place=found.place))
    _lease(db, person, found.id, "vote", _random.choice("ab"), settings, now)
    return True


def _find_open(db: Connection, person: Person, place: int) -> Any:
    """The next open comparison that the person has not seen, from `place` on."""
    c = s.comparison
    unseen = (
        select(c.c.id, c.c.place)
        .where(_unseen(person))
        .order_by(c.c.place, c.c.id)
        .limit(1)
        .with_for_update(of=c, skip_locked=True)
    )
    # Behind one's place lies what was added since, or was held by someone at that moment.
    # The first has its slots as a parameter, lest the index of all open ones be taken for it.
    searches = [
        unseen.where(s.REOPENED, c.c.slots > 0),
        unseen.where(s.OPEN, c.c.place >= place),
        unseen.where(s.OPEN),
    ]
    return next((row for search in searches if (row := db.execute(search).one_or_none())), None)


def _take_gold(db: Connection, person: Person, settings: StudySettings, now: float) -> bool:
    """A gold comparison that the person has not seen, from a random place on."""
    c = s.comparison
    unseen = select(c.c.id).where(s.IS_GOLD, _unseen(person)).limit(1)
    from_here = c.c.place >= _random.randrange(1 << 53)
    found = db.scalar(unseen.where(from_here).order_by(c.c.place)) or db.scalar(
        unseen.order_by(c.c.place)
    )
    if found is not None:
        _lease(db, person, found, "vote", _random.choice("ab"), settings, now)
    return found is not None


def _take_retest(db: Connection, person: Person, settings: StudySettings, now: float) -> bool:
    """One of the person's own votes, at least `retest_after` comparisons old, sides swapped."""
    j, a = s.judgment, s.assignment
    own = select(j.c.id).where(j.c.annotator == person.id, j.c.kind == "vote")
    newest = db.scalar(own.order_by(j.c.id.desc()).offset(settings.retest_after).limit(1))
    oldest = db.scalar(own.order_by(j.c.id).limit(1))
    if newest is None or oldest is None:
        return False
    again = a.alias()
    query = (
        select(j.c.comparison, a.c.left)
        .join(a, a.c.id == j.c.assignment)
        .where(
            j.c.annotator == person.id,
            j.c.kind == "vote",
            j.c.answer.in_(("a", "b", "tie")),
            j.c.id.between(_random.randint(oldest, newest), newest),
            a.c.state == "done",
            ~select(again.c.id)
            .where(
                again.c.annotator == person.id,
                again.c.comparison == j.c.comparison,
                again.c.kind == "retest",
            )
            .exists(),
        )
        .order_by(j.c.id)
        .limit(1)
    )
    found = db.execute(query).one_or_none()
    if found is not None:
        other = "b" if found.left == "a" else "a"
        _lease(db, person, found.comparison, "retest", other, settings, now)
    return found is not None


def _unseen(person: Person) -> Any:
    """That the person neither holds, has judged nor has skipped the comparison."""
    a = s.assignment
    seen = select(a.c.id).where(
        a.c.comparison == s.comparison.c.id,
        a.c.annotator == person.id,
        a.c.kind == "vote",
        a.c.state != "expired",
    )
    return ~seen.exists()


def _lease(
    db: Connection,
    person: Person,
    comparison: int,
    kind: str,
    left: str,
    settings: StudySettings,
    now: float,
) -> None:
    until = now + settings.lease_seconds
    lease = upsert(db)(s.assignment).values(
        token=secrets.token_hex(16),
        comparison=comparison,
        annotator=person.id,
        kind=kind,
        left=left,
        state="leased",
        leased_until=until,
        issued_at=now,
    )
    # A lease of theirs that had expired is taken up again, with the sides it had.
    again = {"state": "leased", "leased_until": until, "issued_at": now}
    db.execute(
        lease.on_conflict_do_update(index_elements=["annotator", "comparison", "kind"], set_=again)
    )


# ---------------------------------------------------------------------------- what is shown


def assignments(db: Connection, condition: Any) -> list[Assignment]:
    """Assignments with their texts, in the order they were issued."""
    a, c = s.assignment, s.comparison
    reply_a, reply_b = s.reply.alias(), s.reply.alias()
    query: Select[Any] = (
        select(
            a.c.token,
            a.c.left,
            s.prompt.c.turns.label("prompt"),
            reply_a.c.turns.label("a"),
            reply_b.c.turns.label("b"),
        )
        .join(c, c.c.id == a.c.comparison)
        .join(s.prompt, s.prompt.c.id == c.c.prompt)
        .join(reply_a, reply_a.c.id == c.c.reply_a)
        .join(reply_b, reply_b.c.id == c.c.reply_b)
        .where(condition)
        .order_by(a.c.issued_at, a.c.id)
    )
    shown = []
    for row in db.execute(query):
        a_turns, b_turns = as_turns(row.a), as_turns(row.b)
        left, right = (a_turns, b_turns) if row.left == "a" else (b_turns, a_turns)
        shown.append(Assignment(row.token, as_turns(row.prompt), left, right))
    return shown
