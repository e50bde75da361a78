"""Masked texts in place of clear ones that an earlier add has stored.

A comparison's hash, and which of its responses is a, follow from its texts; so masking makes
another comparison. What was said of the clear one moves there: assignments as they are, judgments,
which are append-only, as copies that supersede them. The clear texts are overwritten, and their
comparison stays as an empty row, since judgments point to it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, text, update

from plaudit.study import schema as s
from plaudit.study.assignment import recount
from plaudit.types import content_id

SIDES = {"a": "b", "b": "a"}
REPLACED = "replaced"  # the hash of the prompt of comparisons whose own texts are gone
Row = dict[str, Any]


class Clear(NamedTuple):
    """A question as it was before masking: its hash, and whether its a is what is b now."""

    hash: str
    turned: bool


class Masked(NamedTuple):
    """A comparison in the store, and what masking says of it."""

    id: int
    hash: str
    group: str
    clear: Clear | None
    columns: Mapping[str, Any]


def replace_clear(
    db: Connection, batch: Sequence[Masked], stored_columns: Callable[[Mapping[str, Any]], Row]
) -> tuple[int, int]:
    """Let masked comparisons take the place of clear ones; `stored_columns` masks columns.

    Returns how many were changed, and how many votes stayed behind, since their annotator had
    judged two comparisons that are one when masked.
    """
    _zero_what_is_freed(db, True)
    changed, left, gone = 0, 0, list[RowMapping]()
    c = s.comparison
    hashes = [one.clear.hash for one in batch if one.clear]
    found = db.execute(select(c).where(c.c.hash.in_(hashes))).mappings()
    clear = {row["hash"]: row for row in found}
    ids = [one.id for one in batch]
    now = {row.id: row for row in db.execute(select(c).where(c.c.id.in_(ids)))}
    for one in batch:
        old = clear.pop(one.clear.hash, None) if one.clear else None
        before = {**now[one.id].columns, **(old["columns"] if old else {})}
        columns = {**stored_columns(before), **one.columns}
        if columns != now[one.id].columns or one.group != now[one.id].group:
            values = {"columns": columns, "group": one.group}
            db.execute(update(c).where(c.c.id == one.id).values(**values))
            changed += old is None
        if old is not None and one.clear is not None:
            left += _move(db, old, one, SIDES if one.clear.turned else {})
            gone.append(old)
            changed += 1
    _empty(db, gone)
    if changed:
        recount(db, c.c.id.in_(ids))
        db.execute(delete(s.rendering))  # made again from what is left
    _zero_what_is_freed(db, False)
    return changed, left


def _zero_what_is_freed(db: Connection, on: bool) -> None:
    """Leave no clear text in free space of a SQLite file; PostgreSQL's vacuum sees to its own."""
    if db.dialect.name == "sqlite":
        db.execute(text(f"PRAGMA secure_delete = {int(on)}"))


def _move(db: Connection, old: RowMapping, new: Masked, turn: Mapping[str, str]) -> int:
    """What was asked and said of the old comparison, to the new one; returns the votes left."""
    c, a = s.comparison, s.assignment
    kept = db.execute(select(c).where(c.c.id == new.id)).mappings().one()
    values = {
        "gold": kept["gold"] or turn.get(old["gold"], old["gold"]),
        "gold_since": kept["gold_since"] if kept["gold"] else old["gold_since"],
        "overlap": max(kept["overlap"], old["overlap"]),
        "queue_position": min(kept["queue_position"], old["queue_position"]),
        "agreement": kept["agreement"] or old["agreement"],
        "explanation": kept["explanation"] or old["explanation"],
        "withdrawn_at": old["withdrawn_at"],
    }
    db.execute(update(c).where(c.c.id == new.id).values(**values))
    held = {
        (row.annotator, row.kind) for row in db.execute(select(a).where(a.c.comparison == new.id))
    }
    stays = set()
    for row in db.execute(select(a).where(a.c.comparison == old["id"])).all():
        if (row.annotator, row.kind) in held:
            stays.add(row.id)
        else:
            left = turn.get(row.left, row.left)
            db.execute(update(a).where(a.c.id == row.id).values(comparison=new.id, left=left))
    return _copy_judgments(db, old["id"], new, turn, stays)


