"""How far the judgments can be trusted: what the owner's pages show.

`assess` turns a JudgmentTable into numbers; `overview` does so every few seconds while there is
something new, so that a page costs the same with a hundred judgments or a million.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.config import StudySettings
from plaudit.statistics.aggregation import probabilities
from plaudit.statistics.agreement import Agreement, agreement
from plaudit.study import judgment_table as codes
from plaudit.study.annotator_facts import AnnotatorFacts, annotator_facts
from plaudit.study.judgment_table import Integers, JudgmentTable, Mask
from plaudit.study.model_results import ModelResults

SAMPLE = 20_000  # comparisons that agreement is computed on, the newest
MODEL_SAMPLE = 5_000  # those that the annotator model is fitted on, in about a second
QUEUE = 200


@dataclass(frozen=True)
class Overview:
    """What the owner's pages show, as it was at `at`."""

    at: float = 0.0
    comparisons: int = 0
    judged: int = 0  # comparisons with a vote
    complete: int = 0  # comparisons with all the judgments asked for
    remaining: int = 0  # judgments still asked for
    answers: Mapping[str, int] = field(default_factory=dict)
    last_hour: int = 0
    last_day: int = 0
    by_day: Sequence[tuple[str, int]] = ()
    retests: int = 0
    gold: int = 0
    agreement: Agreement | None = None
    agreement_basis: str = ""  # what agreement and the reliabilities rest on
    annotators: Sequence[AnnotatorFacts] = ()
    queue: Sequence[int] = ()  # comparisons on which people disagree, nobody having resolved them
    disagreements: int = 0
    resolved: int = 0
    problems: int = 0  # comparisons that people skipped or reported, for an owner to look at
    stuck: int = 0  # open ones of those, which nobody is left to judge
    models: ModelResults = field(default_factory=ModelResults)  # of the newest SAMPLE comparisons
    silent: bool = False  # judgments came in the last day, none in the last hour
    sampled: bool = False


def assess(
    table: JudgmentTable,
    counts: Mapping[str, int],
    models: ModelResults,
    settings: StudySettings,
    now: float,
) -> Overview:
    """Everything the owner's pages show."""
    rows, stands = table.rows, table.stands
    vote = stands & (rows["kind"] == codes.VOTE)
    counted = vote & ~table.gold
    judged = np.unique(rows["comparison"][counted & (rows["answer"] != codes.SKIP)])
    measured, drawn = _measured(table, counted, settings)
    shared = np.unique(rows["comparison"][measured & (rows["answer"] != codes.SKIP)])
    sample, model_sample = (
        measured & np.isin(rows["comparison"], shared[-size:]) for size in (SAMPLE, MODEL_SAMPLE)
    )
    agreed = _agreement(table, sample)
    resolved = np.unique(rows["comparison"][stands & (rows["kind"] == codes.RESOLUTION)])
    queue, disagreements = _queue(rows[counted & (rows["answer"] < codes.TIE)], resolved)
    annotators = annotator_facts(table, vote, _reliability(table, model_sample), settings)
    recent = rows["created_at"][vote]
    toward = table.value * rows["side"]
    answers = {"left": counted & (toward > 0), "right": counted & (toward < 0)} | {
        name: counted & (rows["answer"] == code)
        for name, code in (("tie", codes.TIE), ("both_bad", codes.BOTH_BAD), ("skip", codes.SKIP))
    }
    return Overview(
        at=now,
        comparisons=counts["comparisons"],
        judged=len(judged),
        complete=counts["complete"],
        remaining=counts["remaining"],
        answers={name: int(mask.sum()) for name, mask in answers.items()},
        last_hour=int((recent > now - 3600).sum()),
        last_day=int((recent > now - 86400).sum()),
        by_day=_by_day(recent, now),
        retests=int((stands & (rows["kind"] == codes.RETEST)).sum()),
        gold=counts["gold"],
        agreement=agreed,
        agreement_basis=_basis(agreed, drawn),
        annotators=annotators,
        queue=queue,
        disagreements=disagreements,
        resolved=len(resolved),
        models=models,
        problems=counts["problems"],
        stuck=counts["stuck"],
        silent=_silent(recent, now),
        sampled=len(shared) > SAMPLE,
    )


def _measured(table: JudgmentTable, counted: Mask, settings: StudySettings) -> tuple[Mask, bool]:
    """[J] the votes that agreement rests on, and whether their comparisons were drawn at random.

    Where one person is asked about each comparison, those of several people are the drawn ones:
    any other was asked again for a reason. Two votes of one browser never count as agreement.
    """
    votes = table.one_per_person(counted)
    drawn = votes & table.drawn
    return (drawn, True) if settings.overlap == 1 and drawn.any() else (votes, False)


def newest(table: JudgmentTable) -> Mask:
    """[J] the standing judgments of the newest SAMPLE comparisons that have one."""
    stands = table.stands
    judged = np.unique(table.rows["comparison"][stands])
    result: Mask = stands & np.isin(table.rows["comparison"], judged[-SAMPLE:])
    return result


def _basis(agreed: Agreement | None, drawn: bool) -> str:
    """What agreement is based on, in a sentence."""
    if agreed is None:
        return ""
    n = agreed.alpha_nominal.n
    which = "drawn at random" if drawn else "with two judgments or more"
    return f"Agreement based on {n:,} comparison{'' if n == 1 else 's'} {which}."


def _agreement(table: JudgmentTable, sample: Mask) -> Agreement | None:
    votes, _, _ = table.votes(sample)
    several = votes.counts().sum(axis=1) >= 2
    return agreement(votes) if several.any() else None


def _queue(strict: NDArray[np.void], resolved: Integers) -> tuple[list[int], int]:
    """Comparisons with votes for both sides and no resolution, the most divided first."""
    comparisons, at = np.unique(strict["comparison"], return_inverse=True)
    a = np.bincount(at, strict["answer"] == codes.A, len(comparisons))
    total = np.bincount(at, minlength=len(comparisons))
    divided = (a > 0) & (a < total) & ~np.isin(comparisons, resolved)
    doubt = np.abs(a / np.maximum(total, 1) - 0.5)
    order = np.lexsort((comparisons, -total, doubt))
    order = order[divided[order]]
    return comparisons[order[:QUEUE]].tolist(), int(divided.sum())


def _reliability(table: JudgmentTable, sample: Mask) -> dict[int, float]:
    """Reliability by annotator, from the annotator model, where anyone overlaps."""
    votes, _, voters = table.votes(sample)
    if not (votes.counts().sum(axis=1) >= 2).any():
        return {}
    return dict(zip(voters.tolist(), probabilities(votes).reliability.tolist(), strict=True))


def _by_day(created: NDArray[Any], now: float) -> list[tuple[str, int]]:
    """Votes on each of the last fourteen days, today last."""
    days = ((now - created) // 86400).astype(np.int64)
    counts = np.bincount(days[(days >= 0) & (days < 14)], minlength=14)
    return [
        (time.strftime("%d %b", time.localtime(now - 86400 * back)), int(counts[back]))
        for back in range(13, -1, -1)
    ]


def _silent(created: NDArray[Any], now: float) -> bool:
    return bool((created > now - 86400).sum() >= 20 and not (created > now - 3600).any())
