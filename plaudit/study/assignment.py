"""Which comparison a person is asked next, and on which side each response stands.

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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from plaudit.config import StudySettings
from plaudit.study import schema as s
from plaudit.study.accounts import Person
from plaudit.study.next_comparison import Place, find_gold, find_open, lock
from plaudit.study.ranking import in_shown_order
from plaudit.types import Messages, as_messages

_random = random.SystemRandom()

# Statements of every vote are built once: building one costs more than running it.
# What an owner has withdrawn meanwhile is held no longer.
_ASKED = ~(
    select(s.comparison.c.id)
    .where(s.comparison.c.id == s.assignment.c.comparison, s.comparison.c.withdrawn_at.is_not(None))
    .exists()
)
_RENEW = (
    update(s.assignment)
    .where(s.assignment.c.annotator == bindparam("person"), s.LEASED, _ASKED)
    .values(leased_until=bindparam("until"))
    .returning(s.assignment.c.id)
)
# Their leases that others have found run out, those that ran out last first.
_LAPSED = (
    select(
        s.assignment.c.id,
        s.assignment.c.comparison,
        s.assignment.c.leased_until,
        or_(s.assignment.c.kind == "retest", s.comparison.c.gold.is_not(None)).label("tests"),
        s.comparison.c.slots,
    )
    .join(s.comparison, s.comparison.c.id == s.assignment.c.comparison)
    .where(
        s.assignment.c.annotator == bindparam("person"),
        text("assignment.state = 'expired'"),
        s.comparison.c.withdrawn_at.is_(None),
    )
    .order_by(s.assignment.c.leased_until.desc(), s.assignment.c.issued_at, s.assignment.c.id)
    .limit(literal_column("10"))  # a parameter would have it planned anew each time
    .with_for_update(of=s.comparison, skip_locked=True)
)
_EXPIRE = (
    update(s.assignment)
    .where(
        s.assignment.c.id.in_(
            select(s.assignment.c.id)
            .where(s.LEASED, s.assignment.c.leased_until < bindparam("now"))
            # What another transaction is expiring at this moment is left to it.
            .with_for_update(skip_locked=True)
        )
    )
    .values(state="expired")
    .returning(s.assignment.c.comparison, s.assignment.c.kind)
)
_TAKE = (
    update(s.comparison)
    .where(s.comparison.c.id == bindparam("comparison"))
    .values(
        slots=s.comparison.c.slots - 1,
        reopened=and_(s.comparison.c.reopened, s.comparison.c.slots > 1),
    )
)
# A lease of theirs that had expired is taken up again, with the sides it had.
_LEASE = {
    name: lease.on_conflict_do_update(
        index_elements=["annotator", "comparison", "kind"],
        set_={key: lease.excluded[key] for key in ("state", "leased_until", "issued_at")},
    )
    for name, lease in (
        ("sqlite", sqlite.insert(s.assignment)),
        ("postgresql", postgresql.insert(s.assignment)),
    )
}

# Gold is asked by a rate of its own, practice before the start, the withdrawn not at all.
_HAS_NO_SLOTS = or_(
    s.comparison.c.gold.is_not(None),
    s.comparison.c.withdrawn_at.is_not(None),
    s.comparison.c.explanation.is_not(None),
)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the screen shows: `token` is all that it may know of where this comes from."""

    token: str
    prompt: Messages
    left: Messages
    right: Messages
    columns: Mapping[str, Any]  # of the data, all of them
    ranked: tuple[Messages, ...] = ()  # K responses to rank, in the order shown


def assign(
    db: Connection, person: Person, settings: StudySettings, count: int = 3
) -> list[Assignment]:
    """The person's open assignments, oldest first, topped up to `count`; leases are renewed.

    Asking twice gives the same ones with the same sides, so a reload changes nothing.
    """
    now = time.time()
    place = lock(db, person)
    until = now + settings.lease_seconds
    held = len(db.scalars(_RENEW, {"person": person.id, "until": until}).all())
    expire(db, now)
    held += _take_again(db, person, until, count - held)
    for _ in range(held, count):
        if not _assign_one(db, person, place, settings, now):
            break
    return assignments(db, HELD, person=person.id)


def expire(db: Connection, now: float) -> int:
    """Give back the slots of leases that have run out; returns how many."""
    ended = db.execute(_EXPIRE, {"now": now}).all()
    for row in ended:
        if row.kind == "vote":
            change_slots(db, row.comparison, 1)
    return len(ended)


def change_slots(db: Connection, comparison: int, change: int) -> None:
    """Take or give back slots of a comparison; what is never asked of the queue has none."""
    c = s.comparison
    values: dict[str, Any] = {"slots": c.c.slots + change}
    if change > 0:
        values["reopened"] = True
    db.execute(update(c).where(c.c.id == comparison, ~_HAS_NO_SLOTS).values(**values))


def recount(db: Connection, *conditions: Any) -> None:
    """Set the slots of comparisons afresh, after something that no single vote has changed.

    Those whose slots open again are asked about first.
    """
    c, a, n = s.comparison, s.assignment.c, s.annotator.c
    taken = (
        select(func.count())
        .select_from(s.assignment.join(s.annotator, n.id == a.annotator))
        .where(
            a.comparison == c.c.id,
            a.kind == "vote",
            a.state.in_(("leased", "done")),
            n.excluded_at.is_(None),
        )
        .scalar_subquery()
    )
    slots = case((_HAS_NO_SLOTS, 0), else_=c.c.overlap - taken)
    opened = and_(slots > 0, or_(c.c.slots <= 0, c.c.reopened))
    db.execute(update(c).where(*conditions).values(slots=slots, reopened=opened))


