"""The next comparison that a person has not seen: the search of every vote.

The queue is in the order of `queue_position`. A person's search continues where it was, first
through what a skip or an expired lease has reopened.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    literal_column,
    select,
    text,
    update,
)

from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.accounts import Person

# Queue positions below are those of comparisons asked in order, the others are random.
IN_ORDER = 1 << 40
END = 1 << 62  # the queue position of somebody who has seen everything
_random = random.SystemRandom()
LOOKED_THROUGH = 200  # reopened comparisons at every vote: one may have skipped thousands

_LOCK = (
    select(s.annotator.c.queue_position, s.annotator.c.searched_to, s.annotator.c.device)
    .where(s.annotator.c.id == bindparam("person"), s.annotator.c.excluded_at.is_(None))
    .with_for_update()
)
_MOVE_ON = (
    update(s.annotator)
    .where(s.annotator.c.id == bindparam("person"))
    .values(queue_position=bindparam("to"), searched_to=bindparam("newest"))
)
_NEWEST = select(func.coalesce(func.max(s.comparison.c.id), 0))


@dataclass(slots=True)
class Place:
    """Where a person is in the queue.

    Behind `position` is nothing open that they have not seen, but for what was added since or was
    being taken by others at that moment; so at the end one begins again. A whole pass without a
    find, when the newest comparison was `searched_to`, is not repeated before there is a newer one.
    """

    person: int
    position: int
    searched_to: int
    device: str | None  # the browser, where one is known


class _Searches:
    """The statements, built once, for people who are `mine`: building costs more than running."""

    def __init__(self, mine: ColumnElement[bool]) -> None:
        c, a = s.comparison.c, s.assignment.c
        held = select(a.id).where(
            a.comparison == c.id, mine, a.kind == "vote", a.state != "expired"
        )
        ahead = c.queue_position >= bindparam("start")
        # Conditions on slots and limits are spelled out: compared with a parameter, SQLite plans
        # a statement anew at every execution, to see whether a partial index serves this value.
        unseen = (
            select(c.id, c.queue_position)
            .where(~held.exists())
            .order_by(c.queue_position, c.id)
            .limit(literal_column("1"))
        )
        unlocked = unseen.with_for_update(of=s.comparison, skip_locked=True)
        self.ahead: Select[Any] = unlocked.where(s.OPEN, ahead)
        self.reopened = unlocked.where(
            s.OPEN, s.REOPENED, ahead, c.queue_position <= _last_looked_through()
        ).with_hint(s.comparison, "INDEXED BY ix_comparison_reopened", "sqlite")
        in_use = c.withdrawn_at.is_(None), c.explanation.is_(None)
        self.gold = unseen.where(s.IS_GOLD, *in_use, ahead)


def _last_looked_through() -> ColumnElement[int]:
    """The position of the last reopened comparison that a search looks at."""
    reopened = s.comparison.alias("reopened").c
    position = (
        select(reopened.queue_position)
        .where(text("reopened.reopened"), reopened.queue_position >= bindparam("start"))
        .order_by(reopened.queue_position)
        .offset(literal_column(str(LOOKED_THROUGH)))
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    return func.coalesce(position, literal_column(str(END)))


_own = s.assignment.c.annotator == bindparam("person")
_ALONE = _Searches(_own)
# Who judges in one browser is taken for one person.
_SAME_BROWSER = _Searches(
    s.assignment.c.annotator.in_(
        select(s.annotator.c.id).where(s.annotator.c.device == bindparam("device"))
    )
)


def lock(db: Connection, person: Person) -> Place:
    """One transaction of a person at a time: two tabs must not take two slots at once.

    Raises DataError when an owner has taken the person out at this moment.
    """
    row = db.execute(_LOCK, {"person": person.id}).one_or_none()
    if row is None:
        raise DataError("an owner of this study has ended your work here")
    return Place(person.id, row.queue_position, row.searched_to, row.device)


def find_open(db: Connection, place: Place) -> int | None:
    """The next open comparison that the person has not seen; `place` moves there."""
    found = _first(db, "reopened", place, 0) or _first(db, "ahead", place, place.position)
    if found is None:
        newest = db.scalar(_NEWEST) or 0
        if place.position < END or newest > place.searched_to:
            found = _first(db, "ahead", place, 0)
            _move(db, place, found.queue_position if found else END, newest)
    # Among thousands reopened, another part at each request.
    found = found or _first(db, "reopened", place, _random.randrange(IN_ORDER + (1 << 52)))
    if found is None:
        return None
    if found.queue_position > place.position:
        _move(db, place, found.queue_position, place.searched_to)
    return int(found.id)


def find_gold(db: Connection, place: Place, start: int) -> int | None:
    """A gold comparison that the person has not seen, from position `start` on."""
    found = _first(db, "gold", place, start) or _first(db, "gold", place, 0)
    return int(found.id) if found else None


def _first(db: Connection, search: str, place: Place, start: int) -> Any:
    statements = _SAME_BROWSER if place.device else _ALONE
    values = {"person": place.person, "device": place.device, "start": start}
    return db.execute(getattr(statements, search), values).one_or_none()


def _move(db: Connection, place: Place, to: int, newest: int) -> None:
    place.position, place.searched_to = to, newest
    db.execute(_MOVE_ON, {"person": place.person, "to": to, "newest": newest})
