"""What an owner looks at and decides: cards of comparisons, reports, gold, and who takes part."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, select, update

from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.accounts import audit
from plaudit.study.assignment import recount
from plaudit.types import Messages, as_messages

# Lists look at the newest judgments alone, so that a page costs the same in a large study.
NEWEST = 2000
Row = dict[str, Any]


def card(db: Connection, comparison: int) -> Row:
    """A comparison with its texts, and its votes with the reasons given; no model is named."""
    c, j = s.comparison_text.c, s.standing.c
    row = db.execute(select(s.comparison_text).where(c.id == comparison)).mappings().one()
    votes = (
        select(j.answer, j.strength, j.reasons, j.rationale, s.annotator.c.pseudonym)
        .join(s.annotator, s.annotator.c.id == j.annotator)
        .where(j.comparison == comparison, j.kind == "vote")
        .order_by(j.id)
    )
    texts: dict[str, Messages] = {
        name: as_messages(row[f"{name}_messages"]) for name in ("prompt", "a", "b")
    }
    found = [dict(vote) for vote in db.execute(votes).mappings()]
    return {"id": comparison, "gold": row["gold"], "votes": found, **texts}


def reported(db: Connection, limit: int) -> list[Row]:
    """Cards of what annotators reported last, each with its `report`."""
    j = s.standing.c
    newest = select(j.comparison, j.report).order_by(j.id.desc()).limit(NEWEST).subquery().c
    rows = db.execute(select(newest.comparison, newest.report).where(newest.report != "")).all()
    return [{"report": row.report, **card(db, row.comparison)} for row in rows[:limit]]


def unresolved(db: Connection, comparisons: Iterable[int]) -> list[int]:
    """Those of the comparisons on which no owner has decided, in their order."""
    j, asked = s.standing.c, list(comparisons)
    query = select(j.comparison).where(j.comparison.in_(asked), j.kind == "resolution")
    resolved = set(db.scalars(query))
    return [comparison for comparison in asked if comparison not in resolved]


# ---------------------------------------------------------------------------------- gold


def gold(db: Connection, offset: int, limit: int) -> tuple[int, list[int]]:
    """How many gold comparisons there are, and some of them in the order of the queue."""
    c = s.comparison.c
    query = select(c.id).where(s.IS_GOLD).order_by(c.queue_position, c.id)
    total = db.scalar(select(s.progress.c.gold)) or 0
    return total, [*db.scalars(query.offset(offset).limit(limit))]


def gold_candidates(db: Connection, limit: int = 10) -> list[int]:
    """Comparisons on which three or more people gave one answer, among the newest votes."""
    c, j = s.comparison.c, s.standing.c
    votes = select(j.comparison, j.annotator, j.answer).where(j.kind == "vote")
    newest = votes.order_by(j.id.desc()).limit(NEWEST).subquery().c
    query = (
        select(newest.comparison)
        .join(s.comparison, c.id == newest.comparison)
        .where(c.gold.is_(None), newest.answer.in_(("a", "b")))
        .group_by(newest.comparison)
        .having(
            func.count(newest.annotator.distinct()) >= 3,
            func.min(newest.answer) == func.max(newest.answer),
        )
        .limit(limit)
    )
    return [*db.scalars(query)]


def set_gold(db: Connection, comparison: int, answer: str, actor: str) -> None:
    """Make a comparison gold with this answer, or remove it from gold with none.

    Raises DataError on another answer or an unknown comparison.
    """
    if answer not in ("", "a", "b", "tie"):
        raise DataError(f"gold is a, b or tie, found {answer!r}")
    this = s.comparison.c.id == comparison
    values = {"gold": answer or None, "gold_since": time.time() if answer else None}
    if not db.execute(update(s.comparison).where(this).values(**values)).rowcount:
        raise DataError(f"no comparison {comparison}")
    # Gold is asked by its own rate and holds no slots; what is gold no more has its own again.
    recount(db, this)
    verb = "make gold" if answer else "remove from gold"
    audit(db, actor, verb, comparison=comparison, answer=answer)


# ---------------------------------------------------------------------------------- people


def people(db: Connection) -> list[Row]:
    """Everyone with a pseudonym, and the name and address they gave."""
    a, i = s.annotator.c, s.identity.c
    query = select(a.id, a.pseudonym, a.role, a.active, i.name, i.email).select_from(s.annotator)
    found = db.execute(query.outerjoin(s.identity, i.annotator == a.id).order_by(a.id))
    return [dict(row) for row in found.mappings()]


def open_invitations(db: Connection) -> list[Row]:
    """Links that still work."""
    i = s.invitation.c
    query = select(s.invitation).where(i.uses > 0, i.expires_at > time.time()).order_by(i.id)
    return [dict(row) for row in db.execute(query).mappings()]


def revoke(db: Connection, number: int, actor: str) -> None:
    """Make a link work no more."""
    found = update(s.invitation).where(s.invitation.c.id == number).values(uses=0)
    if not db.execute(found).rowcount:
        raise DataError(f"no invitation {number}")
    audit(db, actor, "revoke invitation", number=number)


def audit_lines(db: Connection, count: int = 30) -> list[Row]:
    """The newest lines of the audit."""
    query = select(s.audit).order_by(s.audit.c.id.desc()).limit(count)
    return [dict(row) for row in db.execute(query).mappings()]
