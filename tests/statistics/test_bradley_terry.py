"""The solver against SciPy, against itself, and against what must hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from plaudit.statistics.bradley_terry import basis, log_loss, prior_ridge, sigmoid, solve, sweep


def problem(n=120, d=15, seed=0, soft=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.exp(-np.arange(d) / 5)
    p = sigmoid(x @ rng.normal(size=d))
    p = p if soft else (rng.random(n) < p).astype(float)
    return x, p, rng.uniform(0.5, 2, n)


@pytest.mark.parametrize("soft", [False, True])
def test_the_optimum_is_scipys(soft):
    x, p, w = problem(soft=soft)

    def objective(v):
        return w @ log_loss(x @ v, p) + 0.5 * 0.7 * v @ v

    expected = minimize(objective, np.zeros(15), method="BFGS", options={"gtol": 1e-9}).x
    found = solve(x, p, w, 0.7).v
    assert np.allclose(found, expected, atol=1e-5)
    gradient = x.T @ (w * (sigmoid(x @ found) - p)) + 0.7 * found
    assert np.abs(gradient).max() < 1e-5


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_swapping_sides_changes_nothing(seed):
    x, p, w = problem(seed=seed, soft=True)
    flip = np.where(np.random.default_rng(seed).random(len(p)) < 0.5, -1.0, 1.0)
    swapped = np.where(flip < 0, 1 - p, p)
    assert np.allclose(
        solve(x, p, w, 1.0).v, solve(x * flip[:, None], swapped, w, 1.0).v, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(150, 12), (40, 90)])
def test_the_sweep_is_the_solver_on_every_fold_and_ridge(shape):
    x, p, w = problem(*shape)
    folds = np.arange(len(p)) % 5
    ridges = [prior_ridge(x, std) for std in (0.2, 1.0, 5.0)]
    margins = sweep(basis(x), p, w, ridges, folds, tolerance=1e-8)
    for row, ridge in zip(margins, ridges, strict=True):
        for fold in range(5):
            kept, out = folds != fold, folds == fold
            expected = x[out] @ solve(x[kept], p[kept], w[kept], ridge).v
            assert np.allclose(row[out], expected, atol=1e-4 * max(1, np.abs(expected).max()))


def test_separable_data_stays_finite_and_errors_are_clear():
    x = np.array([[1.0], [2.0]])
    assert 0 < solve(x, np.ones(2), np.ones(2), 1e-3).v[0] < 50
    with pytest.raises(ValueError, match="ridge must be positive"):
        solve(x, np.ones(2), np.ones(2), 0.0)
    with pytest.raises(ValueError, match="must be finite"):
        solve(x * np.nan, np.ones(2), np.ones(2), 1.0)


def test_the_posterior_is_the_inverse_hessian():
    x, p, w = problem()
    fit = solve(x, p, w, 0.7)
    s = sigmoid(x @ fit.v)
    hessian = (x * (w * s * (1 - s))[:, None]).T @ x + 0.7 * np.eye(15)
    factor = fit.covariance_factor()
    assert np.allclose(factor @ factor.T, np.linalg.inv(hessian), rtol=1e-4, atol=1e-6)


def test_a_tie_pulls_nowhere_at_zero():
    assert np.allclose(solve(np.array([[3.0]]), np.array([0.5]), np.ones(1), 1.0).v, 0)
