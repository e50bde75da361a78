"""Who takes part, and what an owner decides about them: deactivate, take out, let resume.

Taking somebody out removes every judgment of theirs from figures and exports (the view
`standing` does) and opens the slots again; it can be taken back. A rule of the study may stop an
annotator; they are held until an owner decides.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, func, select, update

from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.accounts import IMPORTED, Person, audit
from plaudit.study.assignment import recount
from plaudit.study.owners import lock_owners, owners, set_active

Row = dict[str, Any]
A_RULE = "rule"  # who acts in the audit when no person does
_a = s.annotator.c


def people(db: Connection) -> list[Row]:
    """Everyone with a pseudonym, with the name, address and platform's ID they gave; those whom a
    rule has stopped come first, those taken out last."""
    i = s.identity.c
    identity = (i.name, i.email, i.platform, i.external_id)
    query = select(s.annotator, *identity).select_from(s.annotator)
    found = db.execute(
        query.outerjoin(s.identity, i.annotator == _a.id)
        .where(_a.pseudonym != IMPORTED)
        .order_by(_a.stopped_at.is_(None), _a.excluded_at.is_not(None), _a.id)
    )
    return [dict(row) for row in found.mappings()]


def payments(db: Connection) -> list[Row]:
    """What each annotator has done, for whoever pays them: judgments and hours, whether they count
    or not. Judgments of gold and repeated ones are work too; what was taken back is none."""
    j, i = s.latest.c, s.identity.c
    done = (
        select(
            j.annotator,
            func.count().label("judgments"),
            (func.sum(func.coalesce(j.active_ms, 0)) / 3_600_000.0).label("active_hours"),
            func.min(j.created_at).label("first"),
            func.max(j.created_at).label("last"),
        )
        .where(j.kind.in_(("vote", "retest")))
        .group_by(j.annotator)
        .subquery()
        .c
    )
    query = (
        select(
            *(_a.pseudonym, i.platform, i.external_id, i.name, i.email, _a.excluded_at),
            *(done.judgments, done.active_hours, done.first, done.last),
        )
        .select_from(s.annotator)
        .join(done.annotator.table, done.annotator == _a.id)
        .outerjoin(s.identity, i.annotator == _a.id)
        .order_by(_a.pseudonym)
    )
    return [dict(row) for row in db.execute(query).mappings()]


def pseudonyms(db: Connection) -> list[str]:
    """Everyone's pseudonym, in their order."""
    return [*db.scalars(select(_a.pseudonym).order_by(_a.pseudonym))]


# ------------------------------------------------------------------------------ by an owner


def change_active(db: Connection, annotator: int, active: bool, actor: Person) -> None:
    """Deactivate or reactivate a person; their judgments stay. Raises DataError on oneself, on who
    was taken out, and where `accounts.set_active` does."""
    row = _other(db, annotator, actor)
    if row.excluded_at is not None:
        raise DataError(f"{row.pseudonym} was taken out of the study; take that back first")
    set_active(db, annotator, active, actor.pseudonym)


def take_out(db: Connection, annotator: int, actor: Person) -> None:
    """Leave a person's judgments out of every figure and export, and ask others instead.

    Raises DataError on oneself, an unknown person, or the last owner.
    """
    lock_owners(db)
    row = _other(db, annotator, actor)
    if row.excluded_at is not None:
        return
    _change(db, annotator, excluded_at=time.time(), active=False, stopped_at=None, stop_reason="")
    if not owners(db):
        raise DataError("the last owner cannot be taken out")
    _release(db, annotator)
    _recount(db, annotator)
    reason = {"reason": row.stop_reason} if row.stop_reason else {}
    audit(db, actor.pseudonym, "take out", annotator=row.pseudonym, **reason)


def take_back(db: Connection, annotator: int, actor: Person) -> None:
    """Have a person who was taken out, and all their judgments, in the study again."""
    row = _other(db, annotator, actor)
    if row.excluded_at is None:
        return
    _change(db, annotator, excluded_at=None, active=True, resumed_at=time.time())
    _recount(db, annotator)
    audit(db, actor.pseudonym, "take back", annotator=row.pseudonym)


