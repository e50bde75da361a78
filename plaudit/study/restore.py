"""A raw export into a study: comparisons, judgments, guidelines and pseudonyms as they were.

Into an empty study it gives an equal one: its raw export has the same content hash. Into a study
with people or comparisons of its own it adds what is not there, under `imported:` and the
pseudonym, so that nobody can be made to have said what a file says; and settings stay.
Judgments are known by their keys.
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

from sqlalchemy import Connection, exists, insert, select, update

from plaudit.config import StudySettings
from plaudit.data.files import BadRow, rows
from plaudit.data.readers.reader import prompt_messages, response_messages
from plaudit.data.reading import Reading
from plaudit.errors import DataError, UsageError
from plaudit.study import schema as s
from plaudit.study.accounts import IMPORTED, audit, new_annotator
from plaudit.study.assignment import recount
from plaudit.study.database import Database
from plaudit.study.ingest import add_comparisons, batches, ids_by, insert_new
from plaudit.study.questions import Added, Question
from plaudit.study.raw_rows import (
    ComparisonRow,
    JudgmentRow,
    StudyRow,
    checked,
    checked_settings,
)
from plaudit.study.stored_rows import JUDGMENT
from plaudit.types import Origin, Slate, content_id, messages_id

UNDER = f"{IMPORTED}:"
# What a comparison is beside its texts; its slots follow from the votes.
KEPT = {
    *("overlap", "agreement", "queue_position", "gold", "gold_since", "withdrawn_at"),
    "explanation",
}
Judged = tuple[int, JudgmentRow]  # with its comparison


def restore(
    database: Database,
    reading: Reading,
    data: str,
    overlap: int,
    added: Added,
    progress: Callable[[int, int], None] | None = None,
    actor: str = "command line",
) -> None:
    """Add a raw export, with the `study.json` beside it where there is one."""
    beside = Path(data).parent / "study.json"
    if data not in ("-", "<stdin>") and beside.is_file():
        study, settings = _study(beside)
        own = database.transact(lambda db: _restore_study(db, study, settings, actor))
        overlap = settings.overlap
    else:
        own = database.transact(_is_empty)
    linked: list[tuple[str, str, str]] = []
    for batch in batches(_good_rows(reading, data, added)):
        work = partial(_restore_rows, batch=batch, overlap=overlap, own=own, actor=actor)
        added.merge(database.transact(work))
        linked += [
            (_question(row).hash, row.replaces or "", row.panel or "")
            for row in batch
            if row.replaces or row.panel
        ]
        if progress is not None:
            progress(added.rows, added.rows)
    for part in batches(linked):
        database.transact(partial(_restore_links, linked=part))


def _is_empty(db: Connection) -> bool:
    """Whether nothing is in the study but what came by a restore, which may have been cut short."""
    first = db.execute(select(s.audit).order_by(s.audit.c.id).limit(1)).one_or_none()
    if db.scalar(select(exists().where(s.audit.c.verb == "join"))):
        return False
    if first is not None and first.verb == "restore" and "under" not in first.details:
        return True
    return not db.scalar(select(exists(select(s.comparison.c.id))))


def _good_rows(reading: Reading, data: str, added: Added) -> Any:
    """Rows that the reader and the schema accept; the others are counted, and named by place."""
    for source, row in rows(data):
        added.rows += 1
        result = reading.next(source, row)
        if not isinstance(result, Slate) or isinstance(row, BadRow):
            continue
        try:
            good = checked(ComparisonRow, row)
        except DataError as error:
            added.drop("fields that no export writes")
            if len(added.problems) < 3:
                added.problems.append(f"{source}: {error}")
            continue
        if messages_id(result.responses[0]) < messages_id(result.responses[1]):
            yield good
        else:
            added.drop("responses not in the order of their hashes, as exports write them")


def _study(path: Path) -> tuple[StudyRow, StudySettings]:
    try:
        study = checked(StudyRow, json.loads(path.read_text(encoding="utf-8")))
        return study, checked_settings(study.settings)
    except (ValueError, TypeError, AttributeError, DataError, UsageError) as error:
        raise DataError(f"{path}: not the study.json of a raw export: {error}") from error


def _restore_study(db: Connection, study: StudyRow, settings: StudySettings, actor: str) -> bool:
    """Settings, guidelines and people, where the study has none; whether it had none."""
    if not _is_empty(db):
        return False
    db.execute(update(s.study).values(settings=asdict(settings)))
    if not db.scalar(select(exists(select(s.guideline.c.version)))):
        for guideline in study.guidelines:
            db.execute(insert(s.guideline).values(**guideline.model_dump()))
    for person in study.annotators:
        insert_new(db, s.annotator, [person.model_dump()])
    audit(db, actor, "restore", settings=True, people=len(study.annotators))
    return True


def _restore_rows(
    db: Connection, batch: Sequence[ComparisonRow], overlap: int, own: bool, actor: str
) -> Added:
    added = Added()
    asked = [_question(row) for row in batch]
    known = ids_by(db, s.comparison.c.hash, (question.hash for question in asked))
    ids = add_comparisons(db, asked, overlap, False, added)
    of = [ids[question.hash] for question in asked]
    new = set(of) - set(known.values())
    for comparison, row in zip(of, batch, strict=True):
        kept = row.model_dump(include=KEPT, exclude_none=True)
        if kept and comparison in new:
            c = s.comparison
            db.execute(update(c).where(c.c.id == comparison).values(**kept))
    judged = [(c, j) for c, row in zip(of, batch, strict=True) for j in row.judgments]
    added.labels = _restore_judgments(db, judged, own)
    for part in batches(sorted(set(of))):
        recount(db, s.comparison.c.id.in_(part))
    details = {"comparisons": added.comparisons, "judgments": added.labels}
    audit(db, actor, "restore", **details, **({} if own else {"under": UNDER}))
    return added


def _restore_links(db: Connection, linked: Sequence[tuple[str, str, str]]) -> None:
    """What comparisons are to each other: versions, and the pairs of one panel.

    A comparison that the study had as one of its own before stays one.
    """
    c = s.comparison.c
    ids = ids_by(db, c.hash, [name for row in linked for name in row[:2] if name])
    for own, before, panel in linked:
        this = c.id == ids[own]
        if before in ids:
            db.execute(update(s.comparison).where(this).values(replaces=ids[before]))
        row = db.execute(select(c.prompt, c.response_a, c.response_b, c.panel).where(this)).one()
        if panel and row.panel is None:
            number = _panel_with(db, panel, row.prompt, {row.response_a, row.response_b})
            db.execute(update(s.comparison).where(this).values(panel=number))


def _panel_with(db: Connection, hash: str, prompt: int, responses: set[int]) -> int:
    """The panel of this hash, made where it is not there, with these responses among its own."""
    insert_new(db, s.panel, [{"hash": hash, "prompt": prompt, "responses": []}])
    panel = db.execute(select(s.panel).where(s.panel.c.hash == hash).with_for_update()).one()
    r = s.response.c
    of = select(r.id).where(r.id.in_(responses | {*panel.responses})).order_by(r.hash)
    values = {"responses": [*db.scalars(of)]}
    db.execute(update(s.panel).where(s.panel.c.id == panel.id).values(**values))
    return int(panel.id)


def _question(row: ComparisonRow) -> Question:
    def origins(side: str) -> tuple[Origin, ...]:
        return tuple(Origin(o.model, o.sampling) for o in getattr(row, f"origins_{side}") or ())

    prompt = prompt_messages(row.prompt)
    return Question(
        prompt,
        response_messages(row.response_a),
        response_messages(row.response_b),
        origins("a"),
        origins("b"),
        row.group or messages_id(prompt),
        row.columns or {},
    )


def _restore_judgments(db: Connection, judged: Sequence[Judged], own: bool) -> int:
    """Judgments in their order in time, each with the assignment it answered; how many."""
    keys = {judgment.key: _key(judgment, own) for _, judgment in judged}
    stored = ids_by(db, s.judgment.c.key, {*keys, *keys.values()})
    known = {
        key: number
        for key, kept in keys.items()
        if (number := stored.get(key) or stored.get(kept)) is not None
    }
    fresh = [(comparison, j) for comparison, j in judged if j.key not in known]
    people = _people(db, {_name(j, own) for _, j in fresh})
    assignments = _restore_assignments(db, fresh, people, own)
    used: Counter[int] = Counter()
    for comparison, judgment in fresh:
        person = people[_name(judgment, own)]
        said = judgment.model_dump(include={*JUDGMENT}, exclude_none=True)
        values = said | {
            "key": keys[judgment.key],
            "comparison": comparison,
            "annotator": person,
            "assignment": assignments.get((comparison, person, judgment.kind)),
            "supersedes": known.get(judgment.supersedes or ""),
        }
        done = db.execute(insert(s.judgment).values(**values).returning(s.judgment.c.id))
        known[judgment.key] = done.scalar_one()
        if judgment.kind in ("vote", "retest"):
            used[person] += 1 if judgment.answer != "withdrawn" else -1
    for person, count in used.items():
        p = s.annotator
        db.execute(update(p).where(p.c.id == person).values(judged=p.c.judged + count))
    return len(fresh)


def _name(judgment: JudgmentRow, own: bool) -> str:
    name = judgment.annotator
    if own or name == IMPORTED or name.startswith(UNDER):
        return name
    return f"{UNDER}{name}"[:80]


def _key(judgment: JudgmentRow, own: bool) -> str:
    """The key to store: beside others' judgments one that no file can choose."""
    return judgment.key if own else "restored:" + content_id(judgment.annotator, judgment.key)


