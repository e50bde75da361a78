"""Rows of DATA to comparisons of a study, in batches that are each whole or not there.

Texts are stored once, by content. Adding the same data again adds nothing: prompts, responses,
comparisons and imported labels are all known by their content. Labels are those of
`Slate.preferences`, as in training. A share of the comparisons, drawn at random by a hash, is
asked of several people: what agreement is measured on.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, func, select, update

from plaudit.config import AddConfig, StudySettings
from plaudit.data.readers.reader import ORIGIN_COLUMNS
from plaudit.study import schema as s
from plaudit.study.accounts import IMPORTED, new_annotator
from plaudit.study.database import upsert
from plaudit.study.masking import Clear, Masked, imported_key, replace_clear
from plaudit.study.next_comparison import IN_ORDER
from plaudit.study.privacy import Masking
from plaudit.types import (
    Authors,
    Messages,
    Origin,
    Preference,
    Slate,
    as_messages,
    content_id,
    messages_id,
    word_count,
)

BATCH = 500
MOST_VOTES = 1000  # rows of one comparison; more are imported as their share


@dataclass
class Added:
    """What became of rows: counts by what was done, and of what was left out."""

    rows: int = 0
    comparisons: int = 0
    known: int = 0  # comparisons that were there already
    labels: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    drawn: int = 0  # new comparisons drawn at random to be asked of several people
    replaced: int = 0  # comparisons whose clear texts or columns gave way to masked ones
    found: dict[str, int] = field(default_factory=dict)  # personal data, models' names: texts
    masked: bool = False
    columns: dict[str, int] = field(default_factory=dict)  # not kept: rows that had them
    names: tuple[str, ...] = ()  # of the study's models, which were masked
    format: str = ""
    problems: list[str] = field(default_factory=list)
    # Equal labels of one comparison seen so far: each is a label, the same file again is none.
    seen: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def merge(self, batch: Added) -> None:
        """Count what a transaction did, once it is done: one that is run again counts once."""
        self.comparisons += batch.comparisons
        self.known += batch.known
        self.labels += batch.labels
        self.drawn += batch.drawn
        self.replaced += batch.replaced
        self.seen.update(batch.seen)
        for reason, count in batch.dropped.items():
            self.drop(reason, count)


@dataclass(frozen=True, slots=True)
class Label:
    """A label that came with the data, in the question's own orientation."""

    answer: str  # a, b, tie, both_bad, skip
    count: int = 1
    strength: int | None = None
    p: float | None = None  # where the data says how probable a is, not what somebody answered

    @property
    def said(self) -> str:
        """What it says, as `imported_key` takes it."""
        return self.answer if self.p is None else f"p={self.p:.9f}"

    def turned(self) -> Label:
        """The label with a and b exchanged."""
        other = {"a": "b", "b": "a"}.get(self.answer, self.answer)
        return replace(self, answer=other, p=None if self.p is None else 1.0 - self.p)


@dataclass(frozen=True)
class Question:
    """A comparison to add, in canonical orientation, with its labels."""

    prompt: Messages
    a: Messages
    b: Messages
    origins_a: tuple[Origin, ...]
    origins_b: tuple[Origin, ...]
    group: str
    columns: Mapping[str, Any]
    labels: tuple[Label, ...] = ()
    clear: Clear | None = None  # what it was, where masking has changed its texts
    turned: bool = False  # whether a and b are the other way round than in the data

    @cached_property
    def hashes(self) -> tuple[str, str, str]:
        return messages_id(self.prompt), messages_id(self.a), messages_id(self.b)

    @property
    def hash(self) -> str:
        """As `types.Comparison.id`."""
        return content_id(*self.hashes)

    def canonical(self) -> Question:
        """The question with the response of the smaller hash as a."""
        if self.hashes[1] <= self.hashes[2]:
            return self
        return replace(
            self,
            a=self.b,
            b=self.a,
            origins_a=self.origins_b,
            origins_b=self.origins_a,
            labels=tuple(label.turned() for label in self.labels),
            turned=not self.turned,
        )


# ------------------------------------------------------------------------ slates to questions


def questions(slates: Iterable[Slate], config: AddConfig, added: Added) -> Iterator[Question]:
    """The comparisons of each slate, paired by policy; what is left out is counted."""
    masking = Masking(config, added.names)
    for read in slates:
        added.rows += 1
        try:
            clear = _storable(read)
            slate = _privately(clear, masking, added)
        except RecursionError:
            added.drop("nested too deeply to be stored")
            continue
        pairs = list(PAIRINGS[config.pairing](len(slate.responses), slate.prompt_id()))
        if not pairs:
            added.drop("only one response")
        known = {(i, j): said for i, j, said in slate.preferences()}
        for i, j in pairs:
            first, second = slate.responses[i], slate.responses[j]
            if messages_id(first) == messages_id(second):
                added.drop("identical responses")
            elif _says_nothing(first) and _says_nothing(second):
                added.drop("both responses empty")
            else:
                said = known.get((i, j))
                labels = () if config.labels == "ignore" else _labels(slate, said, added)
                question = _question(slate, i, j, labels)
                before = _question(clear, i, j, ()) if masking.on else None
                yield replace(question, clear=_clear(before, question)).canonical()


