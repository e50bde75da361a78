"""How far the judgments can be trusted: what the owner's pages show.

`assess` turns a JudgmentTable into numbers; `OverviewUpdater` does so in a thread, every few
seconds while there is something new, so that a page costs the same with a hundred judgments or a
million.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from plaudit.config import StudySettings
from plaudit.statistics.aggregation import probabilities
from plaudit.statistics.agreement import Agreement, agreement
from plaudit.statistics.annotator_quality import (
    Retests,
    Run,
    below_floor,
    consistency,
    gold_accuracy,
    gold_passed,
    left_bias,
    length_bias,
    longest_runs,
    too_fast,
)
from plaudit.statistics.intervals import Interval
from plaudit.study import judgment_table as codes
from plaudit.study.database import Database
from plaudit.study.judgment_table import Integers, JudgmentTable, Mask
from plaudit.study.schema import progress
from plaudit.study.study import settings_of

SAMPLE = 20_000  # comparisons that agreement is computed on, the newest
MODEL_SAMPLE = 5_000  # those that the annotator model is fitted on, in about a second
QUEUE = 200
UNLIKELY = 0.001
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"), 0, 0)


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
    length_bias: float
    ties: float
    skips: int
    flags: tuple[str, ...]


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
    alarms: Sequence[str] = ()
    sampled: bool = False


def assess(
    table: JudgmentTable, counts: Mapping[str, int], settings: StudySettings, now: float
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
    annotators = _annotators(table, vote, model_sample, settings)
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
        alarms=_alarms(annotators, recent, now),
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


def _annotators(
    table: JudgmentTable, vote: Mask, sample: Mask, settings: StudySettings
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
    bias, runs, lengths = _habits(table, said)
    accuracy = _gold_accuracy(table, said, member, count)
    steady = consistency(_retests(table, said, member), count)
    seconds = np.where(rows["active_ms"] < 0, np.nan, rows["active_ms"] / 1000)
    facts_of = table.facts(rows["comparison"][said])
    shorter = np.minimum(facts_of["a_words"], facts_of["b_words"]).astype(np.float64)
    fast = too_fast(member[said], seconds[said], shorter, count)
    reliability = _reliability(table, sample)
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
                gold=accuracy[k],
                consistency=steady[k],
                left_bias=bias.get(key, UNKNOWN),
                length_bias=float(lengths.get(key, np.nan)),
                ties=float(ties[k] / n[k]) if n[k] else np.nan,
                skips=int(skips[k]),
                flags=_flags(accuracy[k], bias.get(key), runs.get(key), bool(fast[k]), settings),
            )
        )
    return facts


def _habits(
    table: JudgmentTable, said: Mask
) -> tuple[dict[int, Interval], dict[int, Run], dict[int, float]]:
    """Left bias, longest run of one side and length bias by annotator, gold apart."""
    votes, _, voters = table.votes(said & ~table.gold)
    if not len(votes):
        return {}, {}, {}
    found = left_bias(votes), longest_runs(votes), length_bias(votes).coefficient.tolist()
    bias, runs, lengths = (dict(zip(voters.tolist(), each, strict=True)) for each in found)
    return bias, runs, lengths


def _gold_accuracy(
    table: JudgmentTable, said: Mask, member: Integers, count: int
) -> list[Interval]:
    tested = said & table.tests & (table.rows["answer"] <= codes.TIE)
    expected = table.expected(table.rows["comparison"][tested])
    passed = gold_passed(np.sign(table.value[tested]), np.sign(expected), 0)
    return gold_accuracy(member[tested], passed, count)


def _flags(
    gold: Interval, bias: Interval | None, run: Run | None, fast: bool, settings: StudySettings
) -> tuple[str, ...]:
    """Only what chance does not explain."""
    flags = []
    if gold.n and below_floor(gold, settings.gold_floor):
        flags.append(f"gold accuracy below {settings.gold_floor:.0%}")
    if bias is not None and bias.n >= 20 and (bias.low > 0.05 or bias.high < -0.05):
        flags.append(f"prefers the {'left' if bias.value > 0 else 'right'} side")
    if run is not None and run.n and run.chance < UNLIKELY:
        flags.append(f"one side {run.length} times in a row")
    if fast:
        flags.append("faster than reading speed")
    return tuple(flags)


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


def _alarms(annotators: Sequence[AnnotatorFacts], created: NDArray[Any], now: float) -> list[str]:
    """What an owner should look at now."""
    alarms = []
    flagged = [facts for facts in annotators if facts.flags]
    if flagged:
        alarms.append(f"{len(flagged)} of {len(annotators)} annotators are flagged")
    day = int((created > now - 86400).sum())
    if day >= 20 and not (created > now - 3600).any():
        alarms.append(f"no judgment for an hour, {day} in the last day")
    return alarms


class OverviewUpdater:
    """Keeps an Overview at most half a minute old, computed in a thread."""

    def __init__(self, database: Database, every: float = 15.0) -> None:
        self._database = database
        self._every = every
        self._table = JudgmentTable()
        self._wake = threading.Condition()
        self._one = threading.Lock()  # a page may ask for new numbers while the thread counts
        self._stop = self._asked = False
        self._thread: threading.Thread | None = None
        self._found: Any = None  # counts and settings of the last assessment
        self._assessed = 0.0
        self.overview = Overview()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="overview", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._wake:
            self._stop = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def wake(self) -> None:
        """Have the thread compute it soon, after something that an owner waits to see."""
        with self._wake:
            self._asked = True
            self._wake.notify_all()

    def refresh(self) -> Overview:
        """Compute it now."""
        with self._one:
            with self._database.read() as db:
                new = self._table.refresh(db)
                counts = dict(db.execute(select(progress)).mappings().one())
                found = counts, settings_of(db)
            now = time.time()
            # The last hour and day move by themselves: after five minutes all is counted again.
            if new or found != self._found or now - self._assessed > 300:
                self.overview = assess(self._table, *found, now)
                self._found, self._assessed = found, now
            else:
                self.overview = replace(self.overview, at=now)
            return self.overview

    def _run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                self.refresh()
            except Exception as error:  # the page then says how old its numbers are
                print(f"plaudit: overview not refreshed: {error}")
            # Half the time at most goes into this, however large the study is.
            pause = max(self._every, time.monotonic() - started)
            with self._wake:
                self._wake.wait_for(lambda: self._stop or self._asked, timeout=pause)
                self._asked = False
                if self._stop:
                    return
