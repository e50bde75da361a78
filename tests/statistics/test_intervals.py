import numpy as np
import pytest

from plaudit.statistics.agreement import majority_agreement, pairwise_agreement
from plaudit.statistics.bradley_terry import sigmoid
from plaudit.statistics.calibration import (
    calibration_error,
    expected_error,
    reliability,
    temperature,
)
from plaudit.statistics.intervals import (
    clopper_pearson,
    cluster_bootstrap,
    smallest_difference,
    wilson,
)


def test_the_bootstrap_by_group_is_wider_than_by_row():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 20)
    values = (rng.random(50) < 0.6).astype(float)[groups]
    clustered, alone = cluster_bootstrap(values, groups), cluster_bootstrap(values, np.arange(1000))
    assert clustered.value == alone.value == pytest.approx(values.mean())
    assert clustered.high - clustered.low > 3 * (alone.high - alone.low)
    assert (clustered.n, clustered.groups) == (1000, 50)


def test_one_row_a_group_is_near_the_binomial():
    values = np.repeat([1.0, 0.0], [140, 60])
    mine, exact = cluster_bootstrap(values, np.arange(200)), wilson(140, 200)
    assert mine.low == pytest.approx(exact.low, abs=0.015)
    assert smallest_difference(mine) == pytest.approx(2.8 * np.sqrt(0.7 * 0.3 / 200), rel=0.1)


def test_many_groups_pooled_in_blocks_keep_their_interval():
    values = np.random.default_rng(0).normal(size=9000)
    found = cluster_bootstrap(values, np.arange(9000))
    assert found.groups == 9000
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(9000), rel=0.1)


def test_the_exact_binomial_interval():
    # Clopper & Pearson's interval solves the two binomial tails at 2.5 %
    assert clopper_pearson(8, 10)[:3] == pytest.approx((0.8, 0.4439, 0.9748), abs=1e-4)
    assert clopper_pearson(0, 5)[:3] == pytest.approx((0, 0, 0.5218), abs=1e-4)
    assert clopper_pearson(5, 5)[:3] == pytest.approx((1, 0.4782, 1), abs=1e-4)


def test_nothing_gives_nan():
    assert np.isnan(cluster_bootstrap(np.empty(0), np.empty(0)).value)
    assert np.isnan(wilson(0, 0).value)
    assert np.isnan(clopper_pearson(0, 0).value)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_temperature_is_found(true):
    rng = np.random.default_rng(0)
    margin = rng.normal(size=20_000) * 2
    p = (rng.random(20_000) < sigmoid(margin)).astype(float)
    assert temperature(margin * true, p, np.ones(20_000)) == pytest.approx(true, rel=0.08)


def test_a_calibrated_model_has_the_expected_error():
    rng = np.random.default_rng(1)
    margin = rng.normal(size=2000)
    p = (rng.random(2000) < sigmoid(margin)).astype(float)
    error, bias = calibration_error(reliability(margin, p)), expected_error(margin)
    assert error < 2.5 * bias
    assert calibration_error(reliability(margin * 6, p)) > 4 * bias


def test_agreement_by_hand():
    votes = np.array([[2.0, 1.0, 0.0], [3.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert pairwise_agreement(votes) == pytest.approx((1 / 3 + 1) / 2)
    # pair 1: each a-vote meets 1 against 1 (half), the b-vote loses; pair 2: all right
    assert majority_agreement(votes) == pytest.approx((2 * 0.5 + 0 + 3) / 6)
