"""A study's owners, and what they decide of who takes part: deactivate, reactivate, erase.

Somebody must always be able to come in as an owner: the last one is neither deactivated nor erased.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, delete, exists, func, or_, select, update

from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.accounts import IMPORTED, Person, audit, person_in


def lock_owners(db: Connection) -> None:
    """One decision about owners at a time: two of them must not remove each other."""
    a = s.annotator.c
    db.execute(select(a.id).where(a.role == "owner").order_by(a.id).with_for_update()).all()


def owners(db: Connection) -> int:
    """How many active owners can come in: by a password, a return link or a session that lasts."""
    a = s.annotator.c
    return _owners(db, or_(a.return_hash.is_not(None), _has_password(), _has_session()))


def unlocked_owners(db: Connection) -> int:
    """How many active owners can come in from anywhere, whatever their browser has kept."""
    return _owners(db, _has_password())


def first_owner(db: Connection) -> Person | None:
    """The active owner who joined first."""
    a = s.annotator.c
    query = select(s.annotator).where(a.role == "owner", a.active).order_by(a.id).limit(1)
    row = db.execute(query).one_or_none()
    return person_in(row) if row else None


def _has_password() -> Any:
    identity = s.identity.c
    return exists().where(identity.annotator == s.annotator.c.id, identity.password.is_not(None))


def _has_session() -> Any:
    session = s.session.c
    return exists().where(session.annotator == s.annotator.c.id, session.expires_at > time.time())


def _owners(db: Connection, condition: Any) -> int:
    a = s.annotator.c
    return db.scalar(select(func.count()).where(a.role == "owner", a.active, condition)) or 0


def set_active(db: Connection, annotator: int, active: bool, actor: str) -> None:
    """Deactivate a person, or reactivate them; their judgments stay.

    Raises DataError on an unknown person, or when no owner would be left.
    """
    lock_owners(db)
    name, owned = _pseudonym(db, annotator), owners(db)
    db.execute(update(s.annotator).where(s.annotator.c.id == annotator).values(active=active))
    if not active:
        if owned and not owners(db):
            raise DataError("the last owner cannot be deactivated")
        db.execute(delete(s.session).where(s.session.c.annotator == annotator))
        a = s.assignment  # what they hold goes to others now
        held = update(a).where(a.c.annotator == annotator, a.c.state == "leased")
        db.execute(held.values(leased_until=0.0))
    audit(db, actor, "reactivate" if active else "deactivate", annotator=name)


def erase(db: Connection, annotator: int, actor: str) -> None:
    """Forget who a person is: name, address, password, browser and ways in. Judgments stay.

    On SQLite what was there is overwritten; `Database.checkpoint` then empties the log of it.
    Raises DataError on an unknown person, or when no owner would be left.
    """
    lock_owners(db)
    name, owned = _pseudonym(db, annotator), owners(db)
    if db.dialect.name == "sqlite":
        db.exec_driver_sql("PRAGMA secure_delete = ON")
    for table in (s.identity, s.session):
        db.execute(delete(table).where(table.c.annotator == annotator))
    nothing = {"device": None, "return_hash": None}
    db.execute(update(s.annotator).where(s.annotator.c.id == annotator).values(**nothing))
    if owned and not owners(db):
        raise DataError("the last owner's identity cannot be erased: nobody could come in")
    audit(db, actor, "erase identity", annotator=name)


def _pseudonym(db: Connection, annotator: int) -> str:
    name = db.scalar(select(s.annotator.c.pseudonym).where(s.annotator.c.id == annotator))
    if name is None or name == IMPORTED:
        raise DataError(f"no annotator {annotator}")
    return str(name)