def _all(count: int, _prompt: str) -> Iterable[tuple[int, int]]:
    return combinations(range(count), 2)


def _ring(count: int, _prompt: str) -> Iterable[tuple[int, int]]:
    """Each response with the next: K comparisons instead of K(K-1)/2, and every response in two."""
    neighbours = [(i, i + 1) for i in range(count - 1)]
    return neighbours if count < 3 else [*neighbours, (0, count - 1)]


def _one(count: int, prompt: str) -> Iterable[tuple[int, int]]:
    """One pair per prompt, drawn by the prompt's hash."""
    every = list(combinations(range(count), 2))
    return [every[int(prompt[:8], 16) % len(every)]] if every else []


PAIRINGS = {"all": _all, "ring": _ring, "one": _one}  # each gives (i, j) with i < j


def _says_nothing(messages: Messages) -> bool:
    last = messages[-1]
    return not last.text.strip() and isinstance(last.content, str) and not last.fields


def _clear(before: Question | None, question: Question) -> Clear | None:
    """What the question was before masking; None where its texts are as they were."""
    if before is None or before.hashes == question.hashes:
        return None
    order = [each.hashes[1] <= each.hashes[2] for each in (before, question)]
    return Clear(before.canonical().hash, order[0] != order[1])


def authors(found: Sequence[Authors]) -> tuple[Origin, ...]:
    """Who wrote one response, from none or one entry of `Slate.origins`."""
    who = found[0] if found else None
    return (who,) if isinstance(who, Origin) else tuple(who or ())


def _privately(slate: Slate, masking: Masking, added: Added) -> Slate:
    """The slate with what `--mask` names replaced, and without columns that `--keep` leaves out."""
    masking.found.clear()
    masked, dropped = masking.slate(slate)
    for kind, count in masking.found.items():
        added.found[kind] = added.found.get(kind, 0) + count
    for name in dropped:
        added.columns[name] = added.columns.get(name, 0) + 1
    added.masked = added.masked or (masking.on and bool(masking.found))
    return masked


def storable(value: Any) -> Any:
    """The value without what a database or JSON cannot hold: NUL, half a surrogate pair, NaN."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {storable(name): storable(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def stored_messages(messages: Messages) -> list[dict[str, Any]]:
    """Messages as they are stored."""
    return [message.to_dict() for message in messages]


def _storable(slate: Slate) -> Slate:
    """The slate as it will be read back from the store, so that its hashes are those of there."""

    def read_back(messages: Messages) -> Messages:
        return as_messages(storable(stored_messages(messages)))

    origins = [authors((who,)) for who in slate.origins]
    models = {origin.model for each in origins for origin in each}
    columns = {
        name: value
        for name, value in slate.columns.items()
        if name not in ORIGIN_COLUMNS or str(value) not in models  # said by the origins
    }
    return replace(
        slate,
        prompt=read_back(slate.prompt),
        responses=tuple(map(read_back, slate.responses)),
        origins=tuple(
            tuple(Origin(storable(o.model), storable(o.sampling)) for o in each) for each in origins
        ),
        group=storable(slate.group),
        columns=storable(columns) | ({"tools": storable(slate.tools)} if slate.tools else {}),
    )


def _question(slate: Slate, i: int, j: int, labels: tuple[Label, ...]) -> Question:
    return Question(
        slate.prompt,
        slate.responses[i],
        slate.responses[j],
        authors(slate.origins[i : i + 1]),
        authors(slate.origins[j : j + 1]),
        slate.group or slate.prompt_id(),
        slate.columns,
        labels,
    )


def _labels(slate: Slate, known: Preference | None, added: Added) -> tuple[Label, ...]:
    """What the slate says of a pair: its preference, as votes where they are what says it."""
    if slate.verdict in ("both_bad", "skip"):
        return (Label(str(slate.verdict)),)
    if known is None:
        return ()
    if known.why == "votes" and slate.votes is not None:
        if all(float(n).is_integer() for n in slate.votes) and sum(slate.votes) <= MOST_VOTES:
            counts = zip(("a", "b", "tie"), slate.votes, strict=True)
            return tuple(Label(answer, int(n)) for answer, n in counts if n)
    elif slate.votes is not None and sum(slate.votes) > 0:
        added.drop("votes of rows that also have p: p is what counts", int(sum(slate.votes)))
    strength = None if slate.strength is None else max(1, min(3, round(abs(slate.strength))))
    answer = "tie" if known.p == 0.5 else "a" if known.p > 0.5 else "b"
    soft = known.p if known.why in ("p", "votes") else None
    return (Label(answer, 1, strength if answer != "tie" else None, soft),)


# ---------------------------------------------------------------------- questions to the store


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
    responses = _add_responses(db, batch, prompts)
    known = ids_by(db, s.comparison.c.hash, (q.hash for q in batch))
    start = _next_position(db) if in_order else 0
    rows = []
    for number, question in enumerate(batch):
        key, prompt = question.hash, prompts[question.hashes[0]]
        own, drawn = sample.overlap_of(key, overlap) if sample else (overlap, False)
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
