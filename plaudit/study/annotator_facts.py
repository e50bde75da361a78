"""Each annotator's habits as numbers: gold, retests, sides, length, speed, and what they call for.

A flag asks the owner to look; a stop, where the owner has switched its rule on, holds an
annotator's further work until the owner decides. Both ask for evidence beyond chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plaudit.config import StudySettings
from plaudit.statistics.annotator_quality import (
    Retests,
    Run,
    below_floor,
    consistency,
    fast_share,
    gold_accuracy,
    gold_passed,
    left_bias,
    longest_runs,
    prefers_longer,
)
from plaudit.statistics.intervals import Interval
from plaudit.study import judgment_table as codes
from plaudit.study.judgment_table import Integers, JudgmentTable, Mask

UNLIKELY = 0.001
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"), 0, 0)
# A rule looks again after every judgment: with less to go on it would stop the unlucky.
FEWEST = 10


@dataclass(frozen=True, slots=True)
class AnnotatorFacts:
    """One annotator's quality; intervals are NaN where nothing is known."""

    id: int
    votes: int
    seconds: float  # median active time
    reliability: float
    gold: Interval
    consistency: Interval
    left_bias: Interval
    longer: Interval  # share of votes for the longer response
    fast: Interval  # share of votes given faster than the shorter response can be read
    ties: float
    skips: int
    flags: tuple[str, ...]


def annotator_facts(
    table: JudgmentTable, vote: Mask, reliability: Mapping[int, float], settings: StudySettings
) -> list[AnnotatorFacts]:
    """Facts of everyone who has voted, the busiest first."""
    rows = table.rows
    people, member = np.unique(rows["annotator"], return_inverse=True)
    count = len(people)
    said = vote & (rows["answer"] <= codes.BOTH_BAD)
    n, skips, ties = (
        np.bincount(member[mask], minlength=count)
        for mask in (
            said,
            vote & (rows["answer"] == codes.SKIP),
            said & (rows["answer"] == codes.TIE),
        )
    )
    bias, runs, longer = _habits(table, said)
    gold, fast = _gold(table, said, member, count), _fast(table, said, member, count)
    steady = consistency(_retests(table, said, member), count)
    seconds = _seconds(rows)
    facts = []
    for k in np.argsort(-n, kind="stable").tolist():
        if not n[k] and not skips[k]:
            continue
        own = seconds[said & (member == k)]
        key = int(people[k])
        facts.append(
            AnnotatorFacts(
                id=key,
                votes=int(n[k]),
                seconds=float(np.nanmedian(own)) if np.isfinite(own).any() else np.nan,
                reliability=reliability.get(key, np.nan),
                gold=gold[k],
                consistency=steady[k],
                left_bias=bias.get(key, UNKNOWN),
                longer=longer.get(key, UNKNOWN),
                fast=fast[k],
                ties=float(ties[k] / n[k]) if n[k] else np.nan,
                skips=int(skips[k]),
                flags=_flags(gold[k], fast[k], bias.get(key), runs.get(key), settings),
            )
        )
    return facts


def stop_reasons(
    table: JudgmentTable, settings: StudySettings, since: Mapping[int, float]
) -> dict[int, str]:
    """Why a rule of the study stops an annotator, by annotator: what was judged before `since`,
    when an owner had them resume, is no reason any more."""
    if not settings.stop_rules:
        return {}
    rows = table.rows
    people, member = np.unique(rows["annotator"], return_inverse=True)
    after = np.array([since.get(int(key), 0.0) for key in people])
    said = table.stands & (rows["kind"] == codes.VOTE) & (rows["answer"] <= codes.BOTH_BAD)
    said &= rows["created_at"] > after[member] if len(people) else False
    gold, fast = (rule(table, said, member, len(people)) for rule in (_gold, _fast))
    found: dict[int, str] = {}
    for k, key in enumerate(people.tolist()):
        broken = {"gold": _gold_flag(gold[k], settings), "fast": _fast_flag(fast[k])}
        enough = {"gold": gold[k].n >= FEWEST, "fast": fast[k].n >= FEWEST}
        reasons = [broken[rule] for rule in settings.stop_rules if broken[rule] and enough[rule]]
        if reasons:
            found[key] = "; ".join(reasons)
    return found


