"""Questions to comparisons of a study, in batches that are each whole or not there.

Texts are stored once, by content. Adding the same data again adds nothing: prompts, responses,
comparisons and imported labels are all known by their content. A share of the comparisons, drawn
at random by a hash, is asked of several people: what agreement is measured on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, select, update

from plaudit.config import AddConfig, StudySettings
from plaudit.study import schema as s
from plaudit.study.accounts import IMPORTED, new_annotator
from plaudit.study.database import upsert
from plaudit.study.masking import Masked, imported_key, replace_clear
from plaudit.study.next_comparison import IN_ORDER
from plaudit.study.privacy import Masking
from plaudit.study.questions import Added, Panel, Question, stored_messages
from plaudit.types import Messages, content_id, word_count

BATCH = 500


def insert_new(db: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose unique columns are new; leave the others as they are."""
    if rows:
        db.execute(upsert(db)(table).on_conflict_do_nothing(), list(rows))


def batches(items: Iterable[Any], size: int = BATCH) -> Iterator[list[Any]]:
    """Lists of `size` items, the last one shorter."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part


def ids_by(db: Connection, column: Any, values: Iterable[str]) -> dict[str, int]:
    """Row ids by a unique column, such as the content hash, of the rows that are there."""
    found: dict[str, int] = {}
    for part in batches(sorted(set(values))):
        query = select(column, column.table.c.id).where(column.in_(part))
        found.update((value, key) for value, key in db.execute(query))
    return found


def add_batch(
    db: Connection,
    batch: Sequence[Question],
    config: AddConfig,
    overlap: int,
    seen: Mapping[tuple[str, str], int],
) -> Added:
    """Add some hundred questions in the caller's transaction; `seen` are the labels before."""
    added = Added()
    sample = Sample.of(db) if config.overlap is None else None
    comparisons = add_comparisons(db, batch, overlap, config.in_order, added, sample)
    if config.mask:
        asked = [Masked(comparisons[q.hash], q.hash, q.group, q.clear, q.columns) for q in batch]
        stored_columns = Masking(config, ()).stored_columns
        added.replaced, left = replace_clear(db, asked, stored_columns)
        if left:
            added.drop("votes of one person on two comparisons that are one when masked", left)
    if config.labels == "gold":
        _set_gold(db, batch, comparisons, added)
    elif config.labels == "practice":
        _set_practice(db, batch, comparisons, added)
    elif config.labels == "import":
        _import_labels(db, batch, comparisons, seen, added)
    return added


class Sample(NamedTuple):
    """Which comparisons are asked of several people: drawn by a hash that only the study knows."""

    secret: str
    share: float
    overlap: int

    @classmethod
    def of(cls, db: Connection) -> Sample:
        row = db.execute(select(s.study.c.secret, s.study.c.settings)).one()
        settings = StudySettings.of(row.settings)
        return cls(row.secret, settings.agreement_share, settings.agreement_overlap)

    def overlap_of(self, comparison: str, overlap: int) -> tuple[int, bool]:
        """How many people to ask, and whether the comparison was drawn."""
        number = int(content_id("agreement", self.secret, comparison)[:13], 16)
        drawn = overlap < self.overlap and number < self.share * 16**13
        return (self.overlap, True) if drawn else (overlap, False)


def add_comparisons(
    db: Connection,
    batch: Sequence[Question],
    overlap: int,
    in_order: bool,
    added: Added,
    sample: Sample | None = None,
) -> dict[str, int]:
    """Prompts, responses, origins and comparisons of a batch; ids of the comparisons by hash."""
    texts = [{"hash": q.hashes[0], "messages": stored_messages(q.prompt)} for q in batch]
    insert_new(db, s.prompt, texts)
    prompts = ids_by(db, s.prompt.c.hash, (q.hashes[0] for q in batch))
    panels = [q.panel for q in batch if q.panel]
    beside = [pair for panel in {p.hash: p for p in panels}.values() for pair in panel.pairs]
    responses = _add_responses(db, [*batch, *beside], prompts)
    known = ids_by(db, s.comparison.c.hash, (q.hash for q in batch))
    panel_of = _add_panels(db, panels, prompts, responses)
    start = _next_position(db) if in_order else 0
    rows = []
    for number, question in enumerate(batch):
        key, prompt = question.hash, prompts[question.hashes[0]]
        own, drawn = sample.overlap_of(key, overlap) if sample else (overlap, False)
        panel = panel_of.get(question.panel.hash) if question.panel else None
        if panel and question.panel and key != question.panel.anchor:
            own, drawn = 0, False  # the anchor is asked for all
        rows.append(
            {
                "hash": key,
                "prompt": prompt,
                "response_a": responses[prompt, question.hashes[1]],
                "response_b": responses[prompt, question.hashes[2]],
                "queue_position": start + number if in_order else IN_ORDER + int(key[:13], 16),
                "overlap": own,
                "slots": own,
                "agreement": drawn,
                "panel": panel,
                "group": question.group,
                "columns": dict(question.columns),
            }
        )
    insert_new(db, s.comparison, rows)
    ids = ids_by(db, s.comparison.c.hash, (q.hash for q in batch))
    new = len(ids) - len(known)
    added.comparisons += new
    added.known += len(batch) - new
    added.drawn += len({row["hash"] for row in rows if row["agreement"]} - known.keys())
    return ids


