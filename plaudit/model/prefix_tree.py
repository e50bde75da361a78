"""The prefix tree of token sequences, laid out in packed rows.

Sequences sorted by their tokens have their common prefixes beside them, so the tree need not
be built: each sequence adds to its row only the tokens that it does not share with the
sequence before it. Pure NumPy; the attention that reads a Row is in `packed_attention.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Below this many shared tokens a sequence stands alone: the extra attention call costs more.
MIN_SHARED = 16

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segment:
    """The new tokens [start, stop) of one sequence in a row, and the ranges it continues."""

    start: int
    stop: int
    context: tuple[tuple[int, int], ...]

    @property
    def depth(self) -> int:
        """Tokens before the segment: the position of its first token."""
        return sum(stop - start for start, stop in self.context)


@dataclass(frozen=True, slots=True)
class Row:
    """Segments of a prefix tree in one row of N tokens, without padding.

    `ids` [N], `positions` [N] (depth in the tree); `closes` [N], the end of each token's
    subtree: token q descends from token k where k <= q < closes[k]. `sequences` are the
    indices given to `pack`, one per segment, and `scored` the row position of each one's last
    token.
    """

    ids: Ids
    positions: Ids
    closes: Ids
    segments: tuple[Segment, ...]
    sequences: tuple[int, ...]
    scored: Ids


def common_prefix(a: Ids, b: Ids) -> int:
    """How many leading tokens two sequences share."""
    n = min(len(a), len(b))
    differs = np.flatnonzero(a[:n] != b[:n])
    return int(differs[0]) if len(differs) else n


def pack(sequences: Sequence[Ids], budget: int) -> Iterator[Row]:
    """Rows of at most `budget` tokens (one longer sequence makes a row of its own).

    Sequences must be distinct and not empty. Every sequence is in exactly one row.
    """
    order = sorted(range(len(sequences)), key=lambda i: sequences[i].astype(">u4").tobytes())
    members: list[int] = []
    shared: list[int] = []
    used = 0
    for index in order:
        ids = sequences[index]
        common = common_prefix(sequences[members[-1]], ids) if members else 0
        common = common if common >= MIN_SHARED else 0
        if members and used + len(ids) - common > budget:
            yield _lay_out(sequences, members, shared)
            members, shared, used, common = [], [], 0, 0
        members.append(index)
        shared.append(common)
        used += len(ids) - common
    if members:
        yield _lay_out(sequences, members, shared)


def shared_tokens(sequences: Sequence[Ids]) -> int:
    """Tokens that the tree saves over running every sequence alone, rows unbounded."""
    row = next(pack(sequences, budget=1 << 62), None)
    return sum(map(len, sequences)) - (len(row.ids) if row else 0)


def _lay_out(sequences: Sequence[Ids], members: list[int], shared: list[int]) -> Row:
    path: tuple[tuple[int, int], ...] = ()  # where the last sequence's tokens lie
    total = sum(len(sequences[i]) - n for i, n in zip(members, shared, strict=True))
    ids, positions = np.empty(total, np.int64), np.empty(total, np.int64)
    closes = np.full(total, total)
    segments, start = [], 0
    for index, common in zip(members, shared, strict=True):
        new = sequences[index][common:]
        stop = start + len(new)
        context = _head(path, common)
        for first, last in path:  # what the new sequence does not continue ends before it
            kept = sum(min(e, last) - b for b, e in context if first <= b < last)
            closes[first + kept : last] = start
        segments.append(Segment(start, stop, context))
        path = _joined(context, (start, stop))
        ids[start:stop], positions[start:stop] = new, np.arange(common, common + len(new))
        start = stop
    # A sequence that is a prefix of the next adds tokens of its own first (it sorts first),
    # so every segment has at least one and its last token is the sequence's last.
    scored = np.array([segment.stop - 1 for segment in segments])
    return Row(ids, positions, closes, tuple(segments), tuple(members), scored)


def _head(path: tuple[tuple[int, int], ...], length: int) -> tuple[tuple[int, int], ...]:
    """The first `length` positions of a path of ranges."""
    head = []
    for start, stop in path:
        if length <= 0:
            break
        head.append((start, min(stop, start + length)))
        length -= stop - start
    return tuple(head)


def _joined(
    path: tuple[tuple[int, int], ...], last: tuple[int, int]
) -> tuple[tuple[int, int], ...]:
    if path and path[-1][1] == last[0]:
        return (*path[:-1], (path[-1][0], last[1]))
    return (*path, last)
