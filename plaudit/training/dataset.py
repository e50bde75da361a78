"""What `train` works on: DATA read, checked, rendered, and split into fitted and held-out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.config import BAD_SHARE, TrainConfig
from plaudit.data import Tally, pairs_of, read, split
from plaudit.data.check import CheckReport, DataCheck
from plaudit.data.split import prompt_folds
from plaudit.errors import DataError, ModelError
from plaudit.model.prefix_tree import Ids
from plaudit.model.renderer import Renderer
from plaudit.training.frozen.head import Labels, labels
from plaudit.types import Pair

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Say = Callable[[str], None]
FEWEST_PAIRS, FEWEST_PROMPTS = 20, 10
FOLDS = 5
DEFAULT_SHARE = 0.2
SMALL = 1000  # pairs under which one held-out share tells too little: folds are measured instead
PLACES = 3


class TrainingData(NamedTuple):
    """Pairs to train on and, with --test, held-out ones; what was found and dropped."""

    pairs: list[Pair]
    held_out: list[Pair] | None
    check: CheckReport
    tally: Tally
    warnings: list[str]
    name: str
    test: str  # where the held-out pairs come from


class Round(NamedTuple):
    """Pairs to fit on and pairs to measure on, by index; they share no prompt."""

    train: Integers
    test: Integers


@dataclass(frozen=True)
class TokenizedPairs:
    """Pairs, the token ids of their distinct conversations, and which of those each side is."""

    pairs: list[Pair]
    side: Integers  # [N, 2]
    sequences: list[Ids]
    rounds: tuple[Round, ...]
    held_out: str  # which those are, in words

    @property
    def train(self) -> Integers:
        """Pairs that layer and ridge of the saved model are chosen on."""
        return np.unique(np.concatenate([one.train for one in self.rounds]))

    @property
    def test(self) -> Integers:
        """Held-out pairs, round by round."""
        return np.concatenate([one.test for one in self.rounds])

    def labels(self, index: Integers) -> Labels:
        chosen = [self.pairs[i] for i in index]
        return labels(
            np.array([pair.p for pair in chosen]),
            np.array([pair.weight for pair in chosen]),
            np.array([pair.group for pair in chosen], dtype=np.str_),
        )

    def differences(self, features: NDArray[np.float32], index: Integers) -> Floats:
        """[index, d] features of a minus those of b."""
        a, b = self.side[index].T
        result: Floats = features[a].astype(np.float64) - features[b]
        return result

    def keys(self, index: Integers) -> list[str]:
        """A hash of each pair's token ids and label."""
        found = []
        for i in index:
            a, b = (self.sequences[side].tobytes() for side in self.side[i])
            pair = self.pairs[i]
            text = a + b"|" + b + f"|{pair.p}|{pair.weight}".encode()
            found.append(blake2b(text, digest_size=8).hexdigest())
        return found

    def used(self, index: Integers) -> list[int]:
        """The sequences of these pairs."""
        return sorted(set(self.side[index].ravel().tolist()))


def read_data(data: Any, config: TrainConfig, say: Say) -> TrainingData:
    """Read DATA through the data check, telling `say` what was read as what.

    `data` is anything that `read` takes, or a list of file names and data set ids. Raises
    DataError on what the check refuses, on a column of the conversation that was not read, or
    on too little.
    """
    check, tally = DataCheck(), Tally()
    names: list[str] = []

    def pairs_from(one: Any, which: str, split: str | None) -> list[Pair]:
        reading = read(one, **config.reading() | {"split": split})
        reading.refuse_unread()
        names.append(reading.data)
        say(f"{reading.data}: {reading.format}; {reading.columns}")
        if reading.label is not None and (meaning := str(reading.label)):
            say(f"{reading.data}: {meaning}")
        found = pairs_of(check.watch(reading, which), tally)
        reading.refuse_unread()  # a column may have come later than the first rows
        return found

    pairs = [pair for one in _sources(data) for pair in pairs_from(one, "train", config.split)]
    name = ", ".join(names)
    held_out = None if config.test is None else pairs_from(config.test, "test", None)
    test = "" if held_out is None else names[-1]
    findings = check.findings()
    findings.raise_if_fatal()
    if findings.unreadable:
        tally.drop("unreadable", findings.unreadable)
    usable = [pair for pair in pairs if pair.a.id != pair.b.id]
    if len(usable) < len(pairs):
        tally.drop("identical responses", len(pairs) - len(usable))
    _refuse_too_few(usable)
    return TrainingData(usable, held_out, findings, tally, findings.warnings(), name, test)


def _sources(data: Any) -> list[Any]:
    """One DATA, or several files and data sets in a list."""
    several = isinstance(data, (list, tuple)) and all(isinstance(d, (str, Path)) for d in data)
    return [str(one) if isinstance(one, Path) else one for one in (data if several else [data])]


def _refuse_too_few(pairs: Sequence[Pair], why: str = "") -> None:
    prompts = len({pair.group for pair in pairs})
    if len(pairs) < FEWEST_PAIRS or prompts < FEWEST_PROMPTS:
        raise DataError(
            f"{len(pairs)} usable pairs over {prompts} prompts{why}; at least {FEWEST_PAIRS} pairs "
            f"over {FEWEST_PROMPTS} prompts are needed, a few hundred for a useful model"
        )


