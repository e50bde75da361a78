"""How each annotator judges: gold, sides, length, consistency, speed. Facts, not a model.

Every flag asks for evidence beyond chance (an interval, or p < 0.001), never for a point
estimate alone. K annotators, V votes, one entry an annotator in each result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.statistics.bradley_terry import sigmoid
from plaudit.statistics.intervals import Interval, clopper_pearson, wilson
from plaudit.statistics.votes import Votes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
WORDS_PER_MINUTE = 300  # the fast end of silent reading of non-fiction (Brysbaert 2019)


def gold_passed(value: Integers, expected: Integers, tolerance: NDArray[Any] | int) -> Flags:
    """[V] whether a vote on gold has the expected sign and lies within the tolerance."""
    result: Flags = (np.sign(value) == np.sign(expected)) & (np.abs(value - expected) <= tolerance)
    return result


def gold_accuracy(annotator: Integers, passed: Flags, annotators: int) -> list[Interval]:
    """[K] share of gold passed, with Wilson's interval; NaN for who saw none."""
    return _shares(annotator, passed, annotators)


def below_floor(interval: Interval, floor: float) -> bool:
    """True if even the upper bound falls short of the floor; False where nothing is known."""
    return interval.high < floor


def left_bias(votes: Votes) -> list[Interval]:
    """[K] P(left chosen | not a tie) − ½ with the exact binomial interval.

    Valid because the server draws the side; votes of unknown side are left out.
    """
    sided = (votes.value != 0) & (votes.side != 0)
    left = votes.value[sided] * votes.side[sided] > 0
    n = np.bincount(votes.annotator[sided], minlength=votes.annotators)
    chosen = np.bincount(votes.annotator[sided], left, votes.annotators).astype(np.int64)
    shares = (clopper_pearson(int(x), int(m)) for x, m in zip(chosen, n, strict=True))
    return [Interval(s.value - 0.5, s.low - 0.5, s.high - 0.5, s.n, s.groups) for s in shares]


class LengthBias(NamedTuple):
    """Log odds of choosing a per unit of log(length a / length b): [K], their posterior standard
    deviations [K], and the pool's own coefficient, which may be taste or a true quality."""

    coefficient: Floats
    std: Floats
    pool: float


def length_bias(votes: Votes, prior_std: float = 0.5) -> LengthBias:
    """Logistic regression of each annotator's strict votes on the log length ratio.

    P(a chosen) = σ(l_k x), l_k ~ N(pool, prior_std²), so that whoever judged little stands where
    the pool stands. Raises ValueError where lengths are not known.
    """
    if votes.log_length is None:
        raise ValueError("length bias needs votes.log_length")
    strict = votes.value != 0
    x, chosen = votes.log_length[votes.item[strict]], votes.value[strict] > 0
    nobody = np.zeros(len(x), dtype=np.int64)
    pool, _ = _slopes(x, chosen, nobody, 1, 0.0, prior_std)
    coefficient, std = _slopes(
        x, chosen, votes.annotator[strict], votes.annotators, float(pool[0]), prior_std
    )
    return LengthBias(coefficient, std, float(pool[0]))


def _slopes(
    x: Floats, y: Flags, member: Integers, count: int, center: float, prior_std: float
) -> tuple[Floats, Floats]:
    """One slope a member, logistic, with a ridge to `center`; Newton on all at once."""
    ridge = prior_std**-2
    slope = np.full(count, center)
    variance = np.full(count, prior_std**2)
    for _ in range(50):
        p = sigmoid(slope[member] * x)
        gradient = np.bincount(member, (p - y) * x, count) + ridge * (slope - center)
        variance = 1 / (np.bincount(member, p * (1 - p) * x * x, count) + ridge)
        step = np.clip(gradient * variance, -1, 1)  # a full step may overshoot where σ is flat
        slope = slope - step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return slope, np.sqrt(variance)


@dataclass(frozen=True)
class Retests:
    """M pairs of judgments of one comparison by one annotator, sides swapped in between.

    annotator: [M]. first, second: [M] canonical values −3 … 3. first_side: [M] +1 if response a was
    on the left the first time, −1 if on the right; the other way round the second time.
    """

    annotator: Integers
    first: Integers
    second: Integers
    first_side: NDArray[Any]


def consistency(retests: Retests, annotators: int) -> list[Interval]:
    """[K] share of retests with the same canonical outcome, with Wilson's interval."""
    same = np.sign(retests.first) == np.sign(retests.second)
    return _shares(retests.annotator, same, annotators)


class Run(NamedTuple):
    """The longest run of one side among `n` votes for a side, and its chance under fair coins."""

    length: int
    n: int
    chance: float


def longest_runs(votes: Votes) -> list[Run]:
    """[K] longest run of one side, of votes in order of time; ties and unknown sides are skipped.

    The server draws sides, so whatever the responses are, an honest annotator's sides are fair
    coins. Flag chance < 0.001.
    """
    sided = np.flatnonzero((votes.value != 0) & (votes.side != 0))
    order = sided[np.argsort(votes.annotator[sided], kind="stable")]
    left = votes.value[order] * votes.side[order] > 0
    ends = np.cumsum(np.bincount(votes.annotator[order], minlength=votes.annotators))
    return [_longest(part) for part in np.split(left, ends[:-1])]


def _longest(left: Flags) -> Run:
    edges = np.flatnonzero(np.diff(left)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [len(left)]]))
    longest = int(lengths.max())
    return Run(longest, len(left), run_chance(longest, len(left)))


def run_chance(length: int, n: int) -> float:
    """P(some run of `length` or more, of either side, in n fair coins).

    Each coin but the first repeats the one before with chance ½; m = length − 1 repeats in a row
    make the run. With F(i) = P(no such streak in i): F(i) = F(i−1) − 2^−(m+1) F(i−m−1), Feller
    (1968) XIII.7.

    >>> run_chance(3, 3), run_chance(1, 5)
    (0.25, 1.0)
    """
    repeats, coins = length - 1, n - 1
    if repeats <= 0 or coins < repeats:
        return float(length <= n)
    without = [1.0] * repeats + [1.0 - 0.5**repeats]
    for i in range(repeats + 1, coins + 1):
        without.append(without[i - 1] - 0.5 ** (repeats + 1) * without[i - repeats - 1])
    return 1.0 - without[coins]


def too_fast(
    annotator: Integers,
    active_seconds: Floats,
    shorter_words: Floats,
    annotators: int,
    words_per_minute: float = WORDS_PER_MINUTE,
) -> Flags:
    """[K] whether half the votes took less than reading the shorter response once takes.

    active_seconds, shorter_words: [V]; votes whose time is unknown (NaN) are left out.
    """
    ratio = active_seconds / (np.maximum(shorter_words, 1) * 60 / words_per_minute)
    known = np.isfinite(ratio)
    order = np.argsort(annotator[known], kind="stable")
    ends = np.cumsum(np.bincount(annotator[known], minlength=annotators))
    parts = np.split(ratio[known][order], ends[:-1])
    return np.array([len(part) > 0 and float(np.median(part)) < 1 for part in parts])


def _shares(annotator: Integers, success: Flags, annotators: int) -> list[Interval]:
    n = np.bincount(annotator, minlength=annotators)
    successes = np.bincount(annotator, success, annotators)
    return [wilson(float(x), int(m)) for x, m in zip(successes, n, strict=True)]
