"""What all judgments together say of each comparison: what `export` asks.

N comparisons that have a judgment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from plaudit.errors import UsageError
from plaudit.statistics.aggregation import BEST, MODELS, Probabilities, probabilities
from plaudit.statistics.votes import Votes
from plaudit.study import judgment_table as codes
from plaudit.study import schema as s
from plaudit.study.judgment_table import Floats, Integers, JudgmentTable, Mask

CERTAIN = (1.0, 0.0, 0.5)  # p of the answers a, b and tie


class Aggregate(NamedTuple):
    """What people say of one comparison: `p` that a is better, and the votes it rests on."""

    p: float
    a: int
    b: int
    tie: int
    given: int  # labels that came as a probability
    strength: float | None
    both_bad: bool

    @property
    def judgments(self) -> int:
        return self.a + self.b + self.tie + self.given


@dataclass(frozen=True)
class Aggregates:
    """Aggregates by comparison id, and the model that gave the probabilities."""

    model: str
    _comparisons: Integers
    _p: Floats
    _counts: Integers  # [N, 5] a, b, tie, both bad, given as a probability
    _strength: Floats
    _resolved: dict[int, int]
    reliability: dict[int, float]  # by annotator

    def of(self, comparison: int) -> Aggregate | None:
        """None where nobody has said anything that counts."""
        at = int(np.searchsorted(self._comparisons, comparison))
        if at == len(self._comparisons) or self._comparisons[at] != comparison:
            return None
        a, b, tie, bad, given = (int(n) for n in self._counts[at])
        p, strength = float(self._p[at]), float(self._strength[at])
        resolved = self._resolved.get(comparison)
        if resolved is not None and resolved <= codes.TIE:
            p = CERTAIN[resolved]
        both_bad = bad > a + b + tie + given if resolved is None else resolved == codes.BOTH_BAD
        known = None if np.isnan(strength) else round(strength, 4)
        return Aggregate(p, a, b, tie, given, known, both_bad)


def aggregate(db: Connection, model: str = "auto", without: tuple[str, ...] = ()) -> Aggregates:
    """What people say of every comparison, as `model` sees it; `without` are left out.

    A label that came as a probability is kept as it is; beside votes it weighs as one of them.

    Raises UsageError on a model that is not one of statistics.aggregation.MODELS, and on an
    annotator that is not there.
    """
    name = BEST if model == "auto" else model
    if name not in MODELS:
        raise UsageError(f"--aggregate {model!r} is not one of auto, {', '.join(MODELS)}")
    a = s.annotator.c
    known = {row.pseudonym: row.id for row in db.execute(select(a.pseudonym, a.id))}
    if unknown := set(without) - known.keys():
        raise UsageError(f"--without {', '.join(sorted(unknown))}: no annotator of this name")
    table = JudgmentTable()
    table.refresh(db)
    rows = table.rows
    stands = table.stands & ~np.isin(rows["annotator"], [known[name] for name in without])
    counted = (
        stands
        & np.isin(rows["kind"], (codes.VOTE, codes.IMPORTED))
        & (rows["answer"] <= codes.BOTH_BAD)
    )
    return _aggregates(table, counted, stands & (rows["kind"] == codes.RESOLUTION), name)


def _aggregates(table: JudgmentTable, counted: Mask, resolution: Mask, model: str) -> Aggregates:
    rows = table.rows
    comparisons = np.unique(rows["comparison"][counted | resolution])
    at = np.searchsorted(comparisons, rows["comparison"])
    given = counted & ~np.isnan(rows["p"])
    counts = np.zeros((len(comparisons), 5), dtype=np.int64)
    answers = counted & ~given
    np.add.at(counts, (at[answers], rows["answer"][answers]), 1)
    np.add.at(counts[:, 4], at[given], 1)
    p = np.full(len(comparisons), 0.5)
    reliability: dict[int, float] = {}
    votes, voted, voters = table.votes(answers)
    if len(voted):
        found = _fitted(votes, model)
        p[np.searchsorted(comparisons, voted)] = found.p
        reliability = dict(zip(voters.tolist(), found.reliability.tolist(), strict=True))
    n_votes, n_given = counts[:, :3].sum(axis=1), counts[:, 4]
    total = np.bincount(at[given], rows["p"][given], len(comparisons))
    some = n_given > 0
    p[some] = (p * n_votes + total)[some] / (n_votes + n_given)[some]
    graded = counted & (rows["strength"] > 0)
    n = np.bincount(at[graded], minlength=len(comparisons))
    total = np.bincount(at[graded], np.abs(table.value[graded]), len(comparisons))
    with np.errstate(invalid="ignore"):
        strength = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    decided = rows[resolution]
    last = zip(decided["comparison"].tolist(), decided["answer"].tolist(), strict=True)
    return Aggregates(model, comparisons, p, counts, strength, dict(last), reliability)


def _fitted(votes: Votes, model: str) -> Probabilities:
    try:
        return probabilities(votes, model)
    except ValueError as error:  # responses linked to too many others
        raise UsageError(f"{error}; choose another model with --aggregate") from error
