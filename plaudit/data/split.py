"""Train and test by prompt, near-duplicates kept together, deterministic by content.

A prompt's side is a hash of its content, so rows added later move none that were there. A
prompt that is nearly the same as one before it joins that one's side; one that would bridge
both sides is set aside and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from plaudit.data.near_duplicates import near_pairs, normalised, signature
from plaudit.types import Pair

__all__ = ["Split", "folds", "split"]


@dataclass(frozen=True)
class Split:
    """Indices of pairs on each side, and of those set aside because they bridge both."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    set_aside: NDArray[np.int64]


def folds(groups: Sequence[str], count: int) -> NDArray[np.int64]:
    """Fold of each group: a hash of the group, modulo `count`."""
    return np.array([_hash(group) % count for group in groups], dtype=np.int64)


def split(pairs: Sequence[Pair], test_share: float = 0.2) -> Split:
    """Split pairs by prompt group; about `test_share` of the groups go to test.

    Rows given a group of their own (a column `group`) are kept together by it as well.
    """
    texts = [normalised(pair.a.messages[:-1]) for pair in pairs]
    first: dict[str, int] = {}  # distinct prompts in order of first sight
    member = np.array([first.setdefault(text, len(first)) for text in texts], dtype=np.int64)
    links = [np.empty((0, 2), dtype=np.int64)]
    if first:
        links.append(near_pairs(np.stack([signature(text) for text in first])))
    by_group: dict[str, int] = {}
    for pair, prompt in zip(pairs, member.tolist(), strict=True):
        head = by_group.setdefault(pair.group, prompt)
        if head != prompt:
            links.append(np.sort(np.array([[head, prompt]])))
    side = _sides([_own_side(text, test_share) for text in first], np.concatenate(links))
    of_pair = side[member] if len(member) else np.empty(0, dtype=np.int64)
    return Split(
        np.flatnonzero(of_pair == 0), np.flatnonzero(of_pair == 1), np.flatnonzero(of_pair == -1)
    )


def _own_side(text: str, test_share: float) -> int:
    return int(_hash(text) % 10_000 < test_share * 10_000)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _sides(own: list[int], links: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each prompt's side in order: its neighbours' before it, or its own, or −1 (a bridge)."""
    before: dict[int, set[int]] = {}
    for i, j in links.reshape(-1, 2).tolist():
        before.setdefault(j, set()).add(i)
    side = np.array(own, dtype=np.int64)
    for prompt in sorted(before):
        met = {int(side[other]) for other in before[prompt]} - {-1}
        if len(met) == 1:
            side[prompt] = met.pop()
        elif len(met) == 2:
            side[prompt] = -1
    return side
