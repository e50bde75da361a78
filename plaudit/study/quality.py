"""How far the judgments can be trusted: what the owner's pages show.

`assess` turns Ballots into numbers; `Watch` does so in a thread, every few seconds while there is
something new, so that a page costs the same with a hundred judgments or a million.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from plaudit.config import StudySettings
from plaudit.statistics.aggregation import probabilities
from plaudit.statistics.agreement import Agreement, agreement
from plaudit.statistics.annotator_quality import (
    Retests,
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
from plaudit.study import schema as s
from plaudit.study.consensus import (
    BOTH_BAD,
    RESOLUTION,
    RETEST,
    SKIP,
    TIE,
    VOTE,
    Ballots,
)
from plaudit.study.database import Database
from plaudit.study.study import settings_of

__all__ = ["AnnotatorFacts", "Overview", "Watch", "assess"]

SAMPLE = 20_000  # comparisons that agreement is computed on, the newest
MODEL_SAMPLE = 5_000  # those that the annotator model is fitted on, in about a second
QUEUE = 200
UNLIKELY = 0.001
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AnnotatorFacts:
    """One annotator's conduct; intervals are NaN where nothing is known."""

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
    complete: int = 0  # comparisons with all the opinions asked for
    asked: int = 0  # opinions still asked for
    answers: Mapping[str, int] = field(default_factory=dict)
    last_hour: int = 0
    last_day: int = 0
    by_day: Sequence[tuple[str, int]] = ()
    retests: int = 0
    gold: int = 0
    agreement: Agreement | None = None
    annotators: Sequence[AnnotatorFacts] = ()
    queue: Sequence[int] = ()  # comparisons on which people disagree, nobody having resolved them
    disagreements: int = 0
    resolved: int = 0
    alarms: Sequence[str] = ()
    sampled: bool = False


def assess(
    ballots: Ballots, counts: Mapping[str, int], settings: StudySettings, now: float
) -> Overview:
    """Everything the owner's pages show."""
    stands = ballots.stands
    gold = ballots.gold
    vote = stands & (ballots.kind == VOTE)
    counted = vote & ~gold
    judged = np.unique(ballots.comparison[counted & (ballots.answer != SKIP)])
    sample, model_sample = (
        counted & np.isin(ballots.comparison, judged[-size:]) for size in (SAMPLE, MODEL_SAMPLE)
    )
    queue, disagreements = _queue(ballots, counted, stands)
    annotators = _annotators(ballots, vote, model_sample, gold, settings)
    recent = ballots.created_at[vote]
    on_left = counted & (ballots.value * ballots.side > 0)
    on_right = counted & (ballots.value * ballots.side < 0)
    answers = {"left": on_left, "right": on_right} | {
        name: counted & (ballots.answer == code)
        for name, code in (("tie", TIE), ("both_bad", BOTH_BAD), ("skip", SKIP))
    }
    return Overview(
        at=now,
        comparisons=counts["comparisons"],
        judged=len(judged),
        complete=counts["complete"],
        asked=counts["asked"],
        answers={name: int(mask.sum()) for name, mask in answers.items()},
        last_hour=int((recent > now - 3600).sum()),
        last_day=int((recent > now - 86400).sum()),
        by_day=_by_day(recent, now),
        retests=int((stands & (ballots.kind == RETEST)).sum()),
        gold=counts["gold"],
        agreement=_agreement(ballots, sample),
        annotators=annotators,
        queue=queue,
        disagreements=disagreements,
        resolved=len(np.unique(ballots.comparison[stands & (ballots.kind == RESOLUTION)])),
        alarms=_alarms(annotators, recent, now),
        sampled=len(judged) > SAMPLE,
    )


def _agreement(ballots: Ballots, sample: Mask) -> Agreement | None:
    votes, _, _ = ballots.votes(sample)
    several = votes.counts().sum(axis=1) >= 2
    return agreement(votes) if several.any() else None


def _queue(ballots: Ballots, counted: Mask, stands: Mask) -> tuple[list[int], int]:
    """Comparisons with votes for both sides and no resolution, the most divided first."""
    strict = counted & (ballots.answer < TIE)
    comparisons, at = np.unique(ballots.comparison[strict], return_inverse=True)
    a = np.bincount(at, ballots.answer[strict] == 0, len(comparisons))
    total = np.bincount(at, minlength=len(comparisons))
    divided = (a > 0) & (a < total)
    resolved = np.unique(ballots.comparison[stands & (ballots.kind == RESOLUTION)])
    divided &= ~np.isin(comparisons, resolved)
    doubt = np.abs(a / np.maximum(total, 1) - 0.5)
    order = np.lexsort((comparisons, -total, doubt))
    order = order[divided[order]]
    return comparisons[order[:QUEUE]].tolist(), int(divided.sum())


