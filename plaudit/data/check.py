"""What is wrong with preference data, found before any compute is spent.

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
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from plaudit.config import BAD_SHARE
from plaudit.data.bag_of_words import BagOfWords
from plaudit.data.labels import pairs_of
from plaudit.data.near_duplicates import near_pairs, normalised, signature
from plaudit.data.plain import plain
from plaudit.data.reading import Reading
from plaudit.errors import DataError, PlauditError
from plaudit.statistics.intervals import Interval, wilson
from plaudit.types import Conversation, Messages, Pair, Slate, is_empty, messages_id

EXAMPLES = 3
PREDICTS = 0.60  # a share of the labels surely above this, or below its mirror, is no accident

# Conversations to what `Renderer.render_each` gives: ids and what was cut, or why there are none.
Render = Callable[[Sequence[Conversation]], list[Any]]


@dataclass
class Finding:
    """One kind of fault or fact: its count, examples with their place, what to do.

    `effect` is "stops training", "rows unusable" or nothing.
    """

    name: str
    what_to_do: str
    effect: str = ""
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def see(self, example: str, count: int = 1) -> None:
        self.count += count
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass
class CheckReport:
    """What was found. `ok` is False where training must stop."""

    rows: int
    unreadable: int
    found: list[Finding]
    facts: dict[str, Interval | float | int | str]
    slices: dict[str, dict[str, Interval]]

    @property
    def unusable(self) -> int:
        return self.unreadable + sum(f.count for f in self.found if f.effect == UNUSABLE)

    @property
    def fatal(self) -> list[str]:
        """Why training must stop, in words; empty when it need not."""
        stops = [f for f in self.found if f.effect == FATAL]
        reasons = [f"{f.count:,} {f.name}: {f.examples[0]}" for f in stops]
        if self.unusable > BAD_SHARE * max(self.rows, 1):
            share = self.unusable / max(self.rows, 1)
            reasons.append(f"{self.unusable:,} of {self.rows:,} rows ({share:.0%}) are unusable")
        if not self.facts.get("pairs"):
            reasons.append("no comparison has a label: there is nothing to train on")
        return reasons

    @property
    def ok(self) -> bool:
        return not self.fatal

    def raise_if_fatal(self) -> None:
        """Raise DataError with every reason to stop."""
        if self.fatal:
            raise DataError("; ".join(self.fatal) + " (see: plaudit check DATA)")

    def warnings(self) -> list[str]:
        return [f"{f.count:,} {f.name}: {f.what_to_do}" for f in self.found]

    def summary(self) -> str:
        return f"{len(self.found)} kinds of findings" if self.found else "nothing wrong found"

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        found = {"ok": self.ok, "fatal": self.fatal, "unusable": self.unusable} | vars(self)
        return cast("dict[str, Any]", plain(found))


def _hash(text: str) -> int:
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def _messages_hash(messages: Messages) -> int:
    return int(messages_id(messages)[:16], 16)


FATAL, UNUSABLE = "stops training", "rows unusable"
KINDS: dict[str, tuple[str] | tuple[str, str]] = {  # name: (what to do, its effect)
    "unreadable rows": ("fix or remove these rows",),
    "columns left unread": ("say what each is: --columns input=NAME, or ignore=NAME", FATAL),
    "rows without a label": ("excluded from training: label them or remove them",),
    "rows judged both bad or skipped": ("excluded from training, as intended",),
    "rows with only one response": ("excluded from training: a comparison needs two",),
    "identical responses": ("a pair of equal responses teaches nothing: remove it", UNUSABLE),
    "empty responses": ("check the export: an empty response is rarely meant",),
    "empty responses preferred": ("check the labels: training would reward saying nothing",),
    "malformed messages": ("roles must alternate, and a prompt must end with the user",),
    "duplicate judgments": ("the same comparison twice counts double: keep one",),
    "contradictory judgments": ("opposite winners: merge them into votes, or ask again",),
    "near-duplicate prompts": ("kept together on one side of the split",),
    "prompts in both train and test": ("remove from train: test scores would be inflated", FATAL),
    "near-duplicates across train and test": ("remove them from train as well", FATAL),
    "identical once cut to --max-length": (
        "raise it: what tells the responses apart is cut",
        UNUSABLE,
    ),
    "identical once rendered": (
        "nothing was cut: the base's chat template or tokenizer takes the difference away (many "
        "remove all before </think>, or tool calls); choose another base, or say it in text",
        UNUSABLE,
    ),
    "labels that length predicts": ("a model may learn length alone: see the length baseline",),
    "labels that position predicts": ("show the responses in random order",),
    "refused by the chat template": ("change these rows, or choose another base", UNUSABLE),
    "cut to --max-length": ("the oldest messages are cut; raise --max-length to keep them",),
    "special tokens in text": ("the model reads them as the real tokens: remove them",),
}
UNLABELLED = {
    "both_bad": "rows judged both bad or skipped",
    "skip": "rows judged both bad or skipped",
    "no label": "rows without a label",
    "only one response": "rows with only one response",
}


class DataCheck:
    """Notes what is needed while slates stream past; `findings` then says what is wrong."""

    def __init__(self, render: Render | None = None, special: Sequence[str] = ()) -> None:
        self.rows = 0
        self.unreadable = 0
        self._found = {name: Finding(name, *said) for name, said in KINDS.items()}
        self._place: list[tuple[int, int]] = []
        self._files: list[str] = []
        self._seen: dict[str, dict[int, int]] = {"train": {}, "test": {}}
        self._signatures: list[NDArray[np.uint32]] = []
        self._signature_sets = array("b")
        self._winner: dict[int, int] = {}  # comparison: sign of the label
        self._counts: Counter[str] = Counter()
        # Pairs, and those whose longer response wins, by column and value.
        self._slices: dict[str, dict[str, list[int]]] = defaultdict(
            lambda: defaultdict(lambda: [0, 0])
        )
        self._words = BagOfWords()
        self._render, self._special = render, special
        self._sequences: dict[bytes, Any] = {}

    def watch(self, reading: Reading | Iterable[Slate], which: str = "train") -> Iterator[Slate]:
        """Yield the slates of a reading, noting what is wrong; `which` is train or test."""
        for slate in reading:
            self._add(slate, which)
            yield slate
        if isinstance(reading, Reading):
            try:
                reading.refuse_unread()
            except DataError as error:
                self._found["columns left unread"].see(str(error), len(reading.columns.unread))
        bad, problems = getattr(reading, "bad", 0), getattr(reading, "problems", [])
        self.rows += bad
        self.unreadable += bad
        for problem in problems:
            self._found["unreadable rows"].see(str(problem))
        self._found["unreadable rows"].count += bad - len(problems)  # only the first are kept

    def _add(self, slate: Slate, which: str) -> None:
        place = str(slate.source)
        self.rows += 1
        self._note_prompt(slate, which)
        responses = [_messages_hash(response) for response in slate.responses]
        self._note_responses(slate, responses, place)
        if which == "train":
            self._note_labels(slate, responses, place)
        if self._render is not None:
            self._note_tokens(slate, responses, place)

    def _note_prompt(self, slate: Slate, which: str) -> None:
        text = normalised(slate.prompt)
        key = _hash(text)
        if key not in self._seen[which]:
            self._seen[which][key] = len(self._place)
            self._place.append((self._file(slate.source.file), slate.source.line))
            self._signatures.append(signature(text))
            self._signature_sets.append(which == "test")
        roles = [message.role for message in slate.prompt]
        spoken = [role for role in roles if role not in ("system", "developer")]
        repeats = any(a == b != "tool" for a, b in itertools.pairwise(spoken))
        late = {"system", "developer"} & set(roles[1:])
        if not spoken or spoken[-1] == "assistant" or repeats or late:
            where = f"{slate.source}: {', '.join(roles) or 'no prompt'}"
            self._found["malformed messages"].see(where)
        if any(is_empty(message) for message in slate.prompt):
            self._found["malformed messages"].see(f"{slate.source}: an empty message in the prompt")

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._files.append(name)
        return self._files.index(name)

    def _note_responses(self, slate: Slate, responses: list[int], place: str) -> None:
        if any(is_empty(response[-1]) for response in slate.responses):
            self._found["empty responses"].see(place)
        if len(set(responses)) < len(responses):
            self._found["identical responses"].see(place)
        if self._special:
            texts = [message.text for part in (slate.prompt, *slate.responses) for message in part]
            hit = next((t for t in self._special if any(t in text for text in texts)), None)
            if hit:
                self._found["special tokens in text"].see(f"{place}: {hit}")

    def _note_labels(self, slate: Slate, responses: list[int], place: str) -> None:
        known = slate.preferences()
        if not known:
            self._found[UNLABELLED[slate.unlabelled()]].see(place)
        prompt = _messages_hash(slate.prompt)
        empty = [is_empty(response[-1]) for response in slate.responses]
        if any(empty[i if p > 0.5 else j] for i, j, (p, _, _) in known if p != 0.5):
            self._found["empty responses preferred"].see(place)
        for i, j, (p, _, _) in known:
            sign = (p > 0.5) - (p < 0.5)
            key = _hash(
                f"{prompt} {min(responses[i], responses[j])} {max(responses[i], responses[j])}"
            )
            if responses[i] > responses[j]:
                sign = -sign
            before = self._winner.get(key)
            if before is None:
                self._winner[key] = sign
            else:
                opposite = before * sign < 0
                self._found[f"{'contradictory' if opposite else 'duplicate'} judgments"].see(place)
        for pair in pairs_of([slate]):
            self._note_bias(pair)

    def _note_bias(self, pair: Pair) -> None:
        if pair.p == 0.5:
            self._counts["ties"] += 1
            return
        a, b = len(pair.a.messages[-1].text), len(pair.b.messages[-1].text)
        longer = a != b and (a > b) == (pair.p > 0.5)
        self._counts["longer"] += longer
        self._counts["lengths differ"] += a != b
        self._counts["first"] += pair.p > 0.5
        self._counts["decided"] += 1
        self._words.add(pair)
        for name, value in pair.columns.items():
            values = self._slices[name]
            if (
                isinstance(value, str)
                and len(value) <= 60
                and (value in values or len(values) < 50)
            ):
                values[value][0] += 1
                values[value][1] += longer

    def _note_tokens(self, slate: Slate, responses: list[int], place: str) -> None:
        assert self._render is not None
        rendered = self._render([slate.conversation(i) for i in range(len(slate.responses))])
        refused = next((one for one in rendered if isinstance(one, PlauditError)), None)
        if refused is not None:
            self._found["refused by the chat template"].see(f"{place}: {refused}")
            return
        ids = [one.ids.tobytes() for one in rendered]
        if any(one.truncated for one in rendered):
            self._found["cut to --max-length"].see(place)
        if len(set(ids)) < len(set(responses)):
            count = Counter(ids)
            cut = any(
                one.truncated and count[key] > 1 for key, one in zip(ids, rendered, strict=True)
            )
            kind = "identical once cut to --max-length" if cut else "identical once rendered"
            self._found[kind].see(place)
        for key, one in zip(ids, rendered, strict=True):
            self._sequences.setdefault(key, one.ids)

    def findings(self) -> CheckReport:
        """Everything found, after the last slate."""
        self._note_near_duplicates()
        facts: dict[str, Interval | float | int | str] = {"prompts": len(self._place)}
        count, decided = self._counts, self._counts["decided"]
        facts |= {"pairs": decided + count["ties"], "ties": count["ties"]}
        if decided:
            if count["lengths differ"]:
                longer = wilson(count["longer"], count["lengths differ"])
                facts["the longer response wins"] = longer
                self._note_bias_of("length", "longer", longer)
            # In chosen/rejected data the first is always the better: no position was shown.
            if 0 < count["first"] < decided:
                facts["the first response wins"] = first = wilson(count["first"], decided)
                self._note_bias_of("position", "first", first)
            words = self._words.accuracy()
            if words is not None:
                facts["bag of words, held out"] = words
        if self._render is not None:
            facts |= self._token_facts()
        slices = {
            column: {name: wilson(longer, n) for name, (n, longer) in sorted(values.items())}
            for column, values in self._slices.items()
            if 2 <= len(values) <= 24
        }
        found = [finding for finding in self._found.values() if finding.count]
        return CheckReport(self.rows, self.unreadable, found, facts, slices)

    def _note_bias_of(self, what: str, which: str, share: Interval) -> None:
        if share.low > PREDICTS or share.high < 1.0 - PREDICTS:
            place = f"the {which} response wins {share}"
            self._found[f"labels that {what} predicts"].see(place, share.n)

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
        train, test = self._seen["train"], self._seen["test"]
        same = {(train[key], test[key]) for key in train.keys() & test.keys()}
        for i, j in sorted(same):
            self._found["prompts in both train and test"].see(
                f"{self._where(i)} and {self._where(j)}"
            )
        if not self._signatures:
            return
        in_test = np.frombuffer(self._signature_sets, dtype=np.int8)
        for i, j in near_pairs(np.stack(self._signatures)).tolist():
            example = f"{self._where(i)} and {self._where(j)}"
            if in_test[i] == in_test[j]:
                self._found["near-duplicate prompts"].see(example)
            elif (i, j) not in same:
                self._found["near-duplicates across train and test"].see(example)

    def _where(self, number: int) -> str:
        file, line = self._place[number]
        return f"{self._files[file]}:{line}"