def resume(db: Connection, annotator: int, actor: Person) -> None:
    """Let a person go on whom a rule has stopped; what they judged so far stops them no more."""
    row = _other(db, annotator, actor)
    if row.stopped_at is None:
        return
    _change(db, annotator, stopped_at=None, stop_reason="", resumed_at=time.time())
    audit(db, actor.pseudonym, "resume", annotator=row.pseudonym, reason=row.stop_reason)


# -------------------------------------------------------------------------------- by a rule


def resumed(db: Connection) -> dict[int, float]:
    """When owners had annotators resume: earlier judgments stop them no more."""
    query = select(_a.id, _a.resumed_at).where(_a.resumed_at.is_not(None))
    return {row.id: row.resumed_at for row in db.execute(query)}


def stop(db: Connection, reasons: Mapping[int, str]) -> list[str]:
    """Hold the further work of annotators, with the reasons; what they hold goes to others.

    Returns the pseudonyms of those who were not stopped before. Owners are never stopped.
    """
    query = (
        select(_a.id, _a.pseudonym)
        .where(_a.id.in_(reasons), _a.role == "annotator")
        .where(_a.stopped_at.is_(None), _a.excluded_at.is_(None), _a.active)
        .order_by(_a.id)
        .with_for_update()
    )
    new = db.execute(query).all()
    for row in new:
        _change(db, row.id, stopped_at=time.time(), stop_reason=reasons[row.id])
        _release(db, row.id)
        _recount(db, row.id)
        audit(db, A_RULE, "stop", annotator=row.pseudonym, reason=reasons[row.id])
    return [row.pseudonym for row in new]


def stopped(db: Connection) -> list[Row]:
    """Whom a rule has stopped: id, pseudonym, since when and why, the newest first."""
    query = select(_a.id, _a.pseudonym, _a.stopped_at, _a.stop_reason)
    query = query.where(_a.stopped_at.is_not(None)).order_by(_a.stopped_at.desc())
    return [dict(row) for row in db.execute(query).mappings()]


def _other(db: Connection, annotator: int, actor: Person) -> Any:
    """The annotator's row, locked. Raises DataError on oneself or an unknown person."""
    query = select(s.annotator).where(_a.id == annotator, _a.pseudonym != IMPORTED)
    row = db.execute(query.with_for_update()).one_or_none()
    if row is None:
        raise DataError(f"no annotator {annotator}")
    if row.id == actor.id:
        raise DataError("this is you; another owner can do that")
    return row


def _change(db: Connection, annotator: int, **values: Any) -> None:
    db.execute(update(s.annotator).where(_a.id == annotator).values(**values))


def _release(db: Connection, annotator: int) -> None:
    """End the leases that a person holds."""
    a = s.assignment
    held = update(a).where(a.c.annotator == annotator, a.c.state == "leased")
    db.execute(held.values(state="expired"))


def _recount(db: Connection, annotator: int) -> None:
    """Count the slots of all that a person was ever given."""
    a = s.assignment.c
    given = select(a.comparison).where(and_(a.annotator == annotator, a.kind == "vote"))
    recount(db, s.comparison.c.id.in_(given))


# ---------------------------------------------------------------------- links and the audit


def open_invitations(db: Connection) -> list[Row]:
    """Links that still work, with the pseudonym of whom a personal one is for."""
    i = s.invitation.c
    query = select(s.invitation, _a.pseudonym).outerjoin(s.annotator, _a.id == i.annotator)
    query = query.where(i.uses > 0, i.expires_at > time.time()).order_by(i.id)
    return [dict(row) for row in db.execute(query).mappings()]


def revoke(db: Connection, number: int, actor: str) -> None:
    """Make a link work no more. Raises DataError when there is no such link."""
    this = s.invitation.c.id == number
    if not db.execute(update(s.invitation).where(this).values(uses=0)).rowcount:
        raise DataError(f"no invitation {number}")
    audit(db, actor, "revoke invitation", number=number)


def audit_lines(db: Connection, offset: int, count: int) -> tuple[int, list[Row]]:
    """How many lines the audit has, and some of them, the newest first."""
    query = select(s.audit).order_by(s.audit.c.id.desc()).offset(offset).limit(count)
    total = db.scalar(select(func.count()).select_from(s.audit)) or 0
    return total, [dict(row) for row in db.execute(query).mappings()]