def _copy_judgments(
    db: Connection, old: int, new: Masked, turn: Mapping[str, str], stays: set[int]
) -> int:
    """Copies of the standing judgments of the old comparison; returns how many were left."""
    j = s.latest.c
    resolved = db.scalar(select(j.id).where(j.comparison == new.id, j.kind == "resolution"))
    known = select(s.judgment.c.id).where(s.judgment.c.key == bindparam("given"))
    numbers: Counter[str] = Counter()
    left = 0
    for row in db.execute(select(s.latest).where(j.comparison == old).order_by(j.id)).mappings():
        if row["assignment"] in stays or (row["kind"] == "resolution" and resolved):
            left += 1
            continue
        p = 1.0 - row["p"] if turn and row["p"] is not None else row["p"]
        answer = turn.get(row["answer"], row["answer"])
        key = content_id("masked", row["key"])
        if row["kind"] == "imported":
            said = answer if p is None else f"p={p:.9f}"
            numbers[said] += 1
            while db.scalar(known, {"given": (key := imported_key(new.hash, said, numbers[said]))}):
                numbers[said] += 1  # of another clear copy
        copy = {name: value for name, value in row.items() if name != "id"} | {
            "key": key,
            "comparison": new.id,
            "answer": answer,
            "p": p,
            "left": turn.get(row["left"], row["left"]),
            "criteria": _turned(row["criteria"], turn),
            "supersedes": row["id"],
        }
        db.execute(insert(s.judgment).values(**copy))
    return left


def imported_key(comparison: str, said: str, number: int) -> str:
    """The key of the label that says so for the `number`th time: the same data adds no second."""
    return "imported:" + content_id(comparison, said, str(number))


def _turned(criteria: Mapping[str, Any], turn: Mapping[str, str]) -> Row:
    return {
        name: {**said, "answer": turn.get(said.get("answer"), said.get("answer"))}
        for name, said in criteria.items()
    }


def _empty(db: Connection, gone: Sequence[RowMapping]) -> None:
    """Withdraw comparisons whose judgments have moved, and overwrite the texts only they had."""
    c, p, r = s.comparison, s.prompt, s.response
    for old in gone:
        values: Row = {
            "hash": content_id(REPLACED, old["hash"], str(old["id"])),
            **_nothing(db),
            "columns": {},
            "group": REPLACED,
            "slots": 0,
            "overlap": 0,
            "gold": None,
            "agreement": False,
            "explanation": None,
            "withdrawn_at": time.time(),
        }
        db.execute(update(c).where(c.c.id == old["id"]).values(**values))
    prompts = {old["prompt"] for old in gone}
    prompts -= {*db.scalars(select(c.c.prompt).where(c.c.prompt.in_(prompts)))}
    responses = {old[side] for old in gone for side in ("response_a", "response_b")}
    for side in (c.c.response_a, c.c.response_b):
        responses -= {*db.scalars(select(side).where(side.in_(responses)))}
    for table, ids in ((p, prompts), (r, responses)):
        for number in ids:
            empty: Row = {"hash": content_id(REPLACED, str(number)), "messages": []}
            db.execute(update(table).where(table.c.id == number).values(**empty))
    db.execute(update(r).where(r.c.id.in_(responses)).values(characters=0, words=0))
    db.execute(delete(s.origin).where(s.origin.c.response.in_(responses)))


def _nothing(db: Connection) -> dict[str, int]:
    """The prompt and responses of comparisons whose texts are gone."""
    p, r = s.prompt.c, s.response.c
    prompt = db.scalar(select(p.id).where(p.hash == REPLACED))
    if prompt is None:
        row = insert(s.prompt).values(hash=REPLACED, messages=[]).returning(p.id)
        prompt = db.execute(row).scalar_one()
        for side in "ab":
            values = {"prompt": prompt, "hash": side, "messages": [], "characters": 0, "words": 0}
            db.execute(insert(s.response).values(**values))
    ids = [*db.scalars(select(r.id).where(r.prompt == prompt).order_by(r.hash))]
    return {"prompt": prompt, "response_a": ids[0], "response_b": ids[1]}
