"""Searching the comparisons of a study, newest first, a page at a time.

A page costs the same in a study of a million: what is rare (gold, withdrawn, reported, judged by
one person) is found by an index, all else in a window of the newest comparisons, and a page that
ends with its window says how far it has looked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    TextClause,
    and_,
    case,
    exists,
    func,
    or_,
    select,
)

from plaudit.errors import DataError
from plaudit.study import schema as s
from plaudit.study.stored_rows import PRESENT
from plaudit.types import as_messages

WINDOW = 10_000  # comparisons looked through for one page
TEXT_WINDOW = 3_000  # where their texts have to be looked through
ON_PAGE = 20
# Candidates whose texts are read for one page: LIKE finds words of the format as well.
CANDIDATES = 200
Row = dict[str, Any]
_c = s.comparison.c
_j = s.standing.c
STATES = ("open", "complete", "gold", "withdrawn", "skipped", "reported", "disagreed", "practice")


@dataclass(frozen=True, kw_only=True)
class Query:
    """What to look for; empty is everything. Raises DataError on an unknown state.

    text: words of the prompt or a response. column: `name=value` of the data's columns. before:
    the number of the comparison that the page before ended with.
    """

    text: str = ""
    state: str = ""
    model: str = ""
    annotator: str = ""
    column: str = ""
    before: int | None = None

    def __post_init__(self) -> None:
        if self.state and self.state not in STATES:
            raise DataError(f"state {self.state!r} is not one of {', '.join(STATES)}")
        if self.column and "=" not in self.column:
            raise DataError(f"a column filter is name=value, found {self.column!r:.80}")


@dataclass(frozen=True)
class Found:
    """A page of comparisons; `next` continues it, None at the end. `searched` is how many of the
    comparisons were looked through, where that is not all that are left; `cut` whether only the
    newest of an annotator's judgments were."""

    rows: Sequence[Row]
    next: int | None = None
    searched: int | None = None
    cut: bool = False


def search(db: Connection, query: Query) -> Found:
    """A page of comparisons. Raises DataError on an unknown annotator."""
    rare, cut = _rare(db, query)
    rare.append(PRESENT)
    if query.before is not None:
        rare.append(_c.id < query.before)
    conditions, end = _common(query), None
    size = TEXT_WINDOW if query.text else WINDOW
    if conditions:
        # The newest comparison beyond the window; None where the window reaches the oldest.
        beyond = select(_c.id).where(*rare).order_by(_c.id.desc()).offset(size).limit(1)
        end = db.scalar(beyond)
    conditions += rare if end is None else [*rare, _c.id > end]
    reads = bool(query.text or query.column)
    limit = CANDIDATES if reads else ON_PAGE
    ids = select(_c.id).where(*conditions).order_by(_c.id.desc()).limit(limit + 1)
    candidates = [*db.scalars(ids)]
    more = candidates[limit - 1] if len(candidates) > limit else None
    rows = _read(db, candidates[:limit], query) if reads else _rows(db, candidates[:limit])
    if len(rows) > ON_PAGE or (len(rows) == ON_PAGE and more):
        return Found(rows[:ON_PAGE], rows[ON_PAGE - 1]["id"], cut=cut)
    if more is not None or end is None:
        return Found(rows, more, cut=cut)
    return Found(rows, end + 1, size, cut)  # `end` itself has not been looked at


def _rare(db: Connection, query: Query) -> tuple[list[ColumnElement[bool]], bool]:
    """Conditions that an index answers: comparisons in a set that is read first; and whether that
    set is only of an annotator's newest judgments."""
    cut = False
    found: list[ColumnElement[bool]] = []
    if query.state == "gold":
        found.append(_c.id.in_(_those(s.IS_GOLD)))
    if query.state in ("withdrawn", "practice"):
        column = _c.withdrawn_at if query.state == "withdrawn" else _c.explanation
        found += [_c.id.in_(_those(s.OUT)), column.is_not(None)]
    if query.state in ("skipped", "reported"):
        j = s.judgment.c
        problem = or_(j.answer == "skip", j.report != "")
        which = _j.answer == "skip" if query.state == "skipped" else _j.report != ""
        of = exists().where(_j.id == j.id, which)
        found.append(_c.id.in_(select(j.comparison).where(problem, of)))
    if query.annotator:
        a = s.annotator.c
        person = db.scalar(select(a.id).where(a.pseudonym == query.annotator))
        if person is None:
            raise DataError(f"no annotator {query.annotator!r:.90}")
        j = s.judgment.c
        theirs = select(j.comparison).where(j.annotator == person).order_by(j.id.desc())
        cut = db.scalar(theirs.offset(WINDOW).limit(1)) is not None
        found.append(_c.id.in_(theirs.limit(WINDOW)))
    return found, cut


