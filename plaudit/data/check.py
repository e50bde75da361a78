"""The data doctor: what is wrong with preference data, before any compute is spent.

One streaming pass keeps a few dozen bytes a row, so a million rows fit; the texts are not
kept. Every finding says how many, gives three examples with their place, and what to do.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.data.bag_of_words import BagOfWords
from plaudit.data.labels import Tally, pairs_of
from plaudit.data.near_duplicates import near_pairs, normalised, signature
from plaudit.data.reading import Reading
from plaudit.errors import DataError
from plaudit.statistics.intervals import Interval, wilson
from plaudit.types import Conversation, Message, Slate

__all__ = ["CheckReport", "DataCheck", "Finding"]

EXAMPLES = 3
UNUSABLE_LIMIT = 0.10
BIAS_ALARM = 0.60

# Given conversations, their token ids as hashable values and the tokens that prefixes share.
Render = Callable[[Sequence[Conversation]], list[Any]]


@dataclass
class Finding:
    """One kind of fault or fact: its count, examples with their place, what to do."""

    name: str
    what_to_do: str
    fatal: bool = False
    unusable: bool = False
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def see(self, example: str, count: int = 1) -> None:
        self.count += count
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass
class CheckReport:
    """What the doctor found. `ok` is False where training must stop."""

    rows: int
    unreadable: int
    found: list[Finding]
    facts: dict[str, Interval | float | int | str]
    slices: dict[str, dict[str, Interval]]

    @property
    def unusable(self) -> int:
        return self.unreadable + sum(f.count for f in self.found if f.unusable)

    @property
    def fatal(self) -> list[str]:
        """Why training must stop, in words; empty when it need not."""
        reasons = [
            f"{f.count} {f.name}: {f.examples[0]}" for f in self.found if f.fatal and f.count
        ]
        if self.unusable > UNUSABLE_LIMIT * max(self.rows, 1):
            share = self.unusable / max(self.rows, 1)
            reasons.append(f"{self.unusable:,} of {self.rows:,} rows ({share:.0%}) are unusable")
        return reasons

    @property
    def ok(self) -> bool:
        return not self.fatal

    def raise_if_fatal(self) -> None:
        """Raise DataError with every reason to stop."""
        if self.fatal:
            raise DataError("; ".join(self.fatal) + " (see: plaudit check DATA)")

    def warnings(self) -> list[str]:
        return [f"{f.count:,} {f.name}: {f.what_to_do}" for f in self.found if f.count]

    def summary(self) -> str:
        kinds = sum(1 for f in self.found if f.count)
        return f"{kinds} kinds of findings" if kinds else "nothing wrong found"

    def to_dict(self) -> dict[str, Any]:
        def plain(value: Any) -> Any:
            return value._asdict() if isinstance(value, Interval) else value

        return {
            "ok": self.ok,
            "fatal": self.fatal,
            "rows": self.rows,
            "unusable": self.unusable,
            "findings": [vars(f) for f in self.found if f.count],
            "facts": {name: plain(value) for name, value in self.facts.items()},
            "slices": {c: {n: plain(v) for n, v in s.items()} for c, s in self.slices.items()},
        }


def _hash(text: str) -> int:
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def _messages_hash(messages: Sequence[Message]) -> int:
    return _hash("\0".join(text for message in messages for text in (message.role, message.text)))


KINDS: dict[str, tuple[str, bool, bool]] = {
    # name: (what to do, fatal, unusable)
    "unreadable rows": ("mend or remove these rows", False, False),
    "rows without a label": ("they leave training; label them or drop them", False, False),
    "rows judged both bad or skipped": ("they leave training, by design", False, False),
    "identical responses": ("a pair of equal responses teaches nothing: remove it", False, True),
    "empty responses": ("check the export: an empty response is rarely meant", False, False),
    "malformed messages": (
        "messages must alternate and a prompt must end with the user",
        False,
        False,
    ),
    "duplicate judgments": ("the same comparison twice counts double: keep one", False, False),
    "contradictory judgments": ("both ways once: turn them into votes, or ask again", False, False),
    "near-duplicate prompts": ("they are kept on one side of the split together", False, False),
    "prompts in both train and test": (
        "remove them from train: the test would flatter",
        True,
        False,
    ),
    "near-duplicates across train and test": ("remove them from train as well", True, False),
    "identical after rendering": (
        "raise --max-length: the responses' difference is cut",
        False,
        True,
    ),
    "cut to --max-length": (
        "the oldest messages are dropped; raise --max-length to keep them",
        False,
        False,
    ),
    "special tokens in text": (
        "the model will read them as real turn ends: clean them",
        False,
        False,
    ),
}


class DataCheck:
    """Collects what the doctor must know while slates stream past, then finds."""

    def __init__(self, render: Render | None = None, special: Sequence[str] = ()) -> None:
        self.rows = 0
        self.unreadable = 0
        self._found = {name: Finding(name, *rest) for name, rest in KINDS.items()}
        self._place: list[tuple[int, int]] = []
        self._files: list[str] = []
        self._seen: dict[str, dict[int, int]] = {"train": {}, "test": {}}
        self._signatures: list[NDArray[np.uint32]] = []
        self._signature_sets = array("b")
        self._comparisons: dict[int, int] = {}
        self._counts: Counter[str] = Counter()
        self._by_slice: dict[str, dict[str, list[int]]] = defaultdict(
            lambda: defaultdict(lambda: [0, 0, 0])
        )
        self._words = BagOfWords()
        self._render, self._special = render, special
        self._sequences: dict[bytes, Any] = {}

    def watch(self, reading: Reading | Iterable[Slate], which: str = "train") -> Iterator[Slate]:
        """Yield the slates of a reading, noting what is wrong; `which` is train or test."""
        for slate in reading:
            self._add(slate, which)
            yield slate
        self.rows += getattr(reading, "bad", 0)
        self.unreadable += getattr(reading, "bad", 0)
        for problem in getattr(reading, "problems", []):
            self._found["unreadable rows"].see(str(problem))
        extra = getattr(reading, "bad", 0) - len(getattr(reading, "problems", []))
        self._found["unreadable rows"].count += max(0, extra)

    def _add(self, slate: Slate, which: str) -> None:
        place = str(slate.source)
        self.rows += 1
        self._note_prompt(slate, which)
        responses = [_messages_hash(response) for response in slate.responses]
        self._note_responses(slate, responses, place)
        if which == "train" or not self._seen["train"]:
            self._note_comparison(slate, responses, place)
            self._note_bias(slate)
        if self._render is not None:
            self._note_tokens(slate, place)

    def _note_prompt(self, slate: Slate, which: str) -> None:
        text = normalised(slate.prompt)
        key = _hash(text)
        if key not in self._seen[which]:
            self._seen[which][key] = len(self._place)
            self._place.append((self._file(slate.source.file), slate.source.line))
            self._signatures.append(signature(text))
            self._signature_sets.append(which == "test")
        roles = [message.role for message in slate.prompt]
        spoken = [role for role in roles if role in ("user", "assistant")]
        repeats = any(a == b for a, b in itertools.pairwise(spoken))
        if not spoken or spoken[-1] != "user" or repeats or "system" in roles[1:]:
            self._found["malformed messages"].see(
                f"{slate.source}: {', '.join(roles) or 'no prompt'}"
            )
        if any(not message.text.strip() for message in slate.prompt):
            self._found["malformed messages"].see(f"{slate.source}: an empty turn in the prompt")

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._files.append(name)
        return self._files.index(name)

    def _note_responses(self, slate: Slate, responses: list[int], place: str) -> None:
        if any(not response[-1].text.strip() for response in slate.responses):
            self._found["empty responses"].see(place)
        if len(set(responses)) < len(responses):
            self._found["identical responses"].see(place)
        if self._special:
            texts = [message.text for part in (slate.prompt, *slate.responses) for message in part]
            hit = next((t for t in self._special if any(t in text for text in texts)), None)
            if hit:
                self._found["special tokens in text"].see(f"{place}: {hit}")

    def _note_comparison(self, slate: Slate, responses: list[int], place: str) -> None:
        """Remember who won; the same question answered the same way, or the other way."""
        if slate.verdict in ("both_bad", "skip"):
            self._found["rows judged both bad or skipped"].see(place)
            return
        labelled = slate.preferred or slate.verdict or slate.ranks or slate.ratings or slate.votes
        if not labelled:
            self._found["rows without a label"].see(place)
            return
        if len(responses) != 2:
            return
        self._counts["ties"] += slate.verdict == "tie"
        winner = responses[slate.preferred[0]] if len(slate.preferred) == 1 else 0
        key = _hash(f"{_messages_hash(slate.prompt)} {min(responses)} {max(responses)}")
        before = self._comparisons.get(key)
        if before is None:
            self._comparisons[key] = winner
        else:
            same = before == winner
            self._found["duplicate judgments" if same else "contradictory judgments"].see(place)

    def _note_bias(self, slate: Slate) -> None:
        for pair in pairs_of([slate], Tally()):
            if pair.p == 0.5:
                continue
            a, b = len(pair.a.messages[-1].text), len(pair.b.messages[-1].text)
            longer = (a > b) == (pair.p > 0.5)
            if a != b:
                self._counts["longer"] += longer
                self._counts["lengths differ"] += 1
            self._counts["first"] += pair.p > 0.5
            self._counts["decided"] += 1
            self._words.add(pair)
            for name, value in slate.columns.items():
                if isinstance(value, str) and len(value) <= 60:
                    self._note_slice(name, value, pair.p > 0.5, longer and a != b)

    def _note_slice(self, name: str, value: str, first: bool, longer: bool) -> None:
        values = self._by_slice[name]
        if value in values or len(values) <= 50:
            cell = values[value]
            cell[0] += 1
            cell[1] += first
            cell[2] += longer

    def _note_tokens(self, slate: Slate, place: str) -> None:
        assert self._render is not None
        rendered = self._render([slate.conversation(i) for i in range(len(slate.responses))])
        ids = [one.ids.tobytes() for one in rendered]
        if any(one.truncated for one in rendered):
            self._found["cut to --max-length"].see(place)
        distinct = len({_messages_hash(response) for response in slate.responses})
        if len(set(ids)) < distinct:
            self._found["identical after rendering"].see(place)
        for key, one in zip(ids, rendered, strict=True):
            self._sequences.setdefault(key, one.ids)

    def findings(self) -> CheckReport:
        """Everything found, after the last slate."""
        self._note_near_duplicates()
        facts: dict[str, Interval | float | int | str] = {"prompts": len(self._place)}
        decided, differ = self._counts["decided"], self._counts["lengths differ"]
        facts["pairs"] = decided + self._counts["ties"]
        facts["ties"] = self._counts["ties"]
        if decided:
            facts["the longer response wins"] = wilson(self._counts["longer"], differ)
            if self._first_means_something():
                facts["the first response wins"] = wilson(self._counts["first"], decided)
            floor = self._words.floor()
            if floor is not None:
                facts["bag of words, held out"] = floor
        if self._render is not None:
            facts |= self._token_facts()
        slices = {}
        for column, values in self._by_slice.items():
            if 2 <= len(values) <= 24:
                slices[column] = {n: wilson(c[2], c[0]) for n, c in sorted(values.items())}
        found = [finding for finding in self._found.values() if finding.count]
        return CheckReport(self.rows, self.unreadable, found, facts, slices)

    def _first_means_something(self) -> bool:
        """In chosen/rejected data the first is always the better: no position was shown."""
        return 0 < self._counts["first"] < self._counts["decided"]

    def _token_facts(self) -> dict[str, Interval | float | int | str]:
        sequences = list(self._sequences.values())
        tokens = sum(map(len, sequences))
        ordered = sorted(sequences, key=lambda ids: ids.astype(">u4").tobytes())
        shared = 0
        for one, two in itertools.pairwise(ordered):
            n = min(len(one), len(two))
            differs = np.flatnonzero(one[:n] != two[:n])
            shared += int(differs[0]) if len(differs) else n
        share = shared / max(tokens, 1)
        return {"tokens": tokens, "of them in shared prefixes": f"{share:.0%}"}

    def _note_near_duplicates(self) -> None:
        exact = self._seen["train"].keys() & self._seen["test"].keys()
        for key in exact:
            pair = self._where(self._seen["train"][key]), self._where(self._seen["test"][key])
            self._found["prompts in both train and test"].see(f"{pair[0]} and {pair[1]}")
        if not self._signatures:
            return
        in_test = np.frombuffer(self._signature_sets, dtype=np.int8)
        for i, j in near_pairs(np.stack(self._signatures)).tolist():
            example = f"{self._where(i)} and {self._where(j)}"
            if in_test[i] == in_test[j]:
                self._found["near-duplicate prompts"].see(example)
            elif not self._same_prompt(i, j):
                self._found["near-duplicates across train and test"].see(example)

    def _same_prompt(self, i: int, j: int) -> bool:
        return any(
            {self._seen["train"].get(key), number} == {i, j}
            for key, number in self._seen["test"].items()
            if number in (i, j)
        )

    def _where(self, number: int) -> str:
        file, line = self._place[number]
        return f"{self._files[file]}:{line}"
