"""Judgments as arrays, and what they say together of each comparison.

`Ballots` reads all judgments once and then only new ones, so that a page can be recomputed every
few seconds over a million of them. `opinions` is what `export` asks: votes and probability of
each comparison.

J judgments; N comparisons that have one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from plaudit.errors import UsageError
from plaudit.statistics.aggregation import BEST, MODELS, Probabilities, probabilities
from plaudit.statistics.votes import Votes
from plaudit.study import schema as s

__all__ = ["ANSWERS", "KINDS", "Ballots", "Opinion", "Opinions", "opinions"]

KINDS = ("vote", "retest", "imported", "resolution")
ANSWERS = ("a", "b", "tie", "both_bad", "skip", "withdrawn")
A, B, TIE, BOTH_BAD, SKIP, WITHDRAWN = range(6)
VOTE, RETEST, IMPORTED, RESOLUTION = range(4)
PLAIN_STRENGTH = 2  # "better", where no strength was asked for
PART = 2_000  # rows at once: votes wait for the interpreter meanwhile
SETTLED = 60.0  # seconds after which no older judgment can still appear
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Ballots:
    """Every judgment of a study, in arrays that `refresh` extends."""

    def __init__(self) -> None:
        self._rows = np.empty((0, 10), dtype=np.int64)
        self._settled = 0
        # [N, 8]: comparison, then group, responses a and b, their characters and words. An array,
        # since a million tuples would stop the process at every collection of garbage.
        self._facts = np.empty((0, 8), dtype=np.int64)
        self._groups: dict[str, int] = {}
        self._gold: dict[int, tuple[str, float]] = {}

    def refresh(self, db: Connection) -> bool:
        """Read what is new; returns whether there was anything."""
        before = len(self._rows), self._gold
        kept = self._rows[: np.searchsorted(self._rows[:, 0], self._settled, side="right")]
        # Rows numbered before may be committed after: the last minute is read again.
        self._rows = np.concatenate([kept, _read(db, self._settled)])
        old = self._rows[:, 8] < (time.time() - SETTLED) * 1000
        self._settled = int(self._rows[old, 0].max()) if old.any() else 0
        c = s.comparison
        self._gold = {
            row.id: (row.gold, row.gold_since or 0.0)
            for row in db.execute(select(c.c.id, c.c.gold, c.c.gold_since).where(s.IS_GOLD))
        }
        self._read_facts(db)
        return before != (len(self._rows), self._gold)

    def _read_facts(self, db: Connection) -> None:
        unknown = np.setdiff1d(self._rows[:, 1], self._facts[:, 0])
        if not len(unknown):
            return
        c, a, b = s.comparison, s.response.alias(), s.response.alias()
        query = (
            select(
                c.c.id,
                c.c.group,
                c.c.response_a,
                c.c.response_b,
                a.c.characters,
                b.c.characters,
                a.c.words,
                b.c.words,
            )
            .join(a, a.c.id == c.c.response_a)
            .join(b, b.c.id == c.c.response_b)
            .where(c.c.id.between(int(unknown[0]), int(unknown[-1])))
        )
        parts = [self._facts]
        for rows in db.execution_options(yield_per=PART).execute(query).partitions():
            coded = [
                (key, self._groups.setdefault(group, len(self._groups)), *rest)
                for key, group, *rest in rows
            ]
            part = np.array(coded, dtype=np.int64)
            parts.append(part[np.isin(part[:, 0], unknown)])
        facts = np.concatenate(parts)
        self._facts = facts[np.argsort(facts[:, 0])]

    def _facts_of(self, comparisons: Integers) -> Integers:
        """[len(comparisons), 7] facts of judged comparisons."""
        result: Integers = self._facts[np.searchsorted(self._facts[:, 0], comparisons), 1:]
        return result

    # ------------------------------------------------------------------------ columns

    @property
    def ids(self) -> Integers:
        return self._rows[:, 0]

    @property
    def comparison(self) -> Integers:
        return self._rows[:, 1]

    @property
    def annotator(self) -> Integers:
        return self._rows[:, 2]

    @property
    def kind(self) -> Integers:
        return self._rows[:, 3]

    @property
    def answer(self) -> Integers:
        return self._rows[:, 4]

    @property
    def side(self) -> Integers:
        """+1 where response a was on the left, −1 on the right, 0 unknown."""
        return self._rows[:, 6]

    @property
    def active_seconds(self) -> Floats:
        """NaN where unknown."""
        values = self._rows[:, 7].astype(np.float64)
        return np.where(values < 0, np.nan, values / 1000)

    @property
    def created_at(self) -> Floats:
        result: Floats = self._rows[:, 8] / 1000.0
        return result

    @property
    def value(self) -> Integers:
        """−3 to 3, canonical; 0 for a tie and for what is no vote."""
        strength = np.where(self._rows[:, 5] > 0, self._rows[:, 5], PLAIN_STRENGTH)
        sign = np.where(self.answer == A, 1, np.where(self.answer == B, -1, 0))
        result: Integers = sign * strength
        return result

    @property
    def stands(self) -> NDArray[np.bool_]:
        """Neither superseded nor withdrawn."""
        result: NDArray[np.bool_] = ~np.isin(self.ids, self._rows[:, 9]) & (
            self.answer != WITHDRAWN
        )
        return result

    @property
    def gold(self) -> NDArray[np.bool_]:
        """Of a gold comparison."""
        result: NDArray[np.bool_] = np.isin(self.comparison, list(self._gold))
        return result

    def expected(self, comparisons: Integers) -> Integers:
        """The certain answers of gold comparisons: 2, −2, or 0 for a tie."""
        sign = {"a": PLAIN_STRENGTH, "b": -PLAIN_STRENGTH, "tie": 0}
        return np.array([sign[self._gold[int(c)][0]] for c in comparisons], dtype=np.int64)

    @property
    def tests(self) -> NDArray[np.bool_]:
        """On gold, given after it became gold."""
        tested = self.gold
        at = np.flatnonzero(tested)
        since = np.array([self._gold[int(c)][1] for c in self.comparison[at]], dtype=np.float64)
        tested[at] = self.created_at[at] >= since
        return tested

    def shorter_words(self, comparisons: Integers) -> Floats:
        """Words of the shorter response of each comparison."""
        result: Floats = self._facts_of(comparisons)[:, 5:7].min(axis=1).astype(np.float64)
        return result

    # -------------------------------------------------------------------------- votes

    def votes(self, keep: NDArray[np.bool_]) -> tuple[Votes, Integers, Integers]:
        """The a, b and tie judgments among `keep`, as Votes, with ids of items and annotators."""
        keep = keep & (self.answer <= TIE)
        comparisons, item = np.unique(self.comparison[keep], return_inverse=True)
        annotators, annotator = np.unique(self.annotator[keep], return_inverse=True)
        facts = self._facts_of(comparisons)
        responses = np.unique(facts[:, 1:3], return_inverse=True)[1].reshape(-1, 2)
        votes = Votes(
            item=item.astype(np.int64),
            annotator=annotator.astype(np.int64),
            value=self.value[keep],
            side=self.side[keep],
            group=facts[:, 0],
            annotators=len(annotators),
            log_length=np.log(np.maximum(facts[:, 3], 1) / np.maximum(facts[:, 4], 1)),
            responses=responses.astype(np.int64),
        )
        return votes, comparisons, annotators


def _read(db: Connection, after: int) -> Integers:
    """[new, 10] judgments as integers: −1 stands for what is not there."""
    j = s.judgment
    columns = (
        *(j.c.id, j.c.comparison, j.c.annotator, j.c.kind, j.c.answer, j.c.strength, j.c.left),
        *(j.c.active_ms, j.c.created_at, j.c.supersedes),
    )
    kinds = {name: code for code, name in enumerate(KINDS)}
    answers = {name: code for code, name in enumerate(ANSWERS)}
    sides = {"a": 1, "b": -1, None: 0}
    parts = [np.empty((0, 10), dtype=np.int64)]
    query = select(*columns).where(j.c.id > after).order_by(j.c.id)
    for rows in db.execution_options(yield_per=PART).execute(query).partitions():
        parts.append(
            np.array(
                [
                    (
                        *(row[0], row[1], row[2], kinds[row[3]], answers[row[4]]),
                        *(row[5] or 0, sides[row[6]], -1 if row[7] is None else row[7]),
                        *(int(row[8] * 1000), row[9] or -1),
                    )
                    for row in rows
                ],
                dtype=np.int64,
            )
        )
    return np.concatenate(parts)


# ---------------------------------------------------------------------------------- opinions


class Opinion(NamedTuple):
    """What people say of one comparison: `p` that a is better, and the votes it rests on."""

    p: float
    a: int
    b: int
    tie: int
    strength: float | None
    both_bad: bool

    @property
    def votes(self) -> int:
        return self.a + self.b + self.tie


@dataclass(frozen=True)
class Opinions:
    """Opinions by comparison id, and the model that gave the probabilities."""

    model: str
    _comparisons: Integers
    _p: Floats
    _counts: Integers  # [N, 4] a, b, tie, both bad
    _strength: Floats
    _resolved: dict[int, int]
    reliability: dict[int, float]  # by annotator

    def of(self, comparison: int) -> Opinion | None:
        """None where nobody has said anything that counts."""
        at = int(np.searchsorted(self._comparisons, comparison))
        if at == len(self._comparisons) or self._comparisons[at] != comparison:
            return None
        a, b, tie, bad = (int(n) for n in self._counts[at])
        p, strength = float(self._p[at]), float(self._strength[at])
        resolved = self._resolved.get(comparison)
        if resolved in (A, B, TIE):
            p = {A: 1.0, B: 0.0, TIE: 0.5}[resolved]
        both_bad = bad > a + b + tie if resolved is None else resolved == BOTH_BAD
        return Opinion(p, a, b, tie, None if np.isnan(strength) else round(strength, 4), both_bad)


def opinions(db: Connection, model: str = "auto", without: tuple[str, ...] = ()) -> Opinions:
    """What people say of every comparison, as `model` sees it.

    Raises UsageError on a model that is not one of statistics.annotators.MODELS.
    """
    name = BEST if model == "auto" else model
    if name not in MODELS:
        raise UsageError(f"--probability {model!r} is not one of auto, {', '.join(MODELS)}")
    ballots = Ballots()
    ballots.refresh(db)
    barred = set(db.scalars(select(s.annotator.c.id).where(s.annotator.c.pseudonym.in_(without))))
    stands = ballots.stands & ~np.isin(ballots.annotator, list(barred))
    counted = stands & np.isin(ballots.kind, (VOTE, IMPORTED))
    resolution = stands & (ballots.kind == RESOLUTION)
    return _opinions(ballots, counted, resolution, name)


def _opinions(
    ballots: Ballots, counted: NDArray[np.bool_], resolution: NDArray[np.bool_], model: str
) -> Opinions:
    said = (counted & (ballots.answer <= BOTH_BAD)) | resolution
    comparisons = np.unique(ballots.comparison[said])
    at = np.searchsorted(comparisons, ballots.comparison)
    counts = np.zeros((len(comparisons), 4), dtype=np.int64)
    votes_of = counted & (ballots.answer <= BOTH_BAD)
    np.add.at(counts, (at[votes_of], ballots.answer[votes_of]), 1)
    p = np.full(len(comparisons), 0.5)
    reliability: dict[int, float] = {}
    votes, voted, voters = ballots.votes(counted)
    if len(voted):
        found = _fitted(votes, model)
        p[np.searchsorted(comparisons, voted)] = found.p
        reliability = dict(zip(voters.tolist(), found.reliability.tolist(), strict=True))
    graded = counted & (ballots._rows[:, 5] > 0)
    total = np.bincount(at[graded], np.abs(ballots.value[graded]), len(comparisons))
    n = np.bincount(at[graded], minlength=len(comparisons))
    with np.errstate(invalid="ignore"):
        strength = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    resolved = dict(
        zip(
            ballots.comparison[resolution].tolist(),
            ballots.answer[resolution].tolist(),
            strict=True,
        )
    )
    return Opinions(model, comparisons, p, counts, strength, resolved, reliability)


def _fitted(votes: Votes, model: str) -> Probabilities:
    try:
        return probabilities(votes, model)
    except ValueError as error:  # responses linked to too many others
        raise UsageError(
            f"{error}; --probability skills or vote_share has no such limit"
        ) from error
