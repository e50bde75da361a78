"""Bradley-Terry on feature differences: the head of a frozen backbone, solved exactly.

With r = vᵀh the ranking loss is logistic regression without an intercept on x = h_a − h_b,
target p (soft labels allowed) and weight w:

    L(v) = Σ w [softplus(xᵀv) − p xᵀv] + λ/2 ‖v‖²        Bradley & Terry 1952; MAP with
    ∇L   = Σ w (σ(xᵀv) − p) x + λ v                      prior v ~ N(0, I/λ)
    H    = Σ w σ(1 − σ) x xᵀ + λ I

`solve` is Newton's method in float64. `sweep` solves many ridges and folds of one data set at
once: in the eigenbasis of XᵀX the curvature is close to diagonal, so a block of Newton-CG
problems shares two matrix products a step and converges in a few.

Shapes: N pairs, d features, R = rank ≤ min(N, d), P problems (ridges x folds).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, eigh, solve_triangular

Floats = NDArray[np.float64]


class Basis(NamedTuple):
    """X rotated to the eigenbasis of XᵀX: `rows` [N, R], `rotation` [d, R], `values` [R]."""

    rows: Floats
    rotation: Floats
    values: Floats


class Fit(NamedTuple):
    """Optimum `v` [R or d] and the Cholesky factor of the Hessian there."""

    v: Floats
    cholesky: tuple[Floats, bool]

    def covariance_factor(self) -> Floats:
        """F with F Fᵀ = H⁻¹, the Laplace posterior's covariance (MacKay 1992)."""
        lower = np.tril(self.cholesky[0])
        factor: Floats = solve_triangular(lower, np.eye(len(self.v)), lower=True).T
        return factor


def sigmoid(x: Floats) -> Floats:
    """σ(x), without overflow."""
    result: Floats = 0.5 * (1.0 + np.tanh(0.5 * np.asarray(x, dtype=np.float64)))
    return result


def log_loss(margin: Floats, p: Floats) -> Floats:
    """softplus(m) − p m for each pair: cross-entropy of σ(m) against soft label p."""
    result: Floats = np.logaddexp(0.0, margin) - p * margin
    return result


def prior_ridge(x: Floats, prior_std: float) -> float:
    """The λ under which a typical pair's margin has prior standard deviation `prior_std`."""
    return float(np.mean(np.einsum("nd,nd->n", x, x)) / prior_std**2)


def basis(x: Floats) -> Basis:
    """Rotate [N, d] differences to their own eigenbasis; directions without data are dropped.

    The loss and the ridge are unchanged by it: v = rotation @ v_rotated.
    """
    n, d = x.shape
    if n < d:
        values, left = eigh(x @ x.T)
        keep = values > values[-1] * 1e-12
        values, left = values[keep], left[:, keep]
        rotation = x.T @ (left / np.sqrt(values))
    else:
        values, rotation = eigh(x.T @ x)
        keep = values > values[-1] * 1e-12
        values, rotation = values[keep], np.ascontiguousarray(rotation[:, keep])
    return Basis(x @ rotation, rotation, values)


def solve(x: Floats, p: Floats, weight: Floats, ridge: float, start: Floats | None = None) -> Fit:
    """The optimum by Newton's method with step halving.

    Args:
        x: [N, d] feature differences a − b.
        p, weight: [N] probability that a is better, and the pair's weight.
        ridge: λ > 0, which makes the optimum unique and finite on separable data too.
        start: [d] a nearby solution.

    Raises ValueError on a ridge that is not positive, or on differences that are not finite.
    """
    if not ridge > 0:
        raise ValueError(f"ridge must be positive, found {ridge}")
    if not np.isfinite(x).all():
        raise ValueError("feature differences must be finite")
    v = np.zeros(x.shape[1]) if start is None else start.copy()

    def objective(at: Floats) -> float:
        return float(weight @ log_loss(x @ at, p) + 0.5 * ridge * at @ at)

    value = objective(v)
    for _ in range(100):
        probability = sigmoid(x @ v)
        gradient = x.T @ (weight * (probability - p)) + ridge * v
        curvature = weight * probability * (1 - probability)
        hessian = (x * curvature[:, None]).T @ x
        hessian[np.diag_indices_from(hessian)] += ridge
        cholesky = cho_factor(hessian, lower=True)
        step = cho_solve(cholesky, gradient)
        decrement = float(gradient @ step)
        if decrement <= 1e-12 * (1.0 + abs(value)):  # too small to see in the objective
            return Fit(v - step, cholesky)
        scale = 1.0
        while (new := objective(v - scale * step)) > value - 0.25 * scale * decrement:
            scale /= 2
            if scale < 1e-6:
                return Fit(v, cholesky)
        v, value = v - scale * step, new
    return Fit(v, cholesky)


