"""Near-duplicate prompts by MinHash (Broder 1997), with locality-sensitive hashing.

Word 3-grams of the normalised text; a signature of 32 minima estimates Jaccard similarity;
bands of 4 find the candidates. Signatures are 128 bytes a text, so a million fit easily.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plaudit.types import Message

PERMUTATIONS = 32
BAND = 4
THRESHOLD = 0.8
SHINGLE = 3
WORD = re.compile(r"\w+")
_random = np.random.default_rng(20240607)
_A = _random.integers(0, 1 << 63, PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def normalised(messages: Sequence[Message]) -> str:
    """Lower case, words only, one space: what two prompts must share to be the same.

    A text without a word, such as "?!" or an emoji, stands for itself.
    """
    text = " ".join(message.text for message in messages)
    return " ".join(WORD.findall(text.lower())) or text


def signature(text: str) -> NDArray[np.uint32]:
    """[32] minima of 32 hash functions over the text's word 3-grams."""
    words = text.split(" ")
    last = max(1, len(words) - SHINGLE + 1)
    grams = {" ".join(words[i : i + SHINGLE]) for i in range(last)}
    hashes = np.array(
        [zlib.crc32(gram.encode("utf-8", "surrogatepass")) for gram in grams], dtype=np.uint64
    )
    # A small CRC times any factor stays small, so the 32 bits are spread over 64 first.
    spread = hashes * _SPREAD
    spread ^= spread >> np.uint64(29)
    minima = ((spread[:, None] * _A) >> np.uint64(32)).min(axis=0)
    result: NDArray[np.uint32] = minima.astype(np.uint32)
    return result


def near_pairs(signatures: NDArray[np.uint32], threshold: float = THRESHOLD) -> NDArray[np.int64]:
    """[M, 2] pairs (i < j) whose estimated Jaccard similarity reaches the threshold.

    In a large band bucket every text is compared with the bucket's first and with the one
    before it, which still connects the bucket; so the work stays linear.
    """
    found = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, PERMUTATIONS, BAND):
        band = np.ascontiguousarray(signatures[:, start : start + BAND])
        key = band.view(np.dtype((np.void, band.dtype.itemsize * BAND))).ravel()
        order = np.argsort(key, kind="stable")
        same = key[order][1:] == key[order][:-1]
        first = np.flatnonzero(np.concatenate([[True], ~same]))
        head = np.repeat(first, np.diff(np.concatenate([first, [len(order)]])))
        here = np.flatnonzero(same) + 1
        for left in (here - 1, head[here]):
            candidates = np.sort(np.stack([order[left], order[here]], axis=1), axis=1)
            found.append(candidates.astype(np.int64))
    pairs = np.unique(np.concatenate(found), axis=0)
    alike = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), 1 << 18):
        part = pairs[start : start + (1 << 18)]
        equal = signatures[part[:, 0]] == signatures[part[:, 1]]
        alike[start : start + len(part)] = equal.mean(axis=1) >= threshold
    result: NDArray[np.int64] = pairs[alike & (pairs[:, 0] != pairs[:, 1])]
    return result
