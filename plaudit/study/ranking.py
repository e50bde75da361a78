"""K responses ranked in one go: a panel, what a person says of it, and the pairs that follow.

A panel's comparisons all point to it. One of them, the anchor, is asked in the name of all and has
the overlap; the others have none. A ranking is stored as tiers of response ids, and each pair as
a judgment that names the ranking, so that everything which reads judgments reads rankings too.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select

from plaudit.errors import DataError
from plaudit.study import schema as s

MOST = 9  # responses: each has a digit of the keyboard

Tiers = Sequence[Sequence[int]]


class Pair(NamedTuple):
    """A comparison of a panel beside its anchor; `last` is the person's newest word on it."""

    comparison: int
    response_a: int
    response_b: int
    last: int | None


def in_shown_order(token: str, responses: Sequence[int]) -> list[int]:
    """A panel's responses as an assignment shows them: at random, and the same each time."""
    shown = sorted(responses)
    Random(token).shuffle(shown)
    return shown


def ranks_of(tiers: Tiers, shown: Sequence[int]) -> dict[int, int]:
    """The rank of each response, from tiers of its places on the screen.

    Raises DataError unless each place stands in exactly one tier and no tier is empty.
    """
    places = sorted(place for tier in tiers for place in tier)
    if places != list(range(len(shown))) or not all(tiers):
        raise DataError(f"a ranking names each of {len(shown)} responses once, found {tiers}")
    return {shown[place]: rank for rank, tier in enumerate(tiers) for place in tier}


def preferred(ranks: dict[int, int], a: int, b: int) -> str:
    """The answer that a ranking gives to one pair, canonical."""
    return "tie" if ranks[a] == ranks[b] else "a" if ranks[a] < ranks[b] else "b"


def tiers_on_screen(tiers: Tiers, shown: Sequence[int]) -> list[list[int]]:
    """Tiers of response ids as places on the screen."""
    return [[shown.index(response) for response in tier] for tier in tiers]


def store_ranking(
    db: Connection, panel: int, person: int, assignment: int, ranks: dict[int, int]
) -> int:
    """A new row of `ranking`; returns its number."""
    tiers = [[r for r in ranks if ranks[r] == rank] for rank in range(max(ranks.values()) + 1)]
    row = {"panel": panel, "annotator": person, "assignment": assignment, "tiers": tiers}
    return int(db.execute(insert(s.ranking).values(**row).returning(s.ranking.c.id)).scalar_one())


def pairs_of(db: Connection, person: int, anchor: int, responses: Sequence[int]) -> list[Pair]:
    """The comparisons between a panel's responses, without its anchor.

    Left out are those on which the person has been asked by themselves: one person, one vote.
    """
    c, j = s.comparison.c, s.judgment.c
    pairs = select(c.id, c.response_a, c.response_b).where(
        c.response_a.in_(responses), c.response_b.in_(responses), c.id != anchor
    )
    found = []
    for row in db.execute(pairs.order_by(c.id)).all():
        own = select(j.id, j.assignment).where(j.comparison == row.id, j.annotator == person)
        said = db.execute(own.order_by(j.id.desc()).limit(1)).one_or_none()
        if said is None or said.assignment is None:
            found.append(Pair(*row, said.id if said else None))
    return found


def standing_pairs(db: Connection, assignment: int) -> list[dict[str, Any]]:
    """The judgments that follow from an assignment's ranking and still stand."""
    j, r = s.latest.c, s.ranking.c
    rankings = select(r.id).where(r.assignment == assignment)
    query = select(s.latest).where(j.ranking.in_(rankings), j.assignment.is_(None))
    return [dict(row) for row in db.execute(query).mappings()]