def sweep(
    data: Basis,
    p: Floats,
    weight: Floats,
    ridges: Sequence[float],
    folds: NDArray[np.integer[Any]],
    tolerance: float = 1e-4,
) -> Floats:
    """Out-of-fold margins [ridges, N] of every ridge, each pair held out once.

    `folds` [N] gives each pair's fold. All ridges x folds problems run as one block.
    """
    numbers = np.unique(folds)
    kept = np.stack([folds != number for number in numbers])  # [folds, N]
    ridge_P = np.repeat(np.asarray(ridges, dtype=np.float64), len(numbers))
    weight_PN = np.tile(weight * kept, (len(ridges), 1))
    v_PR = _solve_block(data, p, weight_PN, ridge_P, tolerance)
    margins = (v_PR @ data.rows.T).reshape(len(ridges), len(numbers), -1)
    held_out = np.searchsorted(numbers, folds)
    result: Floats = margins[:, held_out, np.arange(len(p))]
    return result


def _solve_block(
    data: Basis, p: Floats, weight_PN: Floats, ridge_P: Floats, tolerance: float
) -> Floats:
    """P problems at once: Newton steps, each by conjugate gradients, all sharing X."""
    x = data.rows
    v = np.zeros((len(ridge_P), x.shape[1]))
    share = weight_PN.sum(axis=1) / max(len(p), 1)
    first_gradient = 0.0
    for iteration in range(30):
        probability = sigmoid(v @ x.T)
        gradient = (weight_PN * (probability - p)) @ x + ridge_P[:, None] * v
        norm = np.linalg.norm(gradient, axis=1)
        first_gradient = norm if iteration == 0 else first_gradient
        active = np.flatnonzero(norm > tolerance * first_gradient)
        if not len(active):
            break
        curvature = (weight_PN * probability * (1 - probability))[active]
        mean_curvature = curvature.sum(axis=1) / np.maximum(share[active] * len(p), 1e-12)
        diagonal = (share[active] * mean_curvature)[:, None] * data.values + ridge_P[active, None]
        step = _conjugate_gradients(x, curvature, ridge_P[active], gradient[active], diagonal)
        v[active] -= _damped(x, v[active], step, p, weight_PN[active], ridge_P[active])
    return v


def _conjugate_gradients(
    x: Floats, curvature: Floats, ridge: Floats, gradient: Floats, diagonal: Floats
) -> Floats:
    """Solve H step = gradient for each row, preconditioned by the eigenvalues."""
    step = np.zeros_like(gradient)
    residual = gradient.copy()
    z = residual / diagonal
    direction = z.copy()
    rho = np.einsum("pr,pr->p", residual, z)
    target = 0.01 * rho  # a tenth of the gradient, in the preconditioner's norm
    for _ in range(25):
        image = (curvature * (direction @ x.T)) @ x + ridge[:, None] * direction
        alpha = rho / np.maximum(np.einsum("pr,pr->p", direction, image), 1e-300)
        step += alpha[:, None] * direction
        residual -= alpha[:, None] * image
        z = residual / diagonal
        before, rho = rho, np.einsum("pr,pr->p", residual, z)
        if (rho <= target).all():
            break
        direction = z + (rho / np.maximum(before, 1e-300))[:, None] * direction
    return step


def _damped(x: Floats, v: Floats, step: Floats, p: Floats, weight: Floats, ridge: Floats) -> Floats:
    """Halve the steps that do not lower their objective."""
    margin, change = v @ x.T, step @ x.T

    def objective(scale: Floats) -> Floats:
        at = v - scale[:, None] * step
        loss = np.einsum("pn,pn->p", weight, log_loss(margin - scale[:, None] * change, p))
        result: Floats = loss + 0.5 * ridge * np.einsum("pr,pr->p", at, at)
        return result

    scale = np.ones(len(v))
    start = objective(np.zeros(len(v)))
    for _ in range(10):
        worse = objective(scale) > start
        if not worse.any():
            break
        scale[worse] /= 2
    return scale[:, None] * step
