"""What an owner decides about comparisons: withdraw, edit, gold, and what people had trouble with.

A comparison that was skipped or reported waits in a queue until an owner has withdrawn it, edited
it as a new version, or kept it as it is; a later skip or report brings it back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, case, exists, func, or_, select, update

from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.accounts import audit
from plaudit.study.assignment import recount
from plaudit.study.ingest import add_comparisons
from plaudit.study.questions import Added, Question, storable
from plaudit.study.stored_rows import PRESENT
from plaudit.types import Message, Messages, Origin, as_messages

# Lists look at the newest judgments alone, so that a page costs the same in a large study.
NEWEST = 2000
NEWEST_PROBLEMS = 1000
Row = dict[str, Any]
SIDES = ("prompt", "a", "b")
_c = s.comparison.c
_REPLACED_BY = select(func.max(_c.id)).where(
    _c.replaces.is_not(None), _c.replaces == bindparam("comparison")
)


# ------------------------------------------------------------------------------- one of them


def card(db: Connection, comparison: int) -> Row:
    """A comparison with its texts, columns and state, and the votes on it that count.

    Raises DataError on an unknown one. No model is named: see `models`.
    """
    _locked(db, comparison, lock=False)
    c = s.comparison_text.c
    row = db.execute(select(s.comparison_text).where(c.id == comparison)).mappings().one()
    said = [line for line in judgments(db, comparison) if line["counts"]]
    texts: dict[str, Messages] = {name: as_messages(row[f"{name}_messages"]) for name in SIDES}
    votes = [line for line in said if line["kind"] == "vote"]
    newer = db.scalar(_REPLACED_BY, {"comparison": comparison})
    resolution = next((line for line in said if line["kind"] == "resolution"), None)
    return {**row, **texts, "votes": votes, "resolution": resolution, "replaced_by": newer}


def judgments(db: Connection, comparison: int) -> list[Row]:
    """Everything that was ever said of a comparison, oldest first, with who said it.

    `counts` is whether it is in figures and exports; otherwise `why_not` says why.
    """
    j, a = s.judgment.c, s.annotator.c
    later = s.judgment.alias()
    standing = exists().where(s.standing.c.id == j.id)
    why_not = case(
        (j.answer == "withdrawn", "taken back"),
        (exists().where(later.c.supersedes == j.id), "changed later"),
        (a.excluded_at.is_not(None), "annotator taken out"),
        (~standing, "comparison withdrawn"),
        else_="",
    )
    query = (
        select(s.judgment, a.pseudonym, standing.label("counts"), why_not.label("why_not"))
        .join(s.annotator, a.id == j.annotator)
        .where(j.comparison == comparison)
        .order_by(j.id)
    )
    return [dict(row) for row in db.execute(query).mappings()]


def models(db: Connection, comparison: int) -> dict[str, list[str]]:
    """Who wrote response a and response b: the models' names, more than one where texts agree."""
    o = s.origin.c
    query = select(_c.response_a, o.response, o.model).select_from(s.comparison)
    query = query.join(s.origin, o.response.in_((_c.response_a, _c.response_b)))
    found: dict[str, list[str]] = {"a": [], "b": []}
    for row in db.execute(query.where(_c.id == comparison).order_by(o.model).distinct()):
        found["a" if row.response == row.response_a else "b"].append(row.model)
    return {side: [*dict.fromkeys(names)] for side, names in found.items()}


def withdraw(db: Connection, comparison: int, actor: str) -> None:
    """Ask a comparison no more, and leave it out of every figure and export; all that was said
    stays stored. Raises DataError on an unknown one."""
    row = _locked(db, comparison)
    if row.withdrawn_at is None:
        _set(db, comparison, withdrawn_at=time.time())
        a = s.assignment.c  # whoever has it on the screen may still answer, and late
        held = update(s.assignment).where(a.comparison == comparison, a.state == "leased")
        db.execute(held.values(state="expired"))
        recount(db, _c.id == comparison)
        audit(db, actor, "withdraw", comparison=comparison)


def reopen(db: Connection, comparison: int, actor: str) -> None:
    """Ask a withdrawn comparison again, with the judgments it has.

    Raises DataError on an unknown one.
    """
    row = _locked(db, comparison)
    if row.withdrawn_at is not None:
        _set(db, comparison, withdrawn_at=None)
        recount(db, _c.id == comparison)
        audit(db, actor, "reopen", comparison=comparison)