def _annotators(
    ballots: Ballots, vote: Mask, sample: Mask, gold: Mask, settings: StudySettings
) -> list[AnnotatorFacts]:
    """Facts of everyone who has voted, the busiest first."""
    people, member = np.unique(ballots.annotator, return_inverse=True)
    count = len(people)
    if not count:
        return []
    said = vote & (ballots.answer <= BOTH_BAD)
    n = np.bincount(member[said], minlength=count)
    skips = np.bincount(member[vote & (ballots.answer == SKIP)], minlength=count)
    ties = np.bincount(member[said & (ballots.answer == TIE)], minlength=count)
    everyone, items, voters = ballots.votes(said & ~gold)
    at = np.searchsorted(people, voters)
    bias = dict(zip(at.tolist(), left_bias(everyone), strict=True)) if len(items) else {}
    runs = dict(zip(at.tolist(), longest_runs(everyone), strict=True)) if len(items) else {}
    lengths = (
        dict(zip(at.tolist(), length_bias(everyone).coefficient, strict=True)) if len(items) else {}
    )
    tested = said & ballots.tests & (ballots.answer <= TIE)
    expected = ballots.expected(ballots.comparison[tested])
    passed = gold_passed(np.sign(ballots.value[tested]), np.sign(expected), 0)
    accuracy = gold_accuracy(member[tested], passed, count)
    steady = consistency(_retests(ballots, said, member), count)
    fast = too_fast(
        member[said],
        ballots.active_seconds[said],
        ballots.shorter_words(ballots.comparison[said]),
        count,
    )
    reliability = _reliability(ballots, sample, people)
    active = ballots.active_seconds
    facts = []
    for k in np.argsort(-n, kind="stable").tolist():
        if not n[k] and not skips[k]:
            continue
        seconds = active[said & (member == k)]
        facts.append(
            AnnotatorFacts(
                id=int(people[k]),
                votes=int(n[k]),
                seconds=float(np.nanmedian(seconds)) if np.isfinite(seconds).any() else np.nan,
                reliability=reliability.get(int(people[k]), np.nan),
                gold=accuracy[k],
                consistency=steady[k],
                left_bias=bias.get(k, UNKNOWN),
                length_bias=float(lengths.get(k, np.nan)),
                ties=float(ties[k] / n[k]) if n[k] else np.nan,
                skips=int(skips[k]),
                flags=_flags(accuracy[k], bias.get(k), runs.get(k), bool(fast[k]), settings),
            )
        )
    return facts


UNKNOWN = Interval(float("nan"), float("nan"), float("nan"), 0, 0)


def _flags(
    gold: Interval, bias: Interval | None, run: Any, fast: bool, settings: StudySettings
) -> tuple[str, ...]:
    """Only what chance does not explain."""
    flags = []
    if gold.n and below_floor(gold, settings.gold_floor):
        flags.append(f"gold surely below {settings.gold_floor:.0%}")
    if bias is not None and bias.n >= 20 and (bias.low > 0.05 or bias.high < -0.05):
        flags.append(f"prefers the {'left' if bias.value > 0 else 'right'} side")
    if run is not None and run.n and run.chance < UNLIKELY:
        flags.append(f"one side {run.length} times running")
    if fast:
        flags.append("faster than reading")
    return tuple(flags)


def _retests(ballots: Ballots, said: Mask, member: NDArray[Any]) -> Retests:
    """Each standing retest beside the standing vote it repeats."""
    stands = ballots.stands & (ballots.answer <= TIE)
    again = np.flatnonzero(stands & (ballots.kind == RETEST))
    voted = np.flatnonzero(said & (ballots.answer <= TIE))
    votes = (
        {(int(ballots.comparison[i]), int(member[i])): i for i in voted.tolist()}
        if len(again)
        else {}
    )
    found = [
        (i, votes[key])
        for i in again.tolist()
        if (key := (int(ballots.comparison[i]), int(member[i]))) in votes
    ]
    second = np.array([i for i, _ in found], dtype=np.int64)
    first = np.array([i for _, i in found], dtype=np.int64)
    return Retests(member[second], ballots.value[first], ballots.value[second], ballots.side[first])


def _reliability(ballots: Ballots, sample: Mask, people: NDArray[Any]) -> dict[int, float]:
    """Reliability by annotator, from the annotator model, where anyone overlaps."""
    votes, _, voters = ballots.votes(sample)
    if not (votes.counts().sum(axis=1) >= 2).any():
        return {}
    found = probabilities(votes)
    return dict(zip(voters.tolist(), found.reliability.tolist(), strict=True))


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


def counts_of(db: Connection) -> dict[str, int]:
    """Counts over all comparisons, from the indexes."""
    c = s.comparison
    total = db.scalar(select(func.count()).select_from(c)) or 0
    gold = db.scalar(select(func.count()).select_from(c).where(s.IS_GOLD)) or 0
    still = select(func.count(), func.coalesce(func.sum(c.c.slots), 0)).select_from(c).where(s.OPEN)
    unfinished, asked = db.execute(still).one()
    a = s.assignment
    held = (
        select(func.count(), func.count(c.c.id.distinct()).filter(c.c.slots <= 0))
        .select_from(a)
        .join(c, c.c.id == a.c.comparison)
        .where(s.LEASED, a.c.kind == "vote", c.c.gold.is_(None))
    )
    leases, last_slot_held = db.execute(held).one()
    return {
        "comparisons": total,
        "gold": gold,
        "asked": int(asked) + leases,
        "complete": total - gold - unfinished - last_slot_held,
    }


class Watch:
    """Keeps an Overview at most half a minute old, computed in a thread."""

    def __init__(self, database: Database, every: float = 15.0) -> None:
        self._database = database
        self._every = every
        self._ballots = Ballots()
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
                new = self._ballots.refresh(db)
                found = counts_of(db), settings_of(db)
            now = time.time()
            # The last hour and day move by themselves: after five minutes all is counted again.
            if new or found != self._found or now - self._assessed > 300:
                self.overview = assess(self._ballots, *found, now)
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
