"""Judgments as arrays. They are read once and then only new ones, so that a page can be recomputed
every few seconds over a million of them. What an owner can change (gold, who and what is taken
out) is read again each time: it is little.

J judgments; N comparisons that have one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from plaudit.statistics.votes import Votes
from plaudit.study import schema as s

KINDS = ("vote", "retest", "imported", "resolution")
ANSWERS = ("a", "b", "tie", "both_bad", "skip", "withdrawn")
A, B, TIE, BOTH_BAD, SKIP, WITHDRAWN = range(6)
VOTE, RETEST, IMPORTED, RESOLUTION = range(4)
PLAIN_STRENGTH = 2  # "better", where no strength was asked for
PART = 2_000  # rows at once: votes wait for the interpreter meanwhile
SETTLED = 60.0  # seconds after which no older judgment can still appear
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# `side` is +1 where response a was on the left, −1 on the right, 0 unknown; strength 0, active_ms
# −1, supersedes −1 and p NaN stand for what is not there.
ROW = np.dtype(
    [(name, np.int64) for name in ("id", "comparison", "annotator")]
    + [(name, np.int8) for name in ("kind", "answer", "strength", "side")]
    + [("active_ms", np.int64), ("created_at", np.float64), ("supersedes", np.int64)]
    + [("p", np.float64)]
)
FACTS = (
    *("id", "group", "response_a", "response_b"),
    *("a_characters", "b_characters", "a_words", "b_words", "agreement"),
)
FACT = np.dtype([(name, np.int64) for name in FACTS])


class JudgmentTable:
    """Every judgment of a study: `rows` [J] of ROW, which `refresh` extends."""

    def __init__(self) -> None:
        self.rows = np.empty(0, dtype=ROW)
        self._settled = 0
        # [N] of FACT: an array, since a million tuples would stop the process at every
        # collection of garbage.
        self._facts = np.empty(0, dtype=FACT)
        self._groups: dict[str, int] = {}
        self._gold: dict[int, tuple[str, float]] = {}
        self._out: list[int] = []  # comparisons withdrawn or for practice
        self._excluded: list[int] = []  # annotators
        self._same: dict[int, int] = {}  # annotators to the first one of the same browser

    def refresh(self, db: Connection) -> bool:
        """Read what is new; returns whether there was anything."""
        before = self._state()
        kept = self.rows[: np.searchsorted(self.rows["id"], self._settled, side="right")]
        # Rows numbered before may be committed after: the last minute is read again.
        self.rows = np.concatenate([kept, _read(db, self._settled)])
        old = self.rows["created_at"] < time.time() - SETTLED
        self._settled = int(self.rows["id"][old].max()) if old.any() else 0
        self._read_decisions(db)
        self._read_facts(db)
        return before != self._state()

    def _state(self) -> tuple[Any, ...]:
        return len(self.rows), self._gold, self._out, self._excluded, self._same

    def _read_decisions(self, db: Connection) -> None:
        """What owners have decided since, and who shares a browser with whom."""
        c, a = s.comparison.c, s.annotator.c
        self._gold = {
            row.id: (row.gold, row.gold_since or 0.0)
            for row in db.execute(select(c.id, c.gold, c.gold_since).where(s.IS_GOLD))
        }
        self._out = [*db.scalars(select(c.id).where(s.OUT).order_by(c.id))]
        excluded = select(a.id).where(a.excluded_at.is_not(None)).order_by(a.id)
        self._excluded = [*db.scalars(excluded)]
        first: dict[str, int] = {}
        devices = select(a.id, a.device).where(a.device.is_not(None)).order_by(a.id)
        people = {row.id: first.setdefault(row.device, row.id) for row in db.execute(devices)}
        shared = Counter(people.values())
        self._same = {own: one for own, one in people.items() if shared[one] > 1}

    def _read_facts(self, db: Connection) -> None:
        unknown = np.setdiff1d(self.rows["comparison"], self._facts["id"])
        if not len(unknown):
            return
        of = s.comparison_text.c
        query = select(*(of[name] for name in FACTS))
        query = query.where(of.id.between(int(unknown[0]), int(unknown[-1])))
        parts = [self._facts]
        for rows in db.execution_options(yield_per=PART).execute(query).partitions():
            coded = [
                (key, self._groups.setdefault(group, len(self._groups)), *rest)
                for key, group, *rest in rows
            ]
            part = np.array(coded, dtype=FACT)
            parts.append(part[np.isin(part["id"], unknown)])
        facts = np.concatenate(parts)
        self._facts = facts[np.argsort(facts["id"])]

    def facts(self, comparisons: Integers) -> NDArray[np.void]:
        """[len(comparisons)] of FACT, of judged comparisons."""
        found: NDArray[np.void] = self._facts[np.searchsorted(self._facts["id"], comparisons)]
        return found

    @property
    def value(self) -> Integers:
        """[J] −3 to 3, canonical; 0 for a tie and for what is no vote."""
        strength = np.where(self.rows["strength"] > 0, self.rows["strength"], PLAIN_STRENGTH)
        sign = (self.rows["answer"] == A).astype(np.int64) - (self.rows["answer"] == B)
        result: Integers = sign * strength
        return result

    @property
    def stands(self) -> Mask:
        """[J] the view `standing`, over what has been read."""
        return self.standing()

    def standing(self, included: Collection[int] = ()) -> Mask:
        """[J] `stands`, with the judgments of these annotators although they were taken out."""
        rows = self.rows
        excluded = sorted({*self._excluded} - {*included})
        result: Mask = (
            ~np.isin(rows["id"], rows["supersedes"])
            & (rows["answer"] != WITHDRAWN)
            & ~np.isin(rows["annotator"], excluded)
            & ~np.isin(rows["comparison"], self._out)
        )
        return result

    def one_per_person(self, keep: Mask) -> Mask:
        """[J] `keep` less the later votes of one browser on one comparison: it is one person."""
        own = np.flatnonzero(keep & np.isin(self.rows["annotator"], list(self._same)))
        if not len(own):
            return keep
        rows = self.rows[own]
        person = [self._same[number] for number in rows["annotator"].tolist()]
        vote = np.stack([rows["comparison"], np.array(person, dtype=np.int64)], axis=1)
        _, first = np.unique(vote, axis=0, return_index=True)  # rows are in order of their ids
        result = keep.copy()
        result[own] = False
        result[own[first]] = True
        return result

    @property
    def drawn(self) -> Mask:
        """[J] of a comparison drawn at random to be asked of several people."""
        result: Mask = self.facts(self.rows["comparison"])["agreement"] == 1
        return result

    @property
    def gold(self) -> Mask:
        """[J] of a gold comparison."""
        result: Mask = np.isin(self.rows["comparison"], list(self._gold))
        return result

    def expected(self, comparisons: Integers) -> Integers:
        """The certain answers of gold comparisons: 2, −2, or 0 for a tie."""
        sign = {"a": PLAIN_STRENGTH, "b": -PLAIN_STRENGTH, "tie": 0}
        return np.array([sign[self._gold[int(c)][0]] for c in comparisons], dtype=np.int64)

    @property
    def tests(self) -> Mask:
        """[J] on gold, given after it became gold."""
        tested = self.gold
        at = np.flatnonzero(tested)
        since = np.array([self._gold[int(c)][1] for c in self.rows["comparison"][at]])
        tested[at] = self.rows["created_at"][at] >= since
        return tested

    def votes(self, keep: Mask) -> tuple[Votes, Integers, Integers]:
        """The a, b and tie judgments among `keep`, as Votes, with ids of items and annotators."""
        keep = keep & (self.rows["answer"] <= TIE)
        rows = self.rows[keep]
        comparisons, item = np.unique(rows["comparison"], return_inverse=True)
        annotators, annotator = np.unique(rows["annotator"], return_inverse=True)
        facts = self.facts(comparisons)
        pairs = np.stack([facts["response_a"], facts["response_b"]], axis=1)
        responses = np.unique(pairs, return_inverse=True)[1].reshape(-1, 2)
        ratio = np.maximum(facts["a_characters"], 1) / np.maximum(facts["b_characters"], 1)
        votes = Votes(
            item=item.astype(np.int64),
            annotator=annotator.astype(np.int64),
            value=self.value[keep],
            side=rows["side"],
            group=facts["group"],
            annotators=len(annotators),
            log_length=np.log(ratio),
            responses=responses.astype(np.int64),
        )
        return votes, comparisons, annotators


def _read(db: Connection, after: int) -> NDArray[np.void]:
    """[new] of ROW: the judgments numbered above `after`."""
    j = s.judgment.c
    columns = (j.id, j.comparison, j.annotator, j.kind, j.answer, j.strength, j.left, j.active_ms)
    query = select(*columns, j.created_at, j.supersedes, j.p).where(j.id > after).order_by(j.id)
    kinds = {name: code for code, name in enumerate(KINDS)}
    answers = {name: code for code, name in enumerate(ANSWERS)}
    sides = {"a": 1, "b": -1, None: 0}
    parts = [np.empty(0, dtype=ROW)]
    for rows in db.execution_options(yield_per=PART).execute(query).partitions():
        coded = [
            (
                *(key, comparison, annotator, kinds[kind], answers[answer], strength or 0),
                *(sides[left], -1 if active is None else active, at, earlier or -1),
                np.nan if p is None else p,
            )
            for key, comparison, annotator, kind, answer, *rest in rows
            for strength, left, active, at, earlier, p in [rest]
        ]
        parts.append(np.array(coded, dtype=ROW))
    return np.concatenate(parts)