def _those(condition: TextClause) -> Select[tuple[int]]:
    """Comparisons that meet a condition which a partial index is of; a set that is read first."""
    return select(_c.id).where(condition).correlate(None)


def _common(query: Query) -> list[ColumnElement[bool]]:
    """Conditions that every comparison of the window is asked."""
    found: list[ColumnElement[bool]] = []
    asked = and_(_c.withdrawn_at.is_(None), _c.gold.is_(None), _c.explanation.is_(None))
    if query.state == "open":
        found.append(_c.slots > 0)
    if query.state == "complete":
        found += [asked, _c.slots <= 0]
    if query.state == "disagreed":
        found += [
            exists().where(_j.comparison == _c.id, _j.kind == "vote", _j.answer == side)
            for side in "ab"
        ]
    if query.model:
        o = s.origin.c
        found += [
            exists().where(o.response.in_((_c.response_a, _c.response_b)), o.model == query.model)
        ]
    if query.text:
        p, r = s.prompt.c, s.response.c
        found.append(
            or_(
                exists().where(p.id == _c.prompt, _like(p.messages, query.text)),
                exists().where(
                    r.id.in_((_c.response_a, _c.response_b)), _like(r.messages, query.text)
                ),
            )
        )
    if query.column:
        found.append(_like(_c.columns, query.column.partition("=")[2].strip()))
    return found


def _like(column: Any, words: str) -> ColumnElement[bool]:
    """Whether JSON holds the words, in any case, as they are or escaped. May find too much."""
    forms = {words, words.lower(), words.upper(), words.capitalize(), words.title()}
    forms |= {json.dumps(form)[1:-1] for form in forms}
    text = func.lower(column.cast(Text))
    return or_(*(text.contains(form.lower(), autoescape=True) for form in sorted(forms)))


def _read(db: Connection, ids: Sequence[int], query: Query) -> list[Row]:
    """Rows of those candidates that do hold what is looked for."""
    words = query.text.casefold()
    name, _, value = (part.strip() for part in query.column.partition("="))
    c = s.comparison_text.c
    texts = select(c.id, c.columns, c.prompt_messages, c.a_messages, c.b_messages)
    kept = []
    for row in db.execute(texts.where(c.id.in_(ids)).order_by(c.id.desc())):
        whole = (row.prompt_messages, row.a_messages, row.b_messages)
        has_words = any(words in m.text.casefold() for part in whole for m in as_messages(part))
        if has_words and (not name or _same(row.columns.get(name), value)):
            kept.append(row.id)
            if len(kept) > ON_PAGE:
                break
    return _rows(db, kept)


def _same(found: Any, value: str) -> bool:
    written = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return found is not None and written.casefold() == value.casefold()


def _rows(db: Connection, ids: Sequence[int]) -> list[Row]:
    """What a list shows of comparisons: the prompt's end, the state, votes, skips and reports."""
    counted = _j.kind.in_(("vote", "imported"))
    voted, skipped = and_(counted, _j.answer != "skip"), and_(counted, _j.answer == "skip")
    counts = {
        row.comparison: row._asdict()
        for row in db.execute(
            select(
                _j.comparison,
                *(
                    func.sum(case((which, 1), else_=0)).label(name)
                    for name, which in (
                        ("votes", voted),
                        ("skips", skipped),
                        ("reports", _j.report != ""),
                    )
                ),
            )
            .where(_j.comparison.in_(ids))
            .group_by(_j.comparison)
        )
    }
    none = {"votes": 0, "skips": 0, "reports": 0}
    query = select(s.comparison, s.prompt.c.messages).join(s.prompt, s.prompt.c.id == _c.prompt)
    found = db.execute(query.where(_c.id.in_(ids)).order_by(_c.id.desc())).mappings()
    return [
        {**none, **row, **counts.get(row["id"], {}), "text": _last(row["messages"])}
        for row in found
    ]


def _last(messages: Any) -> str:
    return as_messages(messages[-1:])[0].text[:300]


def known_models(db: Connection, limit: int = 100) -> list[str]:
    """Names of the models that wrote the responses added last."""
    o = s.origin.c
    newest = select(o.model).order_by(o.id.desc()).limit(WINDOW).subquery().c
    return [*db.scalars(select(newest.model).distinct().order_by(newest.model).limit(limit))]


def known_columns(db: Connection) -> list[str]:
    """Names of the data's columns, of the comparisons added last."""
    newest = select(_c.columns).order_by(_c.id.desc()).limit(200)
    return sorted({name for columns in db.scalars(newest) for name in columns})
