"""A raw export into a study: comparisons, judgments, guidelines and pseudonyms as they were.

Into an empty study it gives an equal one: its raw export has the same content hash. Into a study
with rows of its own it adds what is not there; judgments are known by their keys.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from plaudit.config import StudySettings
from plaudit.data.files import BadRow, rows
from plaudit.data.readers.reader import field, prompt_messages, response_messages
from plaudit.data.reading import Reading
from plaudit.errors import DataError, UsageError
from plaudit.study import schema as s
from plaudit.study.accounts import IMPORTED, ROLES, new_annotator
from plaudit.study.answers import TAKES_SLOT
from plaudit.study.assignment import change_slots
from plaudit.study.database import Database
from plaudit.study.ingest import (
    Added,
    Question,
    add_comparisons,
    batches,
    ids_by,
    insert_new,
)
from plaudit.study.stored_rows import JUDGMENT
from plaudit.types import Origin, Slate, messages_id

Row = Mapping[str, Any]


def restore(
    database: Database,
    reading: Reading,
    data: str,
    overlap: int,
    added: Added,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Add a raw export, with the `study.json` beside it where there is one."""
    beside = Path(data).parent / "study.json"
    if data not in ("-", "<stdin>") and beside.is_file():
        study = _study(beside)
        overlap = study["settings"].overlap
        database.transact(lambda db: _restore_study(db, study))
    for batch in batches(_good_rows(reading, data, added)):
        added.merge(database.transact(partial(_restore_rows, batch=batch, overlap=overlap)))
        if progress is not None:
            progress(added.rows, added.rows)


def _good_rows(reading: Reading, data: str, added: Added) -> Any:
    """Rows that the reader accepts; the others are counted by it."""
    for source, row in rows(data):
        added.rows += 1
        result = reading.next(source, row)
        if isinstance(result, Slate) and not isinstance(row, BadRow):
            if messages_id(result.responses[0]) < messages_id(result.responses[1]):
                yield row
            else:
                added.drop("responses not in the order of their hashes, as exports write them")


def _study(path: Path) -> dict[str, Any]:
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
        return {
            "settings": StudySettings.of(study["settings"]),
            "guidelines": [_only(row, GUIDELINE) for row in study["guidelines"]],
            "annotators": [_annotator(row) for row in study["annotators"]],
        }
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise DataError(f"{path}: not the study.json of a raw export: {error}") from error


GUIDELINE = {"version": int, "markdown": str, "created_at": (int, float)}
ANNOTATOR = {"pseudonym": str, "role": str, "active": bool, "created_at": (int, float)}