def _flags(
    gold: Interval, fast: Interval, bias: Interval | None, run: Run | None, settings: StudySettings
) -> tuple[str, ...]:
    """Only what chance does not explain."""
    flags = [_gold_flag(gold, settings)]
    if bias is not None and bias.n >= 20 and (bias.low > 0.05 or bias.high < -0.05):
        side = "left" if bias.value > 0 else "right"
        share = 50 + 100 * abs(bias.value)
        flags.append(f"prefers the {side} side: {share:.0f} % of {bias.n:,} judgments")
    if run is not None and run.n and run.chance < UNLIKELY:
        flags.append(f"one side {run.length} times in a row")
    flags.append(_fast_flag(fast))
    return tuple(flag for flag in flags if flag)


def _gold_flag(gold: Interval, settings: StudySettings) -> str:
    if not gold.n or not below_floor(gold, settings.gold_floor):
        return ""
    value, low, high = (100 * share for share in gold[:3])
    interval = f"{value:.0f} % [{low:.0f}, {high:.0f}]"
    return f"gold accuracy {interval} of {gold.n:,}, below {100 * settings.gold_floor:.0f} %"


def _fast_flag(fast: Interval) -> str:
    if not fast.n or not fast.low > 0.5:
        return ""
    return f"faster than reading speed in {round(fast.value * fast.n):,} of {fast.n:,} judgments"


def _seconds(rows: NDArray[np.void]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.where(rows["active_ms"] < 0, np.nan, rows["active_ms"] / 1000)
    return result


def _habits(
    table: JudgmentTable, said: Mask
) -> tuple[dict[int, Interval], dict[int, Run], dict[int, Interval]]:
    """Left bias, longest run of one side and share for the longer response by annotator, gold
    apart."""
    votes, _, voters = table.votes(said & ~table.gold)
    if not len(votes):
        return {}, {}, {}
    found = left_bias(votes), longest_runs(votes), prefers_longer(votes)
    bias, runs, longer = (dict(zip(voters.tolist(), each, strict=True)) for each in found)
    return bias, runs, longer


def _gold(table: JudgmentTable, said: Mask, member: Integers, count: int) -> list[Interval]:
    """Gold accuracy by annotator."""
    tested = said & table.tests & (table.rows["answer"] <= codes.TIE)
    expected = table.expected(table.rows["comparison"][tested])
    passed = gold_passed(np.sign(table.value[tested]), np.sign(expected), 0)
    return gold_accuracy(member[tested], passed, count)


def _fast(table: JudgmentTable, said: Mask, member: Integers, count: int) -> list[Interval]:
    """Share of judgments faster than reading by annotator."""
    of = table.facts(table.rows["comparison"][said])
    shorter = np.minimum(of["a_words"], of["b_words"]).astype(np.float64)
    return fast_share(member[said], _seconds(table.rows)[said], shorter, count)


def _retests(table: JudgmentTable, said: Mask, member: Integers) -> Retests:
    """Each standing retest beside the standing vote it repeats."""
    rows, strict = table.rows, table.stands & (table.rows["answer"] <= codes.TIE)

    def of(at: int) -> tuple[int, int]:
        return int(rows["comparison"][at]), int(member[at])

    again = np.flatnonzero(strict & (rows["kind"] == codes.RETEST)).tolist()
    votes = {of(i): i for i in np.flatnonzero(said & strict).tolist()} if again else {}
    found = [(votes[of(i)], i) for i in again if of(i) in votes]
    first, second = np.array(found, dtype=np.int64).reshape(-1, 2).T
    return Retests(member[second], table.value[first], table.value[second], rows["side"][first])
