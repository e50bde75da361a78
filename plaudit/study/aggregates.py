"""What all judgments together say of each comparison: what `export` asks.

N comparisons that have a judgment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, select

from plaudit.config import ExportConfig, known_names
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
    twice: int  # votes not counted: a second one of the same browser on the same comparison

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


@dataclass(frozen=True)
class Selection:
    """Whose judgments are exported, by pseudonym; raises UsageError on a name that is not there.

    `only` and `without` as the flags say, `excluded` those taken out who count all the same.
    """

    ids: Mapping[str, int]  # everyone whose judgments are exported
    excluded: Mapping[str, int]

    @classmethod
    def of(cls, db: Connection, config: ExportConfig) -> Selection:
        a = s.annotator.c
        rows = db.execute(select(a.pseudonym, a.id, a.excluded_at)).all()
        everyone = {row.pseudonym: row.id for row in rows}
        out = {row.pseudonym: row.id for row in rows if row.excluded_at is not None}
        only = known_names("--only", config.only, everyone, "annotator")
        without = known_names("--without", config.without, everyone, "annotator")
        again = known_names("--excluded", config.excluded, out, "annotator who was taken out")
        silent = sorted(out.keys() & {*only} - {*again})
        if silent and config.format != "raw":
            raise UsageError(
                f"--only {', '.join(silent)}: taken out of the study; add --excluded with the "
                "same names to export their judgments"
            )
        ids = {name: everyone[name] for name in only or everyone if name not in without}
        return cls(ids, {name: out[name] for name in again})

    def keep(self, table: JudgmentTable) -> Mask:
        """[J] the judgments that stand and are chosen."""
        stands = table.standing(self.excluded.values())
        result: Mask = stands & np.isin(table.rows["annotator"], list(self.ids.values()))
        return result

    def counted(self, judgments: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The same of one comparison's judgments as a raw export has them, retests apart."""
        superseded = {j["supersedes"] for j in judgments}
        return [
            j
            for j in judgments
            if j["key"] not in superseded
            and (j["answer"] != "withdrawn" and j["kind"] != "retest")
            and j["annotator"] in self.ids
            and not (j.get("excluded") and j["annotator"] not in self.excluded)
        ]


def aggregate(
    db: Connection,
    model: str = "auto",
    who: Selection | None = None,
    table: JudgmentTable | None = None,
) -> Aggregates:
    """What people say of every comparison, as `model` sees it.

    A label that came as a probability is kept as it is; beside votes it weighs as one of them.
    Of two votes of one browser on one comparison the later does not count.

    Raises UsageError on a model that is not one of statistics.aggregation.MODELS.
    """
    name = BEST if model == "auto" else model
    if name not in MODELS:
        raise UsageError(f"--aggregate {model!r} is not one of auto, {', '.join(MODELS)}")
    if table is None:
        table = JudgmentTable()
        table.refresh(db)
    rows = table.rows
    stands = table.stands if who is None else who.keep(table)
    said = (
        stands
        & np.isin(rows["kind"], (codes.VOTE, codes.IMPORTED))
        & (rows["answer"] <= codes.BOTH_BAD)
    )
    counted = table.one_per_person(said)
    twice = int(said.sum() - counted.sum())
    return _aggregates(table, counted, stands & (rows["kind"] == codes.RESOLUTION), name, twice)


def _aggregates(
    table: JudgmentTable, counted: Mask, resolution: Mask, model: str, twice: int
) -> Aggregates:
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
    return Aggregates(model, comparisons, p, counts, strength, dict(last), reliability, twice)


def _fitted(votes: Votes, model: str) -> Probabilities:
    try:
        return probabilities(votes, model)
    except ValueError as error:  # responses linked to too many others
        raise UsageError(f"{error}; choose another model with --aggregate") from error
