"""What `train` works on: DATA read, checked, rendered and split by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.config import TrainConfig
from plaudit.data import Tally, pairs_of, read, split
from plaudit.data.check import CheckReport, DataCheck
from plaudit.errors import DataError
from plaudit.model.prefix_tree import Ids
from plaudit.model.renderer import Renderer
from plaudit.training.frozen.head import Labels, labels
from plaudit.training.frozen.layer_search import shuffled
from plaudit.types import Pair

__all__ = ["CheckedData", "Material", "read_checked", "rendered"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """Pairs and which sequence each side is; train and test are indices of pairs."""

    pairs: list[Pair]
    side: NDArray[np.int64]  # [N, 2]
    sequences: list[Ids]
    train: NDArray[np.int64]
    test: NDArray[np.int64]

    def labels(self, index: NDArray[np.int64]) -> Labels:
        chosen = [self.pairs[i] for i in index]
        return labels(
            np.array([pair.p for pair in chosen]),
            np.array([pair.weight for pair in chosen]),
            np.array([pair.group for pair in chosen], dtype=np.str_),
        )

    def differences(self, features: NDArray[np.float32], index: NDArray[np.int64]) -> Floats:
        """[index, d] features of a minus those of b."""
        a, b = self.side[index].T
        result: Floats = features[a].astype(np.float64) - features[b]
        return result

    def shuffled(self) -> NDArray[np.int64]:
        """Training pairs in an order whose every portion is a fair sample."""
        return self.train[shuffled([self.pairs[i].group for i in self.train])]

    def keys(self, index: NDArray[np.int64]) -> list[str]:
        """A hash of each pair's token ids and label."""
        found = []
        for i in index:
            a, b = (self.sequences[side].tobytes() for side in self.side[i])
            pair = self.pairs[i]
            text = a + b"|" + b + f"|{pair.p}|{pair.weight}".encode()
            found.append(blake2b(text, digest_size=8).hexdigest())
        return found

    def used(self, index: NDArray[np.int64]) -> list[int]:
        """The sequences of these pairs."""
        return sorted(set(self.side[index].ravel().tolist()))


class CheckedData(NamedTuple):
    """Pairs for training and, with --test, held-out ones; what was found and dropped."""

    pairs: list[Pair]
    held_out: list[Pair] | None
    findings: CheckReport
    tally: Tally


def read_checked(data: Sequence[str], config: TrainConfig) -> CheckedData:
    """Read DATA through the doctor; raises DataError on what it refuses, or on too little."""
    doctor, tally = DataCheck(), Tally()
    pairs: list[Pair] = []
    for each in data:
        reading = read(each, config.format, config.columns, config.split)
        slates = doctor.watch(reading, "train")
        pairs += pairs_of(slates, tally)
    held_out = None
    if config.test is not None:
        slates = doctor.watch(read(config.test, config.format, config.columns), "test")
        held_out = pairs_of(slates, tally)
    findings = doctor.findings()
    findings.raise_if_fatal()
    if tally.rows + findings.unreadable:
        tally.dropped |= {"unreadable": findings.unreadable} if findings.unreadable else {}
    usable = [pair for pair in pairs if pair.a.messages != pair.b.messages]
    if len(usable) < len(pairs):
        tally.drop("identical responses", len(pairs) - len(usable))
    if len(usable) < 20 or len({pair.group for pair in usable}) < 10:
        raise DataError(
            f"{len(usable)} usable pairs over {len({p.group for p in usable})} prompts; "
            "at least 20 pairs over 10 prompts are needed, some hundreds to be of use"
        )
    return CheckedData(usable, held_out, findings, tally)


def rendered(checked: CheckedData, renderer: Renderer, config: TrainConfig) -> Material:
    """Token ids of every distinct conversation, and the split by prompt."""
    pairs, held_out, _, tally = checked
    everything = pairs + (held_out or [])
    conversations = {c.id: c for pair in everything for c in (pair.a, pair.b)}
    found = renderer.render(list(conversations.values()))
    cuts = sum(r.truncated for r in found)
    if cuts:
        tally.drop("conversations cut to --max-length (kept)", cuts)
    number: dict[bytes, int] = {}
    sequences: list[Ids] = []
    of: dict[str, int] = {}
    for key, one in zip(conversations, found, strict=True):
        ids = one.ids.tobytes()
        if ids not in number:
            number[ids] = len(sequences)
            sequences.append(one.ids)
        of[key] = number[ids]
    side = np.array([[of[pair.a.id], of[pair.b.id]] for pair in everything])
    different = side[:, 0] != side[:, 1]
    if not different.all():
        tally.drop("identical after rendering", int((~different).sum()))
    if held_out is None:
        sides = split(everything, config.test_share)
        train, test = sides.train, sides.test
    else:
        train, test = np.arange(len(pairs)), np.arange(len(pairs), len(everything))
    train, test = train[different[train]], test[different[test]]
    if not len(test) or not len(train):
        raise DataError("one side of the split is empty: too few prompts, or all nearly alike")
    return Material(everything, side, sequences, train, test)
