"""Slates to Pairs, the training atom; what leaves on the way is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from plaudit.types import Pair, Slate


@dataclass
class Tally:
    """What became of rows: reason to count. `rows` in, `pairs` out."""

    rows: int = 0
    pairs: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count


def pairs_of(slates: Iterable[Slate], tally: Tally | None = None) -> list[Pair]:
    """The pairs of each slate that `Slate.preference` knows; the other slates are counted."""
    tally = Tally() if tally is None else tally
    pairs: list[Pair] = []
    for slate in slates:
        tally.rows += 1
        known = slate.preferences()
        if not known:
            tally.drop(slate.unlabelled())
        pairs += [_pair(slate, a, b, p, weight) for a, b, (p, weight, _) in known]
    tally.pairs = len(pairs)
    return pairs


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