def edit(db: Connection, comparison: int, texts: Mapping[str, Sequence[str]], actor: str) -> int:
    """Withdraw a comparison and ask a new version of it anew; returns the new one's number.

    Args:
        texts: of each message of the `prompt` and of responses `a` and `b`. Those of messages that
            are not plain text are not looked at.

    Models, columns and overlap are those of the version before, which the new one `replaces`;
    gold is none. Raises DataError when nothing was changed, or the new version is there already.
    """
    row = _locked(db, comparison)
    if row.panel is not None:
        raise DataError("this comparison is part of a ranking; withdraw it instead")
    before = card(db, comparison)
    after = {name: _edited(before[name], texts.get(name, ())) for name in SIDES}
    if all(after[name] == before[name] for name in SIDES):
        raise DataError("nothing was changed")
    if after["a"] == after["b"]:
        raise DataError("both responses would be the same")
    origins = _origins(db, row.response_a), _origins(db, row.response_b)
    question = Question(
        after["prompt"], after["a"], after["b"], *origins, row.group, row.columns
    ).canonical()
    if db.scalar(select(_c.id).where(_c.hash == question.hash)):
        raise DataError("a comparison with these texts is there already")
    withdraw(db, comparison, actor)
    (number,) = add_comparisons(db, [question], row.overlap, False, Added()).values()
    kept = {name: row._mapping[name] for name in ("queue_position", "agreement", "overlap")}
    _set(db, number, replaces=comparison, **kept)
    recount(db, _c.id == number)
    audit(db, actor, "edit comparison", comparison=comparison, new=number)
    return number


def _edited(messages: Messages, texts: Sequence[str]) -> Messages:
    """The messages with new texts; forms send line ends of their own, which are no change."""

    def one(message: Message, given: str) -> Message:
        written = storable(given).replace("\r\n", "\n")
        same = isinstance(message.content, str) and message.content.replace("\r\n", "\n") == written
        plain = isinstance(message.content, str) and not same
        return replace(message, content=written) if plain else message

    kept = messages[len(texts) :]
    return tuple(one(*pair) for pair in zip(messages, texts, strict=False)) + kept


def _origins(db: Connection, response: int) -> tuple[Origin, ...]:
    o = s.origin.c
    rows = db.execute(select(o.model, o.sampling).where(o.response == response).order_by(o.id))
    return tuple(Origin(row.model, row.sampling) for row in rows)


def _locked(db: Connection, comparison: int, lock: bool = True) -> Any:
    query = select(s.comparison, PRESENT.label("present")).where(_c.id == comparison)
    row = db.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise DataError(f"no comparison {comparison}")
    if not row.present:
        raise DataError(f"comparison {comparison} gave way to one with masked texts")
    return row


def _set(db: Connection, comparison: int, **values: Any) -> None:
    db.execute(update(s.comparison).where(_c.id == comparison).values(**values))


# ------------------------------------------------------------------- skipped and reported

# Judgments that say that something is wrong, which no owner has looked at yet.
_PROBLEM = (
    select(s.standing.c.comparison, s.standing.c.annotator, s.standing.c.id)
    .join(s.comparison, _c.id == s.standing.c.comparison)
    .where(
        or_(s.standing.c.answer == "skip", s.standing.c.report != ""),
        s.standing.c.kind.in_(("vote", "retest")),
        s.standing.c.id > func.coalesce(_c.reviewed_until, 0),
    )
)
# Whom an open comparison can still be asked.
_ASKABLE = and_(
    s.annotator.c.role == "annotator",
    s.annotator.c.active,
    s.annotator.c.stopped_at.is_(None),
)
_UNASKED = (
    select(s.annotator.c.id)
    .where(
        _ASKABLE,
        ~exists()
        .where(
            s.assignment.c.annotator == s.annotator.c.id,
            s.assignment.c.comparison == _c.id,
            s.assignment.c.kind == "vote",
            s.assignment.c.state != "expired",
        )
        .correlate(s.annotator, s.comparison),
    )
    .correlate(s.comparison)
    .exists()
)
_STUCK = and_(_c.slots > 0, ~_UNASKED)


def problem_counts(db: Connection) -> dict[str, int]:
    """`problems`: how many comparisons wait in the queue; `stuck`: open ones of them that nobody
    is left to judge, and that would wait for ever."""
    waiting = _PROBLEM.subquery().c.comparison
    count = select(func.count(waiting.distinct()))
    return {"problems": db.scalar(count) or 0, "stuck": len(_stuck(db, _PROBLEM))}


