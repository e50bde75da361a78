"""Rows of DATA as the questions that a study asks: paired, in canonical orientation, masked.

Labels are those of `Slate.preferences`, as in training.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

from plaudit.config import AddConfig
from plaudit.data.readers.reader import ORIGIN_COLUMNS
from plaudit.study.masking import Clear
from plaudit.study.privacy import Masking
from plaudit.study.ranking import MOST
from plaudit.types import (
    Authors,
    Messages,
    Origin,
    Preference,
    Slate,
    as_messages,
    content_id,
    messages_id,
)

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


class Panel(NamedTuple):
    """Responses to be ranked in one go, and the comparison that is asked in the name of all."""

    prompt: str  # hash
    responses: tuple[str, ...]  # hashes, in order
    anchor: str  # hash
    pairs: tuple[Question, ...]

    @property
    def hash(self) -> str:
        return content_id(self.prompt, *self.responses)


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
    panel: Panel | None = None  # the responses that it is to be ranked among

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
        if config.pairing == "rank" and len(slate.responses) > MOST:
            added.drop(f"more than {MOST} responses to rank: use --pairing ring")
            continue
        asked: list[Question] = []
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
                asked.append(replace(question, clear=_clear(before, question)).canonical())
        yield from _ranked(asked) if config.pairing == "rank" else asked


def _ranked(asked: Sequence[Question]) -> list[Question]:
    """The pairs of one slate as a panel, its anchor first; a single pair is no panel."""
    anchor = min((question.hash for question in asked), default="")
    responses = {key for question in asked for key in question.hashes[1:]}
    if len(responses) < 3:
        return [*asked]
    panel = Panel(asked[0].hashes[0], tuple(sorted(responses)), anchor, tuple(asked))
    pairs = [replace(question, panel=panel) for question in asked]
    return sorted(pairs, key=lambda question: question.hash != anchor)


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


PAIRINGS = {"all": _all, "ring": _ring, "one": _one, "rank": _all}  # each gives (i, j) with i < j


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