def _restore_assignments(
    db: Connection, fresh: Sequence[Judged], people: Mapping[str, int], own: bool
) -> dict[tuple[int, int, str], int]:
    """The assignments that votes and retests answered, so that nobody is asked again."""
    latest: dict[tuple[int, int, str], JudgmentRow] = {}
    for comparison, judgment in fresh:
        if judgment.kind in ("vote", "retest"):
            latest[comparison, people[_name(judgment, own)], judgment.kind] = judgment
    ids: dict[tuple[int, int, str], int] = {}
    for (comparison, person, kind), judgment in latest.items():
        state = {"skip": "skipped", "withdrawn": "expired"}.get(judgment.answer, "done")
        values = {
            "token": secrets.token_hex(16),
            "comparison": comparison,
            "annotator": person,
            "kind": kind,
            "left": judgment.left or "a",
            "state": state,
            "leased_until": judgment.created_at,
            "issued_at": judgment.created_at,
        }
        a = s.assignment
        same = (a.c.comparison == comparison, a.c.annotator == person, a.c.kind == kind)
        held = db.scalar(select(a.c.id).where(*same))
        if held is None:
            held = db.execute(insert(a).values(**values).returning(a.c.id)).scalar_one()
        else:
            db.execute(update(a).where(a.c.id == held).values(state=state))
        ids[comparison, person, kind] = held
    return ids


def _people(db: Connection, names: set[str]) -> dict[str, int]:
    known = ids_by(db, s.annotator.c.pseudonym, names)
    for name in names - known.keys():
        role = IMPORTED if name == IMPORTED or name.startswith(UNDER) else "annotator"
        known[name] = new_annotator(db, role, name).id
    return known
