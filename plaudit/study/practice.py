"""Practice pairs: comparisons with a known answer that are explained to whoever begins.

They take no slots, are asked before the first comparison, and count in no figure or export.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from plaudit.study import schema as s
from plaudit.study.assignment import Assignment
from plaudit.types import as_messages

MOST = 20  # shown to each person


@dataclass(frozen=True, slots=True)
class Practice:
    """A practice pair as its author wrote it: the first response of the row is on the left."""

    item: Assignment
    answer: str  # left, right or tie
    explanation: str


def practice_pairs(db: Connection) -> list[Practice]:
    """The study's practice pairs, in the order in which they were added."""
    c = s.comparison_text.c
    query = (
        select(s.comparison_text)
        .where(c.explanation.is_not(None), c.withdrawn_at.is_(None))
        .order_by(c.id)
        .limit(MOST)
    )
    found: list[Practice] = []
    for row in db.execute(query).mappings():
        sides = as_messages(row["a_messages"]), as_messages(row["b_messages"])
        left, right = sides if row["explained_left"] == "a" else sides[::-1]
        answer = {"tie": "tie", row["explained_left"]: "left"}.get(row["gold"], "right")
        item = Assignment(
            f"practice-{len(found)}", as_messages(row["prompt_messages"]), left, right, {}
        )
        found.append(Practice(item, answer, row["explanation"]))
    return found
