"""Train and test by prompt, near-duplicates kept together, deterministic by content.

Prompts that share a group, or are nearly the same, are kept together. These clusters go to
test in the order of a hash of their content until the share asked for is reached as nearly as
they allow. So of two data sets of which one holds the other, the rows that both hold lie in
test in the one, in the other, or in both: rows added later move the border one way only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from plaudit.data.near_duplicates import near_pairs, normalised, signature
from plaudit.types import Pair

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices of the pairs on each side; `said` is a line about what came out."""

    train: Integers
    test: Integers
    said: str = ""


def folds(groups: Sequence[str], count: int) -> Integers:
    """Fold of each group: a hash of the group, modulo `count`."""
    return np.array([_hash(group) % count for group in groups], dtype=np.int64)


def split(pairs: Sequence[Pair], test_share: float = 0.2) -> Split:
    """Split pairs so that `test_share` of them, as nearly as whole clusters allow, is test.

    With two clusters or more neither side is empty.
    """
    if not pairs:
        return Split(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
    cluster, order, sizes = _ordered_clusters(pairs)
    held_out = np.concatenate([[0], np.cumsum(sizes)])
    count = int(np.abs(held_out - test_share * len(pairs)).argmin())
    if test_share > 0:
        count = min(max(count, 1), max(len(order) - 1, 0))
    in_test = np.isin(cluster, order[:count])
    said = (
        f"held out: {in_test.sum():,} of {len(pairs):,} pairs ({in_test.mean():.0%}; "
        f"{test_share:.0%} was asked for), {count:,} of {len(order):,} clusters of prompts"
    )
    return Split(np.flatnonzero(~in_test), np.flatnonzero(in_test), said)


def prompt_folds(pairs: Sequence[Pair], count: int) -> Integers:
    """[N] fold of each pair: whole clusters, in the order that `split` takes them, and so the
    same for the same pairs in any order. Folds are of about equal size; with few clusters one
    may be empty."""
    cluster, order, sizes = _ordered_clusters(pairs)
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = (np.cumsum(sizes) - sizes) * count // len(pairs)
    result: Integers = fold[cluster]
    return result


def _ordered_clusters(pairs: Sequence[Pair]) -> tuple[Integers, list[int], Integers]:
    """[N] cluster of each pair; the clusters by a hash of their content; their sizes in order."""
    texts = [normalised(pair.a.messages[:-1]) for pair in pairs]
    first: dict[str, int] = {}  # distinct prompts in order of first sight
    prompt = np.array([first.setdefault(text, len(first)) for text in texts], dtype=np.int64)
    cluster = _clusters(list(first), prompt, [pair.group for pair in pairs])[prompt]
    key: dict[int, str] = {}  # the content that stands for a cluster: its first text by alphabet
    for number, text in zip(cluster.tolist(), texts, strict=True):
        key[number] = min(text, key.get(number, text))
    order = sorted(key, key=lambda number: _hash(key[number]))
    return cluster, order, np.bincount(cluster, minlength=len(order))[order]


def _clusters(texts: list[str], prompt: Integers, groups: list[str]) -> Integers:
    """[prompts] cluster of each prompt: linked by near-duplication or by a pair's group."""
    head: dict[str, int] = {}
    by_group = [(head.setdefault(g, p), p) for g, p in zip(groups, prompt.tolist(), strict=True)]
    links = np.concatenate(
        [near_pairs(np.stack([signature(text) for text in texts])), np.array(by_group)]
    )
    graph = csr_matrix(
        (np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(len(texts), len(texts))
    )
    result: Integers = connected_components(graph, directed=False)[1]
    return result


def _hash(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