def _add_panels(
    db: Connection,
    panels: Sequence[Panel],
    prompts: Mapping[str, int],
    responses: Mapping[tuple[int, str], int],
) -> dict[str, int]:
    """Ids of the panels by hash; without those whose anchor is a comparison of its own already."""
    c, rows = s.comparison.c, {}
    for panel in panels:
        prompt = prompts[panel.prompt]
        texts = [responses[prompt, key] for key in panel.responses]
        rows[panel.hash] = {"hash": panel.hash, "prompt": prompt, "responses": texts}
    insert_new(db, s.panel, [*rows.values()])
    ids = ids_by(db, s.panel.c.hash, rows)
    anchors = {panel.anchor for panel in panels}
    query = select(c.hash, c.panel).where(c.hash.in_(anchors))
    known = {row.hash: row.panel for row in db.execute(query)} if anchors else {}
    return {
        panel.hash: ids[panel.hash]
        for panel in panels
        if known.get(panel.anchor, ids[panel.hash]) == ids[panel.hash]
    }


def _add_responses(
    db: Connection, batch: Sequence[Question], prompts: Mapping[str, int]
) -> dict[tuple[int, str], int]:
    """Responses with their origins; ids by prompt and hash."""
    sides = [
        (prompts[q.hashes[0]], key, messages, origins)
        for q in batch
        for key, messages, origins in (
            (q.hashes[1], q.a, q.origins_a),
            (q.hashes[2], q.b, q.origins_b),
        )
    ]
    insert_new(db, s.response, [{"prompt": p, "hash": h, **_text(t)} for p, h, t, _ in sides])
    ids: dict[tuple[int, str], int] = {}
    for part in batches(sorted(set(prompts.values()))):
        r = s.response.c
        query = select(r.prompt, r.hash, r.id).where(r.prompt.in_(part))
        ids.update(((row.prompt, row.hash), row.id) for row in db.execute(query))
    rows = [
        {
            "response": ids[p, h],
            "model": origin.model,
            "sampling": dict(origin.sampling),
            "hash": content_id(origin.model, json.dumps(origin.sampling, sort_keys=True)),
        }
        for p, h, _, origins in sides
        for origin in origins
    ]
    insert_new(db, s.origin, rows)
    return ids


def _text(messages: Messages) -> dict[str, Any]:
    """A response as it is stored, with its size for the length bias of annotators."""
    text = "\n".join(message.text for message in messages)
    return {
        "messages": stored_messages(messages),
        "characters": len(text),
        "words": word_count(text),
    }


def _next_position(db: Connection) -> int:
    position = s.comparison.c.queue_position
    return (db.scalar(select(func.max(position)).where(position < IN_ORDER)) or 0) + 1


def _set_gold(
    db: Connection, batch: Sequence[Question], ids: Mapping[str, int], added: Added
) -> None:
    for question in batch:
        answer = _certain(question)
        if answer is None:
            added.drop("no certain answer, not made gold")
            continue
        # Gold is mixed in by its own rate, so it leaves the queue of open questions.
        db.execute(
            update(s.comparison)
            .where(s.comparison.c.id == ids[question.hash])
            .values(gold=answer, gold_since=0.0, slots=0)
        )
        added.labels += 1


def _certain(question: Question) -> str | None:
    """The one answer that a question's labels give for sure: a, b or tie."""
    answers = {label.answer for label in question.labels}
    sure = all(label.p in (None, 0.0, 0.5, 1.0) for label in question.labels)
    return answers.pop() if sure and len(answers) == 1 and answers <= {"a", "b", "tie"} else None


def _set_practice(
    db: Connection, batch: Sequence[Question], ids: Mapping[str, int], added: Added
) -> None:
    """Make practice pairs of questions that nobody has been asked."""
    c = s.comparison
    asked = select(s.assignment.c.id).where(s.assignment.c.comparison == c.c.id)
    judged = select(s.judgment.c.id).where(s.judgment.c.comparison == c.c.id)
    for question in batch:
        answer, text = _certain(question), question.columns.get("explanation")
        if answer is None:
            added.drop("no certain answer, not made a practice pair")
        elif not isinstance(text, str) or not text.strip():
            added.drop("no text in the column explanation, not made a practice pair")
        else:
            this = c.c.id == ids[question.hash], ~asked.exists(), ~judged.exists()
            values = {"gold": answer, "gold_since": 0.0, "slots": 0, "explanation": text.strip()}
            left = "b" if question.turned else "a"
            made = db.execute(update(c).where(*this).values(**values, explained_left=left))
            if made.rowcount:
                added.labels += 1
            else:
                added.drop("judged already, not made a practice pair")


def _import_labels(
    db: Connection,
    batch: Sequence[Question],
    ids: Mapping[str, int],
    seen: Mapping[tuple[str, str], int],
    added: Added,
) -> None:
    if not any(question.labels for question in batch):
        return
    person, now = imported_annotator(db), time.time()
    rows: list[dict[str, Any]] = []
    for question in batch:
        for label in question.labels:
            name = question.hash, label.said
            for _ in range(label.count):
                added.seen[name] += 1
                number = seen.get(name, 0) + added.seen[name]
                rows.append(
                    {
                        "key": imported_key(*name, number),
                        "comparison": ids[question.hash],
                        "annotator": person,
                        "kind": "imported",
                        "answer": label.answer,
                        "strength": label.strength,
                        "p": label.p,
                        "created_at": now,
                    }
                )
    known = ids_by(db, s.judgment.c.key, (row["key"] for row in rows))
    insert_new(db, s.judgment, rows)
    added.labels += len(rows) - len(known)


def imported_annotator(db: Connection) -> int:
    """The annotator of labels that came with data."""
    found = db.scalar(select(s.annotator.c.id).where(s.annotator.c.pseudonym == IMPORTED))
    return found or new_annotator(db, IMPORTED, IMPORTED).id