def tokenize(data: TrainingData, renderer: Renderer, config: TrainConfig) -> TokenizedPairs:
    """Token ids of every distinct conversation, and which pairs are fitted and held out.

    Pairs that cannot be rendered, or are rendered alike, are left out and counted. Raises
    DataError where more than a tenth cannot be, or too few are left.
    """
    both = (data.pairs, data.held_out or [])
    ids = _token_ids([*both[0], *both[1]], renderer, data)
    kept: list[list[Pair]] = []
    alike: Counter[str] = Counter()
    for part in both:
        rendered = [pair for pair in part if pair.a.id in ids and pair.b.id in ids]
        different = [p for p in rendered if not np.array_equal(ids[p.a.id], ids[p.b.id])]
        alike += Counter(
            _why_alike(p, ids[p.a.id], renderer)
            for p in rendered
            if np.array_equal(ids[p.a.id], ids[p.b.id])
        )
        kept.append(different)
    for reason, count in alike.items():
        data.tally.drop(f"identical after rendering: {reason}", count)
    most = "".join(f" ({n} more are identical: {why})" for why, n in alike.most_common(1))
    _refuse_too_few(kept[0], most)
    everything = kept[0] + kept[1]
    number: dict[bytes, int] = {}
    sequences: list[Ids] = []
    for one in (ids[c.id] for pair in everything for c in (pair.a, pair.b)):
        if number.setdefault(one.tobytes(), len(sequences)) == len(sequences):
            sequences.append(one)
    side = [[number[ids[c.id].tobytes()] for c in (pair.a, pair.b)] for pair in everything]
    test = None if data.held_out is None else kept[1]
    rounds, held_out = _rounds(kept[0], test, config, data.test)
    if not all(len(part) for one in rounds for part in one):
        raise DataError(
            "the prompts are nearly alike, so that none can be held out from the others; give "
            "held-out DATA with --test"
        )
    return TokenizedPairs(everything, np.array(side), sequences, tuple(rounds), held_out)


def _token_ids(pairs: Sequence[Pair], renderer: Renderer, data: TrainingData) -> Mapping[str, Ids]:
    """Token ids by conversation id, without the conversations that cannot be rendered."""
    found: dict[str, Ids] = {}
    cut = 0
    refused: dict[str, str] = {}
    conversations = {c.id: c for pair in pairs for c in (pair.a, pair.b)}
    rendered = renderer.render_each(list(conversations.values()))
    for key, one in zip(conversations, rendered, strict=True):
        if isinstance(one, ModelError):
            refused[key] = str(one)
        else:
            found[key] = one.ids
            cut += one.truncated
    if cut:
        data.warnings.append(f"{cut:,} conversations are longer than --max-length and were cut")
    lost = [pair for pair in pairs if {pair.a.id, pair.b.id} & refused.keys()]
    if lost:
        reason = next(refused[c.id] for c in (lost[0].a, lost[0].b) if c.id in refused)
        places = ", ".join(dict.fromkeys(str(pair.source) for pair in lost[:PLACES]))
        line = f"{len(lost):,} of {len(pairs):,} pairs cannot be rendered ({places}): {reason}"
        if len(lost) > BAD_SHARE * len(pairs):
            raise DataError(line)
        data.tally.drop("cannot be rendered", len(lost))
        data.warnings.append(f"{line}; they are left out")
    return found


def _why_alike(pair: Pair, ids: Ids, renderer: Renderer) -> str:
    """Why two different responses became the same tokens."""
    if len(ids) >= renderer.max_length:
        return "both are cut to --max-length"
    a, b = pair.a.messages, pair.b.messages
    fields = {name for message in (*a, *b) for name in message.fields}
    if [m.text for m in a] == [m.text for m in b] and fields:
        return f"the chat template does not show {', '.join(sorted(fields))}"
    if any("</think>" in message.text for message in (*a, *b)):
        return (
            "the chat template removes the text before </think>, where they differ; take a base "
            "whose template keeps it"
        )
    return "the chat template or the tokenizer removes what they differ in"


def _rounds(
    pairs: list[Pair], held_out: list[Pair] | None, config: TrainConfig, name: str
) -> tuple[list[Round], str]:
    """What is fitted on what and measured on what, and in words: test data, folds, or a share."""
    every = np.arange(len(pairs))
    if held_out is not None:
        rounds = [Round(every, np.arange(len(held_out)) + len(pairs))]
        prompts = len({pair.group for pair in held_out})
        return rounds, f"{len(held_out):,} pairs over {prompts:,} prompts of {name}"
    if config.test_share is None and config.refit and len(pairs) < SMALL:
        fold = prompt_folds(pairs, FOLDS)
        rounds = [Round(every[fold != k], every[fold == k]) for k in np.unique(fold)]
        return rounds, (
            f"{len(rounds)}-fold cross-validation, {len(pairs):,} pairs over "
            f"{len({pair.group for pair in pairs}):,} prompts; a fold's layer, ridge and head are "
            "fitted on the others"
        )
    sides = split(pairs, DEFAULT_SHARE if config.test_share is None else config.test_share)
    return [Round(sides.train, sides.test)], sides.said.removeprefix("held out: ")
