"""How each annotator judges: gold, sides, length, consistency, speed. Facts, not a model.

Every flag asks for evidence beyond chance (an interval, or p < 0.001), never for a point
estimate alone. K annotators, V votes, one entry an annotator in each result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

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


def prefers_longer(votes: Votes) -> list[Interval]:
    """[K] share of strict votes for the longer response, with Wilson's interval; equal lengths are
    left out. It may be a habit, a taste, or a true quality of the responses.

    Raises ValueError where lengths are not known.
    """
    if votes.log_length is None:
        raise ValueError("prefers_longer needs votes.log_length")
    difference = votes.log_length[votes.item]
    unequal = (votes.value != 0) & (difference != 0)
    longer = (votes.value > 0) == (difference > 0)
    return _shares(votes.annotator[unequal], longer[unequal], votes.annotators)


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


def fast_share(
    annotator: Integers,
    active_seconds: Floats,
    shorter_words: Floats,
    annotators: int,
    words_per_minute: float = WORDS_PER_MINUTE,
) -> list[Interval]:
    """[K] share of votes that took less than reading the shorter response once takes, with
    Wilson's interval.

    active_seconds, shorter_words: [V]; votes whose time is unknown (NaN) are left out.
    """
    known = np.isfinite(active_seconds)
    needed = np.maximum(shorter_words, 1) * 60 / words_per_minute
    return _shares(annotator[known], (active_seconds < needed)[known], annotators)


def _shares(annotator: Integers, success: Flags, annotators: int) -> list[Interval]:
    n = np.bincount(annotator, minlength=annotators)
    successes = np.bincount(annotator, success, annotators)
    return [wilson(float(x), int(m)) for x, m in zip(successes, n, strict=True)]
