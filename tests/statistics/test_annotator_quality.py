"""How annotators judge: each figure by hand, against SciPy, or on annotators of known habits."""

from dataclasses import replace
from itertools import groupby, product

import numpy as np
import pytest
from scipy.stats import binomtest

from plaudit.statistics.annotator_quality import (
    Retests,
    below_floor,
    consistency,
    fast_share,
    gold_accuracy,
    gold_passed,
    left_bias,
    longest_runs,
    prefers_longer,
    run_chance,
)
from plaudit.statistics.bradley_terry import sigmoid
from plaudit.statistics.intervals import wilson
from plaudit.statistics.votes import Votes
from tests.statistics.test_agreement import some_votes, swapped


def habits(count=400, seed=0):
    """Annotator 0 is fair, 1 likes the left, 2 likes the longer one, 3 has not voted."""
    rng = np.random.default_rng(seed)
    annotator = np.repeat([0, 1, 2], count)
    side = rng.choice([-1, 1], 3 * count)
    log_length = rng.normal(size=3 * count)
    margin = np.where(annotator == 1, 1.5 * side, np.where(annotator == 2, 2 * log_length, 0.0))
    value = np.where(rng.random(3 * count) < sigmoid(margin), 1, -1)
    items = np.arange(3 * count)
    return Votes(items, annotator, value, side, items, 4, log_length)


def test_gold_needs_the_sign_and_the_tolerance_and_flags_on_the_upper_bound():
    value, expected = np.array([3, 1, -1, 0, 2]), np.array([2, 3, 1, 0, 0])
    assert gold_passed(value, expected, 1).tolist() == [True, False, False, True, False]
    found = gold_accuracy(np.array([0, 0, 2]), np.array([True, False, False]), 3)
    assert found[0] == wilson(1, 2)
    assert np.isnan(found[1].value)
    assert [below_floor(interval, 0.5) for interval in found] == [False, False, False]
    assert below_floor(wilson(2, 20), 0.5)


def test_left_bias_is_exact_and_finds_who_likes_the_left():
    votes = habits()
    found = left_bias(votes)
    chosen = int(((votes.value * votes.side > 0) & (votes.annotator == 1)).sum())
    exact = binomtest(chosen, 400).proportion_ci(0.95, "exact")
    assert found[1][:3] == pytest.approx((chosen / 400 - 0.5, exact.low - 0.5, exact.high - 0.5))
    assert found[0].low < 0 < found[0].high
    assert found[1].low > 0.2
    assert np.isnan(found[3].value)


def test_the_share_for_the_longer_response_is_counted_by_hand():
    votes = habits()
    found = prefers_longer(votes)
    mine = votes.annotator == 2
    chosen = int(((votes.value > 0) == (votes.log_length > 0))[mine].sum())
    assert found[2] == wilson(chosen, 400)
    assert found[2].low > 0.6
    assert found[0].low < 0.5 < found[0].high
    assert np.isnan(found[3].value)
    flat = replace(votes, log_length=np.zeros(len(votes.log_length)))
    assert prefers_longer(flat)[2].n == 0
    with pytest.raises(ValueError, match=r"needs votes\.log_length"):
        prefers_longer(replace(votes, log_length=None))


def test_retests_by_hand():
    # annotator 0: the same response twice, then another one twice
    retests = Retests(
        annotator=np.array([0, 0, 0, 1]),
        first=np.array([2, 1, 1, 0]),
        second=np.array([1, -1, -2, 0]),
        first_side=np.array([1, 1, -1, 1]),
    )
    assert consistency(retests, 3)[0] == wilson(1, 3)
    assert consistency(retests, 3)[1].value == 1


@pytest.mark.parametrize("length", [1, 2, 3, 5, 9, 10])
def test_the_chance_of_a_run_is_the_count_over_all_sequences(length):
    longest = [
        max(len(list(run)) for _, run in groupby(coins)) for coins in product("lr", repeat=9)
    ]
    assert run_chance(length, 9) == pytest.approx(np.mean([run >= length for run in longest]))


def test_runs_are_found_in_order_of_time():
    votes = habits(200)
    monotonous = (votes.annotator == 0) & (votes.item < 20)
    stuck = replace(votes, value=np.where(monotonous, votes.side, votes.value))
    before, after = longest_runs(votes)[0], longest_runs(stuck)[0]
    assert before.chance > 0.001 > after.chance
    assert after.length >= 20
    assert after.n == 200
    assert longest_runs(votes)[3] == (0, 0, 1.0)


def test_swapping_a_and_b_changes_no_fact():
    votes = replace(some_votes(), side=np.ones(150, dtype=int))
    other = swapped(votes, np.arange(votes.items) % 2 == 0)
    assert left_bias(votes) == left_bias(other)
    assert longest_runs(votes) == longest_runs(other)
    assert prefers_longer(votes) == prefers_longer(other)


def test_the_share_of_votes_faster_than_reading_is_counted_by_hand():
    annotator = np.array([0, 0, 0, 1, 1, 1])
    seconds = np.array([2.0, 3.0, 60.0, 20.0, 30.0, np.nan])  # 50 words take ten
    found = fast_share(annotator, seconds, np.full(6, 50.0), 3)
    assert found[:2] == [wilson(2, 3), wilson(0, 2)]
    assert found[2].n == 0