def _take_again(db: Connection, person: Person, until: float, count: int) -> int:
    """Hold up to `count` of the leases again that lapsed last; returns how many.

    Of whatever kind they are, and in the order they had: gold that stayed away, or that came
    back alone when others have taken the rest, would be known for what it is.
    """
    lapsed = db.execute(_LAPSED, {"person": person.id}).all() if count > 0 else []
    together = [row for row in lapsed if row.leased_until == lapsed[0].leased_until]
    free = [row for row in together if row.tests or row.slots > 0]
    if len(free) < len(together) and all(row.tests for row in free):
        return 0
    for row in free[:count]:
        a = s.assignment
        again = update(a).where(a.c.id == row.id).values(state="leased", leased_until=until)
        db.execute(again)
        if not row.tests:
            db.execute(_TAKE, {"comparison": row.comparison})
    return len(free[:count])


# ------------------------------------------------------------------------------ one more


def _assign_one(
    db: Connection, person: Person, place: Place, settings: StudySettings, now: float
) -> bool:
    found = find_open(db, place)
    if found is None:  # gold that came alone would be known for what it is
        return False
    draw = _random.random()
    if draw < settings.gold_rate and _take_gold(db, person, place, settings, now):
        return True
    draw -= settings.gold_rate
    if 0 <= draw < settings.retest_rate and _take_retest(db, person, settings, now):
        return True
    db.execute(_TAKE, {"comparison": found})
    _lease(db, person, found, "vote", _random.choice("ab"), settings, now)
    return True


def _take_gold(
    db: Connection, person: Person, place: Place, settings: StudySettings, now: float
) -> bool:
    """A gold comparison that the person has not seen, from a random position on."""
    found = find_gold(db, place, _random.randrange(1 << 53))
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
    tested = select(again.c.id).where(
        again.c.annotator == person.id,
        again.c.comparison == j.c.comparison,
        again.c.kind == "retest",
    )
    query = (
        select(j.c.comparison, a.c.left)
        .join(a, a.c.id == j.c.assignment)
        .where(
            j.c.annotator == person.id,
            j.c.kind == "vote",
            j.c.answer.in_(("a", "b", "tie")),
            j.c.id.between(_random.randint(oldest, newest), newest),
            a.c.state == "done",
            ~tested.exists(),
        )
        .order_by(j.c.id)
        .limit(1)
    )
    found = db.execute(query).one_or_none()
    if found is not None:
        other = "b" if found.left == "a" else "a"
        _lease(db, person, found.comparison, "retest", other, settings, now)
    return found is not None


def _lease(
    db: Connection,
    person: Person,
    comparison: int,
    kind: str,
    left: str,
    settings: StudySettings,
    now: float,
) -> None:
    values = {
        "token": secrets.token_hex(16),
        "comparison": comparison,
        "annotator": person.id,
        "kind": kind,
        "left": left,
        "state": "leased",
        "leased_until": now + settings.lease_seconds,
        "issued_at": now,
    }
    db.execute(_LEASE[db.dialect.name], values)


# ---------------------------------------------------------------------------- what is shown


# A vote on the anchor of a panel ranks the panel; a retest of it, or gold, is a pair as any other.
RANKED = and_(
    s.comparison.c.panel.is_not(None),
    s.comparison.c.overlap > 0,
    s.comparison.c.gold.is_(None),
    s.assignment.c.kind == "vote",
)
_TEXT = s.comparison_text.c
_SHOWN: Select[Any] = (
    select(
        s.assignment.c.token,
        s.assignment.c.left,
        _TEXT.prompt_messages,
        _TEXT.a_messages,
        _TEXT.b_messages,
        _TEXT.columns,
        s.panel.c.responses,
        RANKED.label("ranked"),
    )
    .join(s.comparison_text, _TEXT.id == s.assignment.c.comparison)
    .join(s.comparison, s.comparison.c.id == s.assignment.c.comparison)
    .outerjoin(s.panel, s.panel.c.id == s.comparison.c.panel)
    .order_by(s.assignment.c.issued_at, s.assignment.c.id)
)
HELD = _SHOWN.where(
    s.assignment.c.annotator == bindparam("person"), s.LEASED, _TEXT.withdrawn_at.is_(None)
)
ONE = _SHOWN.where(s.assignment.c.token == bindparam("token"))


def panel_texts(db: Connection, token: str, responses: list[int]) -> tuple[Messages, ...]:
    """A panel's responses in the order in which the assignment of this token shows them."""
    r = s.response.c
    query = select(r.id, r.messages).where(r.id.in_(responses))
    texts = {row.id: as_messages(row.messages) for row in db.execute(query)}
    return tuple(texts[response] for response in in_shown_order(token, responses))


def assignments(db: Connection, query: Select[Any], **values: Any) -> list[Assignment]:
    """Assignments with their texts, in the order they were issued: HELD by a person, or ONE."""
    shown = []
    for row in db.execute(query, values):
        sides = as_messages(row.a_messages), as_messages(row.b_messages)
        left, right = sides if row.left == "a" else sides[::-1]
        prompt = as_messages(row.prompt_messages)
        ranked = panel_texts(db, row.token, row.responses) if row.ranked else ()
        shown.append(Assignment(row.token, prompt, left, right, row.columns, ranked))
    return shown
