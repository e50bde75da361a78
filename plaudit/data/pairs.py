"""Slates to Pairs, the training atom; what leaves on the way is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

from plaudit.types import Pair, Slate

__all__ = ["Tally", "pairs_of"]


@dataclass
class Tally:
    """What became of rows: reason to count. `rows` in, `pairs` out."""

    rows: int = 0
    pairs: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count


def pairs_of(slates: Iterable[Slate], tally: Tally | None = None) -> list[Pair]:
    """Pairs of each slate; a slate's weights sum to 1, so that a prompt counts once.

    A given p is taken; votes give p their share (a tie counts half); a preferred reply 1.0; a
    tie 0.5; K ranked or rated replies all their C(K, 2) pairs; several good replies each against
    each other one.
    """
    tally = Tally() if tally is None else tally
    pairs: list[Pair] = []
    for slate in slates:
        tally.rows += 1
        found = _labels(slate)
        if isinstance(found, str):
            tally.drop(found)
            continue
        weight = 1.0 / len(found)
        pairs += [_pair(slate, a, b, p, weight) for a, b, p in found]
    tally.pairs = len(pairs)
    return pairs


def _labels(slate: Slate) -> list[tuple[int, int, float]] | str:
    """(a, b, p) of a slate's pairs, or the reason why it has none."""
    count = len(slate.replies)
    if slate.verdict in ("both_bad", "skip"):
        return str(slate.verdict)
    if slate.p is not None:
        return [(0, 1, slate.p)]
    if slate.votes is not None and any(slate.votes):
        a, b, tie = slate.votes
        return [(0, 1, (a + 0.5 * tie) / (a + b + tie))]
    if slate.preferred:
        good = slate.preferred
        if count == 2 and len(good) == 1:  # a and b stay the sides they were shown on
            return [(0, 1, float(good == (0,)))]
        others = [index for index in range(count) if index not in good]
        return [(i, j, 1.0) for i in good for j in others] or "only one reply"
    if slate.verdict == "tie" and count == 2:
        return [(0, 1, 0.5)]
    order = slate.ranks
    if order is None and slate.ratings is not None:
        order = tuple(-rating for rating in slate.ratings)
    if order is not None and count > 1:
        return [(i, j, _preference(order[i], order[j])) for i, j in combinations(range(count), 2)]
    return "no label"


def _preference(rank_i: float, rank_j: float) -> float:
    return 0.5 if rank_i == rank_j else float(rank_i < rank_j)


def _pair(slate: Slate, a: int, b: int, p: float, weight: float) -> Pair:
    return Pair(
        slate.conversation(a),
        slate.conversation(b),
        p,
        weight,
        slate.group or slate.prompt_id(),
        slate.source,
        slate.strength,
        slate.votes,
        slate.columns,
    )