def _stuck(db: Connection, problems: Select[Any]) -> set[int]:
    waiting = select(problems.subquery().c.comparison)
    return set(db.scalars(select(_c.id).where(_c.id.in_(waiting), _STUCK)))


def problems(db: Connection, offset: int, limit: int) -> list[Row]:
    """Cards of what was skipped or reported last, what nobody is left to judge first, then by how
    many people did.

    Each has `problems`, the judgments that say what is wrong, `upto`, the newest of them, and
    `stuck`.
    """
    newest = _PROBLEM.order_by(s.standing.c.id.desc()).limit(NEWEST_PROBLEMS)
    of = newest.subquery().c
    people, last = func.count(of.annotator.distinct()), func.max(of.id)
    found = select(of.comparison, people.label("people"), last.label("newest"))
    stuck = _stuck(db, newest)
    waiting = sorted(
        db.execute(found.group_by(of.comparison)),
        key=lambda row: (row.comparison in stuck, row.people, row.newest),
        reverse=True,
    )
    page = waiting[offset : offset + limit]
    return [_problem(db, row, row.comparison in stuck) for row in page]


def _problem(db: Connection, row: Any, stuck: bool) -> Row:
    found = card(db, row.comparison)
    reviewed = found["reviewed_until"] or 0
    said = [
        line
        for line in judgments(db, row.comparison)
        if line["counts"] and line["id"] > reviewed and (line["answer"] == "skip" or line["report"])
    ]
    return {**found, "problems": said, "upto": row.newest, "stuck": stuck}


def keep(db: Connection, comparison: int, upto: int, actor: str) -> None:
    """Keep a comparison as it is: what was said of it up to that judgment is settled.

    Raises DataError on an unknown comparison.
    """
    _locked(db, comparison)
    _set(db, comparison, reviewed_until=upto)
    audit(db, actor, "keep", comparison=comparison)


# ----------------------------------------------------------------------------- disagreements


def unresolved(db: Connection, comparisons: Iterable[int]) -> list[int]:
    """Those of the comparisons on which no owner has decided, in their order."""
    j, asked = s.standing.c, list(comparisons)
    standing = select(_c.id).where(_c.id.in_(asked), _c.withdrawn_at.is_(None))
    resolved = select(j.comparison).where(j.comparison.in_(asked), j.kind == "resolution")
    waiting = set(db.scalars(standing)) - set(db.scalars(resolved))
    return [comparison for comparison in asked if comparison in waiting]


# ---------------------------------------------------------------------------------- gold


def gold(db: Connection, offset: int, limit: int) -> tuple[int, list[int]]:
    """How many gold comparisons there are, and some of them in the order of the queue."""
    count = select(func.count()).select_from(s.comparison).where(s.IS_GOLD)
    out = select(func.count(_c.gold)).where(s.OUT)
    query = select(_c.id).where(s.IS_GOLD, _c.withdrawn_at.is_(None), _c.explanation.is_(None))
    query = query.order_by(_c.queue_position, _c.id).offset(offset).limit(limit)
    return (db.scalar(count) or 0) - (db.scalar(out) or 0), [*db.scalars(query)]


def gold_candidates(db: Connection, limit: int = 10) -> list[int]:
    """Comparisons on which three or more people gave one answer, among the newest votes."""
    j = s.standing.c
    votes = select(j.comparison, j.annotator, j.answer).where(j.kind == "vote")
    newest = votes.order_by(j.id.desc()).limit(NEWEST).subquery().c
    query = (
        select(newest.comparison)
        .join(s.comparison, _c.id == newest.comparison)
        .where(_c.gold.is_(None), newest.answer.in_(("a", "b")))
        .group_by(newest.comparison)
        .having(
            func.count(newest.annotator.distinct()) >= 3,
            func.min(newest.answer) == func.max(newest.answer),
        )
        .order_by(newest.comparison)
        .limit(limit)
    )
    return [*db.scalars(query)]


def set_gold(db: Connection, comparison: int, answer: str, actor: str) -> None:
    """Make a comparison gold with this answer, or remove it from gold with none.

    Raises DataError on another answer or an unknown comparison.
    """
    if answer not in ("", "a", "b", "tie"):
        raise DataError(f"gold is a, b or tie, found {answer!r}")
    _locked(db, comparison)
    _set(db, comparison, gold=answer or None, gold_since=time.time() if answer else None)
    # Gold is asked by its own rate and holds no slots; what is gold no more has its own again.
    recount(db, _c.id == comparison)
    verb = "make gold" if answer else "remove from gold"
    audit(db, actor, verb, comparison=comparison, answer=answer)
