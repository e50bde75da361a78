"""The rows of the store that every export starts from, with all that was said of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, func, select

from plaudit.study import schema as s
from plaudit.study.masking import REPLACED
from plaudit.study.next_comparison import IN_ORDER

BATCH = 1000
Row = dict[str, Any]

# What a comparison and a judgment are beside their links, in a raw export and in the tables alike.
COMPARISON = (
    *("hash", "group", "gold", "gold_since", "overlap", "agreement", "withdrawn_at"),
    *("explanation", "columns"),
)
JUDGMENT = (
    *("key", "kind", "answer", "strength", "left", "p", "criteria", "reasons", "rationale"),
    *("report", "active_ms", "wall_ms", "first_input_ms", "guideline", "late", "created_at"),
)


def stored_rows(db: Connection) -> Iterator[Row]:
    """Every comparison with its texts, origins and judgments, in order of its hash."""
    last = ""
    while part := _some_rows(db, last):
        yield from part
        last = part[-1]["hash"]


# Comparisons whose texts gave way to masked ones are none any more.
_REPLACED = select(s.prompt.c.id).where(s.prompt.c.hash == REPLACED).scalar_subquery()
PRESENT = s.comparison.c.prompt.is_distinct_from(_REPLACED)


def count_rows(db: Connection) -> int:
    """How many rows `stored_rows` gives."""
    return db.scalar(select(func.count()).select_from(s.comparison).where(PRESENT)) or 0


def column_names(db: Connection) -> set[str]:
    """The names of the data's own columns, of all comparisons together."""
    found: set[str] = set()
    for columns in db.execution_options(yield_per=BATCH).scalars(select(s.comparison.c.columns)):
        found |= columns.keys()
    return found


def _some_rows(db: Connection, after: str) -> list[Row]:
    c, before = s.comparison_text.c, s.comparison.alias()
    query = (
        select(
            s.comparison_text,
            before.c.hash.label("replaces_hash"),
            s.panel.c.hash.label("panel_hash"),
        )
        .outerjoin(before, before.c.id == c.replaces)
        .outerjoin(s.panel, s.panel.c.id == c.panel)
        .where(c.hash > after, c.prompt.is_distinct_from(_REPLACED))
        .order_by(c.hash)
        .limit(BATCH)
    )
    found = db.execute(query).mappings().all()
    origins = _origins(db, {row[side] for row in found for side in ("response_a", "response_b")})
    judgments = _judgments(db, [row["id"] for row in found])
    return [
        {"id": row["id"]}
        | {name: row[name] for name in COMPARISON}
        | {
            "prompt": row["prompt_messages"],
            "response_a": row["a_messages"],
            "response_b": row["b_messages"],
            "origins_a": origins.get(row["response_a"], []),
            "origins_b": origins.get(row["response_b"], []),
            "queue_position": row["queue_position"] if row["queue_position"] < IN_ORDER else None,
            "replaces": row["replaces_hash"],
            "panel": row["panel_hash"],
            "judgments": judgments.get(row["id"], []),
        }
        for row in found
    ]


def _origins(db: Connection, responses: set[int]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    query = select(s.origin).where(s.origin.c.response.in_(responses)).order_by(s.origin.c.hash)
    for row in db.execute(query):
        found.setdefault(row.response, []).append({"model": row.model, "sampling": row.sampling})
    return found


def _judgments(db: Connection, comparisons: list[int]) -> dict[int, list[Row]]:
    j, a, earlier = s.judgment, s.annotator.c, s.judgment.alias()
    query = (
        select(j, a.pseudonym, a.excluded_at, earlier.c.key.label("supersedes_key"))
        .join(s.annotator, a.id == j.c.annotator)
        .outerjoin(earlier, earlier.c.id == j.c.supersedes)
        .where(j.c.comparison.in_(comparisons))
        .order_by(j.c.created_at, j.c.key)
    )
    tiers = _tiers(db, comparisons)
    found: dict[int, list[Row]] = {}
    for row in db.execute(query).mappings():
        judgment = {name: row[name] for name in JUDGMENT}
        judgment |= {"annotator": row["pseudonym"], "supersedes": row["supersedes_key"]}
        if row["excluded_at"] is not None:  # taken out: stored, and in no figure
            judgment["excluded"] = True
        if row["ranking"] is not None:
            judgment["ranking"] = tiers[row["ranking"]]
        found.setdefault(row["comparison"], []).append(judgment)
    return found


def _tiers(db: Connection, comparisons: list[int]) -> dict[int, list[list[str]]]:
    """The rankings that judgments follow from, as hashes of responses, the best first."""
    j, r = s.judgment.c, s.ranking
    query = select(r.c.id, r.c.tiers).where(
        r.c.id.in_(select(j.ranking).where(j.comparison.in_(comparisons)))
    )
    found = {row.id: row.tiers for row in db.execute(query)}
    ids = {one for tiers in found.values() for tier in tiers for one in tier}
    if not ids:
        return {}
    query = select(s.response.c.id, s.response.c.hash).where(s.response.c.id.in_(ids))
    hashes = {row.id: row.hash for row in db.execute(query)}
    return {k: [[hashes[one] for one in tier] for tier in tiers] for k, tiers in found.items()}