def _annotator(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["role"] not in (*ROLES, IMPORTED):
        raise TypeError(f"role {row['role']!r:.40} is not one of {', '.join((*ROLES, IMPORTED))}")
    return _only(row, ANNOTATOR)


def _only(row: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The named fields of a row. Raises TypeError on one of another kind."""
    for name, kind in kinds.items():
        if not isinstance(row[name], kind):
            raise TypeError(f"{name} is {row[name]!r:.40}")
    return {name: row[name] for name in kinds}


def _restore_study(db: Connection, study: Mapping[str, Any]) -> None:
    empty = not db.scalar(select(func.count()).select_from(s.comparison))
    if empty:
        db.execute(update(s.study).values(settings=asdict(study["settings"])))
    if not db.scalar(select(func.count()).select_from(s.guideline)):
        for row in study["guidelines"]:
            db.execute(insert(s.guideline).values(**row))
    for row in study["annotators"]:
        insert_new(db, s.annotator, [row])


def _restore_rows(db: Connection, batch: Sequence[Row], overlap: int) -> Added:
    added = Added()
    asked = [_question(row) for row in batch]
    known = ids_by(db, s.comparison.c.hash, (question.hash for question in asked))
    ids = add_comparisons(db, asked, overlap, False, added)
    new = set(ids.values()) - set(known.values())
    of = [ids[question.hash] for question in asked]
    c = s.comparison
    for comparison, row in zip(of, batch, strict=True):
        # What the study knew of it; slots are the overlap until votes below take them.
        kept: dict[str, Any] = {}
        own = row.get("overlap")
        if own is not None and own != overlap:
            kept |= {"overlap": own, "slots": c.c.slots + own - overlap}
        if row.get("queue_position") is not None:
            kept["queue_position"] = row["queue_position"]
        if row.get("gold"):
            kept |= {"gold": row["gold"], "gold_since": row.get("gold_since"), "slots": 0}
        if kept and comparison in new:
            db.execute(update(c).where(c.c.id == comparison).values(**kept))
    added.labels = _restore_judgments(db, of, batch)
    return added


def _question(row: Row) -> Question:
    def origins(side: str) -> tuple[Origin, ...]:
        return tuple(Origin(o["model"], o["sampling"]) for o in row.get(f"origins_{side}") or ())

    prompt = prompt_messages(field(row, "prompt"))
    return Question(
        prompt,
        response_messages(field(row, "response_a")),
        response_messages(field(row, "response_b")),
        origins("a"),
        origins("b"),
        str(row.get("group") or messages_id(prompt)),
        dict(row.get("columns") or {}),
    )


def _restore_judgments(db: Connection, comparisons: Sequence[int], batch: Sequence[Row]) -> int:
    """Judgments in their order in time, each with the assignment it answered; how many."""
    judgments = [
        (comparison, judgment)
        for comparison, row in zip(comparisons, batch, strict=True)
        for judgment in row["judgments"]
    ]
    known = ids_by(db, s.judgment.c.key, (judgment["key"] for _, judgment in judgments))
    fresh = [(c, j) for c, j in judgments if j["key"] not in known]
    people = _people(db, {judgment["annotator"] for _, judgment in fresh})
    assignments = _restore_assignments(db, fresh, people)
    used: Counter[int] = Counter()
    for comparison, judgment in fresh:
        person = people[judgment["annotator"]]
        values = {name: judgment[name] for name in JUDGMENT if judgment.get(name) is not None} | {
            "comparison": comparison,
            "annotator": person,
            "assignment": assignments.get((comparison, person, judgment["kind"])),
            "supersedes": known.get(judgment.get("supersedes") or ""),
        }
        done = db.execute(insert(s.judgment).values(**values).returning(s.judgment.c.id))
        known[judgment["key"]] = done.scalar_one()
        if judgment["kind"] in ("vote", "retest"):
            used[person] += 1 if judgment["answer"] != "withdrawn" else -1
    for person, count in used.items():
        p = s.annotator
        db.execute(update(p).where(p.c.id == person).values(judged=p.c.judged + count))
    return len(fresh)


def _restore_assignments(
    db: Connection, fresh: Sequence[tuple[int, Row]], people: Mapping[str, int]
) -> dict[tuple[int, int, str], int]:
    """The assignments that votes and retests answered, so that nobody is asked again."""
    latest: dict[tuple[int, int, str], Row] = {}
    for comparison, judgment in fresh:
        if judgment["kind"] in ("vote", "retest"):
            latest[comparison, people[judgment["annotator"]], judgment["kind"]] = judgment
    ids: dict[tuple[int, int, str], int] = {}
    for (comparison, person, kind), judgment in latest.items():
        state = {"skip": "skipped", "withdrawn": "expired"}.get(judgment["answer"], "done")
        values = {
            "token": secrets.token_hex(16),
            "comparison": comparison,
            "annotator": person,
            "kind": kind,
            "left": judgment.get("left") or "a",
            "state": state,
            "leased_until": judgment["created_at"],
            "issued_at": judgment["created_at"],
        }
        a = s.assignment
        same = (a.c.comparison == comparison, a.c.annotator == person, a.c.kind == kind)
        held = db.execute(select(a.c.id, a.c.state).where(*same)).one_or_none()
        if held is None:
            done = db.execute(insert(a).values(**values).returning(a.c.id))
            ids[comparison, person, kind] = done.scalar_one()
        else:
            db.execute(update(a).where(a.c.id == held.id).values(state=state))
            ids[comparison, person, kind] = held.id
        before = TAKES_SLOT[held.state] if held else 0
        if kind == "vote" and (change := before - TAKES_SLOT[state]):
            change_slots(db, comparison, change)
    return ids


def _people(db: Connection, names: set[str]) -> dict[str, int]:
    known = ids_by(db, s.annotator.c.pseudonym, names)
    for name in names - known.keys():
        known[name] = new_annotator(db, IMPORTED if name == IMPORTED else "annotator", name).id
    return known
