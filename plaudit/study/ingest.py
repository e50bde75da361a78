"""Rows of DATA to comparisons of a study, in batches that are each whole or not there.

Texts are stored once, by content. Adding the same data again adds nothing: prompts, responses,
comparisons and imported labels are all known by their content.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, islice
from typing import Any

from sqlalchemy import Connection, Table, func, select, update

from plaudit.config import AddConfig
from plaudit.study import schema as s
from plaudit.study.accounts import IMPORTED, new_annotator
from plaudit.study.database import upsert
from plaudit.study.privacy import MODELS, PII, find, mask
from plaudit.types import Message, Messages, Origin, Slate, content_id, messages_id

__all__ = ["Added", "Question", "Verdict", "add_batch", "questions"]

BATCH = 500
MOST_VOTES = 1000  # imported for one comparison
IN_ORDER = 1 << 40  # places below are asked in order, those above in a random one


@dataclass
class Added:
    """What became of rows: counts by what was done, and of what was left out."""

    rows: int = 0
    comparisons: int = 0
    known: int = 0  # comparisons that were there already
    labels: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)  # personal data, models' names: texts
    masked: bool = False
    format: str = ""
    problems: list[str] = field(default_factory=list)
    # Equal labels of one comparison seen so far: each is a label, the same file again is none.
    seen: Counter[tuple[str, str]] = field(default_factory=Counter, repr=False)

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count


@dataclass(frozen=True, slots=True)
class Verdict:
    """A label that came with the data, in the question's own orientation."""

    answer: str  # a, b, tie, both_bad, skip
    count: int = 1
    strength: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A comparison to add, in canonical orientation, with its labels."""

    prompt: Messages
    a: Messages
    b: Messages
    origins_a: tuple[Origin, ...]
    origins_b: tuple[Origin, ...]
    group: str
    columns: Mapping[str, Any]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def hashes(self) -> tuple[str, str, str]:
        return messages_id(self.prompt), messages_id(self.a), messages_id(self.b)

    @property
    def hash(self) -> str:
        """As `types.Comparison.id`."""
        return content_id(*self.hashes)


# ------------------------------------------------------------------------ slates to questions


def questions(slates: Iterable[Slate], config: AddConfig, added: Added) -> Iterator[Question]:
    """The comparisons of each slate, paired by policy; what is left out is counted."""
    for slate in slates:
        added.rows += 1
        slate = _privately(_storable(slate), config, added)
        pairs = list(PAIRINGS[config.pairing](len(slate.responses), slate.prompt_id()))
        if not pairs:
            added.drop("only one response")
        for i, j in pairs:
            if slate.responses[i] == slate.responses[j]:
                added.drop("identical responses")
            elif not (slate.responses[i][-1].text.strip() or slate.responses[j][-1].text.strip()):
                added.drop("both responses empty")
            else:
                yield _question(slate, i, j, config)


def _all(count: int, _prompt: str) -> Iterable[tuple[int, int]]:
    return combinations(range(count), 2)


def _ring(count: int, _prompt: str) -> Iterable[tuple[int, int]]:
    """Each response with the next: K comparisons instead of K(K-1)/2, and every response in two."""
    return _all(count, "") if count < 4 else [(i, (i + 1) % count) for i in range(count)]


def _one(count: int, prompt: str) -> Iterable[tuple[int, int]]:
    """One pair a prompt, drawn by the prompt's hash."""
    every = list(combinations(range(count), 2))
    return [every[int(prompt[:8], 16) % len(every)]] if every else []


PAIRINGS = {"all": _all, "ring": _ring, "one": _one}


def _privately(slate: Slate, config: AddConfig, added: Added) -> Slate:
    """The slate with what `--mask` names replaced; finds are counted either way."""
    texts = (slate.prompt, *slate.responses)
    found: Counter[str] = Counter()
    for messages in texts:
        found.update(find(messages, PII).keys())
    for messages in slate.responses:
        found.update(find(messages, MODELS).keys())
    for kind, count in found.items():
        added.found[kind] = added.found.get(kind, 0) + count
    if not found or not config.mask:
        return slate
    added.masked = True
    patterns = (PII if "pii" in config.mask else {}) | (MODELS if "models" in config.mask else {})
    return replace(
        slate,
        prompt=mask(slate.prompt, PII) if "pii" in config.mask else slate.prompt,
        responses=tuple(mask(response, patterns) for response in slate.responses),
    )


