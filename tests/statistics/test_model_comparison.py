"""Win rates and scores of models: by hand, against a fit without a prior, and their coverage."""

import numpy as np
import pytest

from plaudit.statistics.bradley_terry import sigmoid
from plaudit.statistics.intervals import clustered_share, wilson
from plaudit.statistics.model_comparison import Games, standings

RNG = np.random.default_rng(0)


def games(a, b, p, group=None, log_length=None):
    number = np.arange(len(p))
    group = number if group is None else np.asarray(group)
    length = np.zeros(len(p)) if log_length is None else np.asarray(log_length, dtype=float)
    return Games(number, np.asarray(a), np.asarray(b), np.asarray(p, dtype=float), group, length)


def test_two_models_by_hand():
    p = [1.0] * 35 + [0.0] * 21 + [0.5] * 8 + [np.nan] * 3
    first, second = standings(games([0] * 67, [1] * 67, p), 2)
    assert (first.wins, first.losses, first.ties, first.both_bad) == (35, 21, 8, 3)
    assert (second.wins, second.losses, second.judgments) == (21, 35, 67)
    assert first.win_rate.value == pytest.approx(39 / 64)
    assert second.win_rate.value == pytest.approx(25 / 64)
    assert first.win_rate.low == pytest.approx(1 - second.win_rate.high)
    # The prior of 3 in log odds hardly moves it from log(39 / 25).
    assert first.score.value - second.score.value == pytest.approx(np.log(39 / 25), rel=0.02)
    assert first.score.value == pytest.approx(-second.score.value)


def test_which_response_is_called_a_changes_nothing():
    a, b = RNG.integers(0, 3, 200), RNG.integers(0, 2, 200)
    b += b >= a
    p, length, group = RNG.choice([0, 0.5, 1], 200), RNG.normal(size=200), RNG.integers(0, 50, 200)
    turned = RNG.random(200) < 0.5
    one = standings(games(a, b, p, group, length), 3)
    other = standings(
        games(
            np.where(turned, b, a),
            np.where(turned, a, b),
            np.where(turned, 1 - p, p),
            group,
            np.where(turned, -length, length),
        ),
        3,
    )
    for mine, theirs in zip(one, other, strict=True):
        for name in ("win_rate", "score", "adjusted"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), abs=1e-6)


def test_a_model_that_only_wins_is_not_certain():
    first, _ = standings(games([0] * 3, [1] * 3, [1.0] * 3), 2)
    assert first.win_rate.value == 1
    assert first.win_rate.low < 0.5
    assert np.isfinite(first.score.value)
    assert first.score.low < 0 < first.score.high
    alone, _ = standings(games([0] * 9, [1] * 9, [1.0] * 9, group=[0] * 9), 2)
    assert alone.win_rate.low < 0.1  # nine judgments of one prompt are one prompt


def test_a_text_of_two_models_counts_for_both():
    found = standings(
        Games(
            np.array([0, 0]), np.array([0, 1]), np.array([2, 2]), np.ones(1), np.zeros(1, int),
            np.zeros(1),
        ),
        3,
    )  # fmt: skip
    assert [one.wins for one in found] == [1, 1, 0]
    assert found[2].losses == found[2].judgments == 1


def test_models_that_nothing_links_are_told_apart():
    found = standings(games([0, 0, 2], [1, 1, 3], [1, 0, 1]), 5)
    assert found[0].component == found[1].component != found[2].component == found[3].component
    assert found[4].judgments == 0
    assert np.isnan(found[4].score.value)


def test_length_is_taken_out():
    """Judges who look at length alone: the longer model wins, and no more at equal length."""
    length = RNG.normal(1.0, 1.0, 3000)
    p = (RNG.random(3000) < sigmoid(1.5 * length)).astype(float)
    first, second = standings(games([0] * 3000, [1] * 3000, p, log_length=length), 2)
    assert first.score.low > second.score.high
    assert first.adjusted.low < 0 < first.adjusted.high


def test_intervals_cover_the_truth_when_votes_of_a_prompt_hang_together():
    covered = np.zeros(3)
    truth = 0.5
    runs = 300
    for _ in range(runs):
        prompts = RNG.normal(0, 1.5, 40)
        p = (RNG.random(160) < sigmoid(np.repeat(prompts, 4))).astype(float)
        found = standings(games([0] * 160, [1] * 160, p, np.repeat(np.arange(40), 4)), 2)[0]
        naive = wilson(float(p.sum()), 160)
        covered += [
            found.win_rate.low <= truth <= found.win_rate.high,
            found.score.low <= 0 <= found.score.high,
            naive.low <= truth <= naive.high,
        ]
    assert (covered[:2] / runs > 0.92).all()
    assert covered[2] / runs < 0.9  # what it would be without the clusters


def test_a_share_of_independent_votes_has_wilsons_interval():
    values = np.array([1.0] * 60 + [0.0] * 40)
    found, known = clustered_share(values, np.arange(100)), wilson(60, 100)
    assert found[:3] == pytest.approx(known[:3], abs=0.005)
    assert clustered_share(np.array([]), np.array([])).n == 0
