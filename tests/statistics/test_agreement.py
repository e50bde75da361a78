"""Agreement: Krippendorff's published example, hand-worked cases, and what may not matter."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.statistics.agreement import (
    DISTANCES,
    agreement,
    alpha,
    coincidences,
    krippendorff_alpha,
    leave_one_out,
    majority_agreement,
    pairwise_agreement,
)
from plaudit.statistics.votes import Votes

# Krippendorff (2011), section C: four observers, twelve units, 0 where nothing was said
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)


def some_votes(seed=0, items=40, annotators=6, count=150):
    rng = np.random.default_rng(seed)
    return Votes(
        item=rng.integers(0, items, count),
        annotator=rng.integers(0, annotators, count),
        value=np.clip(rng.integers(-2, 3, count) + (rng.random(count) < 0.4), -3, 3),
        side=rng.choice([-1, 1], count),
        group=np.arange(items) // 3,
        annotators=annotators,
        log_length=rng.normal(size=items),
        responses=np.arange(2 * items).reshape(items, 2),
    )


def swapped(votes, items):
    """The same votes with responses a and b exchanged in the items of a mask."""
    sign = np.where(items, -1, 1)
    return replace(
        votes,
        value=votes.value * sign[votes.item],
        side=votes.side * sign[votes.item],
        log_length=None if votes.log_length is None else votes.log_length * sign,
        responses=None
        if votes.responses is None
        else np.where(items[:, None], votes.responses[:, ::-1], votes.responses),
    )


@pytest.mark.parametrize(
    ("distance", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_the_published_one(distance, published):
    counts = np.stack([(value == PUBLISHED).sum(axis=0) for value in range(1, 6)], axis=1)
    o = coincidences(counts.astype(float))
    assert o.sum() == 40  # the last unit has one observer
    assert krippendorff_alpha(o, np.arange(1.0, 6), distance) == pytest.approx(
        published, abs=0.0005
    )


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_swapping_a_and_b_changes_no_statistic(seed):
    votes = some_votes(seed)
    other = swapped(votes, np.random.default_rng(seed).random(votes.items) < 0.5)
    for before, after in zip(agreement(votes)[:-1], agreement(other)[:-1], strict=True):
        assert before == pytest.approx(after, abs=1e-12)


def test_alpha_is_one_for_equal_votes_and_near_zero_for_chance():
    rng = np.random.default_rng(0)
    item = np.repeat(np.arange(2000), 2)
    value = rng.choice([-1, 0, 1], 2000)[item]
    alike = Votes(item, item % 7, value, np.ones(4000), np.arange(2000), 7)
    chance = replace(alike, value=rng.choice([-1, 0, 1], 4000))
    for distance in DISTANCES:
        assert alpha(alike, distance, samples=50).value == 1
        found = alpha(chance, distance)
        assert found.low < 0 < found.high
        assert found.n == found.groups == 2000


def test_the_interval_is_by_group_and_counts_its_items():
    votes = some_votes(items=60, count=400)
    wide = alpha(replace(votes, group=np.arange(60) // 20))
    narrow = alpha(replace(votes, group=np.arange(60)))
    assert wide.value == pytest.approx(narrow.value)
    assert (wide.groups, narrow.groups) == (3, narrow.n)
    assert wide.low <= wide.value <= wide.high


def test_the_figures_of_votes_are_those_of_counts():
    votes = some_votes()
    found, counts = agreement(votes), votes.counts()
    assert found.three_class.value == pytest.approx(pairwise_agreement(counts))
    assert found.two_class.value == pytest.approx(pairwise_agreement(counts[:, :2]))
    assert found.leave_one_out.value == pytest.approx(majority_agreement(counts))
    assert found.votes == len(votes)


def test_leave_one_out_by_hand():
    value = np.array([2, 1, -1, 0, 1])
    votes = Votes(
        np.array([0, 0, 0, 0, 1]), np.arange(5), value, np.zeros(5), np.zeros(2), annotators=5
    )
    # a meets a, b, tie: even; b meets a, a; the tie sides with nobody; the last is alone
    assert leave_one_out(votes) == pytest.approx([0.5, 0.5, 0, np.nan, np.nan], nan_ok=True)


def test_no_overlap_gives_nan_and_errors_are_clear():
    one = Votes(np.array([0]), np.array([0]), np.array([1]), np.array([1]), np.array([0]), 1)
    assert np.isnan(agreement(one).alpha_ordinal.value)
    assert np.isnan(agreement(one).three_class.value)
    ties = replace(some_votes(), value=np.zeros(150, dtype=int))
    assert np.isnan(agreement(ties).alpha_ordinal.value)
    assert agreement(ties).three_class.value == 1
    with pytest.raises(ValueError, match="one of nominal, ordinal, interval, found 'ratio'"):
        alpha(some_votes(), "ratio")
    with pytest.raises(ValueError, match="item must lie in 0 to 0, found 3 to 3"):
        replace(one, item=np.array([3]))
    with pytest.raises(ValueError, match="value must lie in -3 to 3, found 4 to 4"):
        replace(one, value=np.array([4]))
    with pytest.raises(ValueError, match=r"log_length must have shape \(1,\), found \(2,\)"):
        replace(one, log_length=np.zeros(2))