def storable(value: Any) -> Any:
    """The value without what a database or JSON cannot hold: NUL, half a surrogate pair, NaN."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {storable(name): storable(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def storable_turns(messages: Messages) -> Messages:
    """The messages with storable texts."""
    return tuple(Message(message.role, storable(message.text)) for message in messages)


def _storable(slate: Slate) -> Slate:
    return replace(
        slate,
        prompt=storable_turns(slate.prompt),
        responses=tuple(map(storable_turns, slate.responses)),
        origins=tuple(o and Origin(storable(o.model), storable(o.sampling)) for o in slate.origins),
        group=storable(slate.group),
        columns=storable(slate.columns),
    )


def _question(slate: Slate, i: int, j: int, config: AddConfig) -> Question:
    if messages_id(slate.responses[i]) > messages_id(slate.responses[j]):
        i, j = j, i
    origins = slate.origins or (None,) * len(slate.responses)
    of_i, of_j = origins[i], origins[j]
    return Question(
        slate.prompt,
        slate.responses[i],
        slate.responses[j],
        (of_i,) if of_i else (),
        (of_j,) if of_j else (),
        slate.group or slate.prompt_id(),
        slate.columns,
        () if config.labels == "ignore" else tuple(_verdicts(slate, i, j)),
    )


def _verdicts(slate: Slate, i: int, j: int) -> Iterator[Verdict]:
    """What the slate's labels say of responses i and j, with i as a."""
    if slate.verdict in ("both_bad", "skip"):
        yield Verdict(str(slate.verdict))
    elif slate.votes is not None and any(slate.votes):
        first, second, tie = slate.votes
        counts = {"a": first if i < j else second, "b": second if i < j else first, "tie": tie}
        # Each vote is a row: shares of a huge electorate are kept, its size is not.
        scale = min(1.0, MOST_VOTES / max(sum(counts.values()), 1))
        for answer, votes in counts.items():
            if round(votes * scale) > 0:
                yield Verdict(answer, round(votes * scale))
    elif (known := slate.preference(i, j)) is not None:
        yield Verdict(_answer(known.p), 1, _strength(slate))


def _answer(p: float) -> str:
    return "tie" if p == 0.5 else "a" if p > 0.5 else "b"


def _strength(slate: Slate) -> int | None:
    return None if slate.strength is None else max(1, min(3, round(abs(slate.strength))))


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


def by_hash(db: Connection, table: Table, hashes: Iterable[str]) -> dict[str, int]:
    """Ids by content hash."""
    found: dict[str, int] = {}
    for part in batches(sorted(set(hashes))):
        query = select(table.c.hash, table.c.id).where(table.c.hash.in_(part))
        found.update((row.hash, row.id) for row in db.execute(query))
    return found


def stored_messages(messages: Messages) -> list[dict[str, Any]]:
    """Messages as they are stored."""
    return [message.to_dict() for message in messages]


def _text(messages: Messages) -> dict[str, Any]:
    """A response as it is stored, with its size for the length bias of annotators."""
    text = "\n".join(message.text for message in messages)
    return {
        "messages": stored_messages(messages),
        "characters": len(text),
        "words": len(text.split()),
    }


def add_batch(
    db: Connection, batch: Sequence[Question], config: AddConfig, overlap: int, added: Added
) -> list[int]:
    """Add some hundred questions in the caller's transaction; returns the comparisons' ids."""
    comparisons = add_comparisons(db, batch, overlap, config.in_order, added)
    if config.labels == "gold":
        _set_gold(db, batch, comparisons, added)
    elif config.labels == "import":
        _import_labels(db, batch, comparisons, added)
    return [comparisons[question.hash] for question in batch]


def add_comparisons(
    db: Connection, batch: Sequence[Question], overlap: int, in_order: bool, added: Added
) -> dict[str, int]:
    """Prompts, responses, origins and comparisons of a batch; ids of the comparisons by hash."""
    now = time.time()
    hashes = [question.hashes for question in batch]
    insert_new(
        db,
        s.prompt,
        [
            {"hash": h[0], "messages": stored_messages(q.prompt)}
            for q, h in zip(batch, hashes, strict=True)
        ],
    )
    prompts = by_hash(db, s.prompt, (h[0] for h in hashes))
    sides = [
        (prompts[h[0]], key, messages, origins)
        for q, h in zip(batch, hashes, strict=True)
        for key, messages, origins in ((h[1], q.a, q.origins_a), (h[2], q.b, q.origins_b))
    ]
    insert_new(db, s.response, [{"prompt": p, "hash": h, **_text(t)} for p, h, t, _ in sides])
    responses = _response_ids(db, set(prompts.values()))
    insert_new(
        db,
        s.origin,
        [
            {
                "response": responses[p, h],
                "model": origin.model,
                "sampling": dict(origin.sampling),
                "hash": content_id(origin.model, json.dumps(origin.sampling, sort_keys=True)),
            }
            for p, h, _, origins in sides
            for origin in origins
        ],
    )
    known = by_hash(db, s.comparison, (q.hash for q in batch))
    start = _next_place(db) if in_order else 0
    rows = []
    for number, (question, (prompt, a, b)) in enumerate(zip(batch, hashes, strict=True)):
        key = question.hash
        rows.append(
            {
                "hash": key,
                "prompt": prompts[prompt],
                "response_a": responses[prompts[prompt], a],
                "response_b": responses[prompts[prompt], b],
                "place": start + number if in_order else IN_ORDER + int(key[:13], 16),
                "overlap": overlap,
                "slots": overlap,
                "reopened": False,
                "group": question.group,
                "columns": dict(question.columns),
                "created_at": now,
            }
        )
    insert_new(db, s.comparison, rows)
    ids = by_hash(db, s.comparison, (q.hash for q in batch))
    new = len(ids) - len(known)
    added.comparisons += new
    added.known += len(batch) - new
    return ids


def _response_ids(db: Connection, prompts: set[int]) -> dict[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = {}
    for part in batches(sorted(prompts)):
        query = select(s.response.c.prompt, s.response.c.hash, s.response.c.id)
        rows = db.execute(query.where(s.response.c.prompt.in_(part)))
        found.update(((row.prompt, row.hash), row.id) for row in rows)
    return found


def _next_place(db: Connection) -> int:
    highest = select(func.max(s.comparison.c.place)).where(s.comparison.c.place < IN_ORDER)
    return (db.scalar(highest) or 0) + 1


def _set_gold(
    db: Connection, batch: Sequence[Question], ids: Mapping[str, int], added: Added
) -> None:
    for question in batch:
        answers = {verdict.answer for verdict in question.verdicts}
        if len(answers) != 1 or not answers <= {"a", "b", "tie"}:
            added.drop("no certain answer, not made gold")
            continue
        # Gold is mixed in by its own rate, so it leaves the queue of open questions.
        db.execute(
            update(s.comparison)
            .where(s.comparison.c.id == ids[question.hash])
            .values(gold=answers.pop(), gold_since=0.0, slots=0)
        )
        added.labels += 1


def _import_labels(
    db: Connection, batch: Sequence[Question], ids: Mapping[str, int], added: Added
) -> None:
    rows: list[dict[str, Any]] = []
    person = imported_annotator(db) if any(q.verdicts for q in batch) else 0
    for question in batch:
        for verdict in question.verdicts:
            for _ in range(verdict.count):
                name = (question.hash, verdict.answer)
                added.seen[name] += 1
                rows.append(
                    {
                        **NO_JUDGMENT,
                        "key": "imported:" + content_id(*name, str(added.seen[name])),
                        "comparison": ids[question.hash],
                        "annotator": person,
                        "kind": "imported",
                        "answer": verdict.answer,
                        "strength": verdict.strength,
                        "created_at": time.time(),
                    }
                )
    before = db.scalar(select(func.max(s.judgment.c.id))) or 0
    insert_new(db, s.judgment, rows)
    new = select(func.count()).where(s.judgment.c.id > before)
    added.labels += (db.scalar(new) or 0) if rows else 0


def imported_annotator(db: Connection) -> int:
    """The annotator of labels that came with data."""
    found = db.scalar(select(s.annotator.c.id).where(s.annotator.c.pseudonym == IMPORTED))
    return found or new_annotator(db, IMPORTED, IMPORTED).id


NO_JUDGMENT: dict[str, Any] = {
    "assignment": None,
    "strength": None,
    "left": None,
    "reasons": [],
    "rationale": "",
    "report": "",
    "active_ms": None,
    "wall_ms": None,
    "first_input_ms": None,
    "guideline": None,
    "late": False,
    "supersedes": None,
}
