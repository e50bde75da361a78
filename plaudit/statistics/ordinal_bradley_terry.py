"""Ordinal Bradley-Terry with annotators: skill, side and length bias, use of ties.

    η      = a_k θ_c + b_k side + l_k x_c             x = log(length a / length b)
    P(V≤v) = σ(w_k τ_v − η)                           τ antisymmetric, so that naming the responses
    θ_c    = s_i − s_j + r_c                          the other way round reverses the votes
    s ~ N(0, σ_s²), r ~ N(0, σ_r²), log a ~ N(0, ς_a²), log w ~ N(0, ς_w²),
    b ~ N(μ_b, ς_b²), l ~ N(μ_l, ς_l²)

With one annotator and no thresholds it is Bradley & Terry (1952); with skills, Chen et al.
(2013)'s aim in an ordinal (McCullagh 1980) form. Without response ids θ_c = r_c.

θ has a Gaussian posterior with mean and variance such that the likelihood's slope and curvature,
averaged over that posterior, balance the prior (Opper & Archambeau 2009): a plug-in θ would be
too sure of items with few votes. Annotators are at their mode with a Laplace variance; all prior
variances are learned, so that where annotators are alike, or do not overlap, they end alike.
The length preference that annotators share (μ_l) is not told apart from quality: it stays in p.

Shapes: N items, K annotators, V votes, R responses, M levels of strength, E = 4 effects a, b, l, w.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from plaudit.statistics.comparison_graph import ComparisonGraph
from plaudit.statistics.votes import Votes

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
EFFECTS = ("skill", "side", "length", "ties")
SKILL, SIDE, LENGTH, TIES = range(len(EFFECTS))
_AT, _WEIGHT = np.polynomial.hermite_e.hermegauss(5)
# Gauss-Hermite nodes of N(0, 1) and their weights.
NODES = tuple(zip(_AT.tolist(), (_WEIGHT / _WEIGHT.sum()).tolist(), strict=True))
LIKELY_SIZES = ndtri(np.linspace(0.5, 1, 41)[1::2]).tolist()  # twenty equally likely |N(0, 1)|
PRIOR_VARIANCE = 0.25  # of each effect over annotators, before the votes say otherwise
PRIOR_COUNT = 1.0  # how many observations a variance's prior is worth
SMALLEST = 1e-3  # of a variance over annotators
NONE = 1e-9  # variance of an effect that is left out


@dataclass(frozen=True)
class OrdinalBradleyTerry:
    """A fitted model.

    `p` [N] is the chance that an average annotator without side bias prefers a, ties half.
    `reliability` [K] is the chance that an annotator's vote on a typical item sides with θ.
    `mean`, `variance` [N] are those of θ. `effects`, `effect_variance` [K, 4], in the order of
    EFFECTS, are log a, b, l (log odds) and log w; `pool`, `pool_variance` [4] their distribution
    over annotators; `thresholds` [M] are the positive ones; `response_std` is σ_s,
    `item_std` σ_r.
    """

    p: Floats
    reliability: Floats
    mean: Floats
    variance: Floats
    effects: Floats
    effect_variance: Floats
    pool: Floats
    pool_variance: Floats
    thresholds: Floats
    response_std: float
    item_std: float
    log_length: Floats

    def predict(self, item: Integers, annotator: Integers | None, side: NDArray[Any]) -> Floats:
        """[M, 3] chances that the next vote is for a, for b, a tie.

        annotator: [M], or None for an annotator drawn from the pool. side: [M] as in Votes.
        """
        row = np.full(len(item), -1) if annotator is None else annotator
        effects = np.vstack([self.effects, self.pool])[row]
        spread = np.vstack([self.effect_variance, self.pool_variance])[row]
        return _outcomes(
            self.mean[item],
            self.variance[item],
            effects,
            spread,
            side,
            self.log_length[item],
            float(self.thresholds[0]),
        )


def fit_ordinal_bradley_terry(
    votes: Votes,
    responses: bool = True,
    effects: tuple[str, ...] = EFFECTS,
    tolerance: float = 1e-3,
    iterations: int = 100,
) -> OrdinalBradleyTerry:
    """Fit by alternating θ and annotators until no mean log odds moves by `tolerance`.

    Args:
        responses: use votes.responses, where given, so that those of one response inform another.
        effects: which of EFFECTS annotators have; the others are left out.
    """
    problem = _Problem(votes, responses)
    free = np.array([name in effects for name in EFFECTS])
    state = _start(votes, problem, free)
    for _ in range(iterations):
        before = state.mean
        state = _update_items(state, problem)
        state = _update_annotators(state, problem, free)
        if np.abs(state.mean - before).max(initial=0.0) < tolerance:
            break
    return _finish(state, problem)


class _State(NamedTuple):
    mean: Floats  # [N] of θ
    variance: Floats  # [N]
    response_variance: float  # σ_s²
    item_variance: float  # σ_r²
    effects: Floats  # [K, E]
    effect_variance: Floats  # [K, E]
    pool: Floats  # [E]
    pool_variance: Floats  # [E]
    steps: Floats  # [M] log of the distances between thresholds


class _Problem:
    """The votes in the form the updates need."""

    def __init__(self, votes: Votes, responses: bool) -> None:
        self.item, self.annotator = votes.item, votes.annotator
        self.side = votes.side.astype(np.float64)
        length = np.zeros(votes.items) if votes.log_length is None else votes.log_length
        self.log_length = length
        self.length = length[votes.item]
        self.sign = np.where(votes.value < 0, -1.0, 1.0)
        strength = np.unique(np.abs(votes.value[votes.value != 0]))
        self.level = np.where(
            votes.value == 0, 0, np.searchsorted(strength, np.abs(votes.value)) + 1
        )
        self.levels = max(len(strength), 1)
        self.ties = float((votes.value == 0).mean()) if len(votes) else 0.0
        self.start_steps = np.zeros(self.levels)
        self.start_steps[0] = np.log(2 * np.arctanh(np.clip(self.ties, 0.01, 0.9)))
        self.voted = np.bincount(votes.item, minlength=votes.items) > 0
        self.active = np.bincount(votes.annotator, minlength=votes.annotators) > 0
        self.responses = (
            ComparisonGraph(votes.responses) if responses and votes.responses is not None else None
        )

    def thresholds(self, steps: Floats) -> Floats:
        """[M] thresholds; the first is 0 where nobody ever voted a tie."""
        distance = np.exp(steps)
        distance[0] = distance[0] if self.ties else 0.0
        result: Floats = np.cumsum(distance)
        return result


def _start(votes: Votes, problem: _Problem, free: NDArray[np.bool_]) -> _State:
    variance = np.where(free, PRIOR_VARIANCE, NONE)
    linked = problem.responses is not None
    return _State(
        mean=np.zeros(votes.items),
        variance=np.full(votes.items, 2.0),
        response_variance=0.5 if linked else 0.0,
        item_variance=1.0 if linked else 2.0,
        effects=np.zeros((votes.annotators, len(EFFECTS))),
        effect_variance=np.tile(variance, (votes.annotators, 1)),
        pool=np.zeros(len(EFFECTS)),
        pool_variance=variance,
        steps=problem.start_steps,
    )


class _Slopes(NamedTuple):
    """Derivatives of log P(vote), averaged over θ: each [V]."""

    slope: Floats  # ∂/∂η
    slope_skill: Floats  # ∂/∂log a
    curvature: Floats  # −∂²/∂η²
    curvature_cross: Floats  # −∂²/∂η∂log a
    curvature_skill: Floats  # −∂²/∂log a², without the term of no fixed sign
    lower: Floats  # −∂/∂(lower threshold)
    upper: Floats  # ∂/∂(upper threshold)
    wider: Floats  # ∂/∂log w


def _slopes(state: _State, problem: _Problem) -> _Slopes:
    """Seen from the voted side e = ±η, P = σ(e − lower) − σ(e − upper); concave in η."""
    thresholds = np.append(problem.thresholds(state.steps), np.inf)
    bounds = np.concatenate(
        [[-thresholds[0]], thresholds]
    )  # a tie lies between −thresholds[0] and thresholds[0]
    effects = state.effects[problem.annotator]
    scale, width = np.exp(effects[:, SKILL]), np.exp(effects[:, TIES])
    lower, upper = width * bounds[problem.level], width * bounds[problem.level + 1]
    offset = effects[:, SIDE] * problem.side + effects[:, LENGTH] * problem.length
    mean, std = state.mean[problem.item], np.sqrt(state.variance[problem.item])
    sums = np.zeros((8, len(mean)))
    bounded = np.where(np.isfinite(upper), upper, 0.0)
    for at, weight in NODES:
        latent = scale * (mean + std * at)
        seen = problem.sign * (latent + offset)
        low, high = expit(seen - lower), expit(seen - upper)
        low_slope, high_slope = low * (1 - low), high * (1 - high)
        slope = problem.sign * (1 - low - high)
        curvature = low_slope + high_slope
        chance = np.maximum(low - high, 1e-12)
        for total, value in zip(
            sums,
            (
                slope,
                slope * latent,
                curvature,
                curvature * latent,
                curvature * latent**2,
                low_slope / chance,
                high_slope / chance,
                (high_slope * bounded - low_slope * lower) / chance,
            ),
            strict=True,
        ):
            total += weight * value
    return _Slopes(*sums)


def _update_items(state: _State, problem: _Problem) -> _State:
    """One Newton step of θ, of the posterior's variance, and EM of σ_s and σ_r.

    The votes of an item act as one observation of θ with precision W; r is eliminated, the response
    scores are solved for, and r is put back.
    """
    slopes = _slopes(state, problem)
    scale = np.exp(state.effects[problem.annotator, SKILL])
    count = len(state.mean)
    precision = np.bincount(problem.item, scale**2 * slopes.curvature, count)
    pull = precision * state.mean + np.bincount(problem.item, scale * slopes.slope, count)
    shrink = 1 / (1 + state.item_variance * precision)
    response_variance = state.response_variance
    prior_mean = prior_variance = np.zeros(count)
    if problem.responses is not None:
        found = problem.responses.solve(precision * shrink, pull * shrink, response_variance)
        prior_mean, prior_variance = found.mean, found.variance
        response_variance = _learned(found.squares, 0.5)
    mean = (prior_mean + state.item_variance * pull) * shrink
    own = state.item_variance * shrink
    variance = own + prior_variance * shrink**2
    kept = 1 - shrink  # share of an item's evidence that its own residual takes
    residual = (mean - prior_mean) ** 2 + own + kept**2 * prior_variance
    item_variance = _learned(residual[problem.voted], 1.0)
    return state._replace(
        mean=mean,
        variance=variance,
        response_variance=response_variance,
        item_variance=item_variance,
    )


def _update_annotators(state: _State, problem: _Problem, free: NDArray[np.bool_]) -> _State:
    """One Newton step of each annotator's effects and of the thresholds; scoring of the pool."""
    slopes = _slopes(state, problem)
    count, who = len(state.effects), problem.annotator
    columns = np.stack([problem.side, problem.length])
    gradient = np.empty((count, len(EFFECTS)))
    hessian = np.zeros((count, len(EFFECTS), len(EFFECTS)))
    gradient[:, SKILL] = np.bincount(who, slopes.slope_skill, count)
    hessian[:, SKILL, SKILL] = np.bincount(who, slopes.curvature_skill, count)
    gradient[:, TIES] = np.bincount(who, slopes.wider, count)
    hessian[:, TIES, TIES] = np.bincount(who, slopes.wider**2, count)  # scoring, as thresholds
    for i, x in zip((SIDE, LENGTH), columns, strict=True):
        gradient[:, i] = np.bincount(who, slopes.slope * x, count)
        cross = np.bincount(who, slopes.curvature_cross * x, count)
        hessian[:, i, SKILL] = hessian[:, SKILL, i] = cross
        for j, y in zip((SIDE, LENGTH), columns, strict=True):
            hessian[:, i, j] = np.bincount(who, slopes.curvature * x * y, count)
    pool, pool_variance = _pool(state, gradient, hessian, free)
    gradient -= (state.effects - pool) / pool_variance
    hessian += np.diag(1 / pool_variance)
    covariance = np.linalg.inv(hessian)
    effects = state.effects + np.clip(np.einsum("kij,kj->ki", covariance, gradient), -1, 1)
    effects[~problem.active] = pool
    return state._replace(
        effects=effects,
        effect_variance=np.diagonal(covariance, axis1=1, axis2=2),
        pool=pool,
        pool_variance=pool_variance,
        steps=_moved_thresholds(state, problem, slopes),
    )


def _pool(
    state: _State, gradient: Floats, hessian: Floats, free: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Mean and variance [E] of each effect over annotators.

    An annotator's votes see an effect as z = x + g/h with variance 1/h, so z ~ N(μ, ς² + 1/h):
    μ by generalised least squares, ς² by a scoring step (EM would take hundreds of steps to learn
    that annotators are alike). The means of log a and log w stay 0: θ and thresholds carry them.
    """
    h = np.diagonal(hessian, axis1=1, axis2=2)
    shrink = 1 / (1 + state.pool_variance * h)
    evidence = ((h * state.effects + gradient) * shrink).sum(axis=0)
    mean: Floats = evidence / ((h * shrink).sum(axis=0) + 1 / PRIOR_VARIANCE)
    mean[[SKILL, TIES]] = 0.0
    excess = ((h * (state.effects - mean) + gradient) ** 2 - h) * shrink**2
    information = ((h * shrink) ** 2).sum(axis=0)
    prior = PRIOR_COUNT / PRIOR_VARIANCE**2
    found = (excess.sum(axis=0) + prior * PRIOR_VARIANCE) / (information + prior)
    variance = np.clip((state.pool_variance + found) / 2, SMALLEST, None)
    return np.where(free, mean, 0.0), np.where(free, variance, NONE)


def _moved_thresholds(state: _State, problem: _Problem, slopes: _Slopes) -> Floats:
    """A scoring step (Berndt et al. 1974) of the log distances, each with a N(start, 1) prior."""
    distance = np.diff(problem.thresholds(state.steps), prepend=0.0)
    below = np.tri(problem.levels + 1, problem.levels, -1)  # [level, m]: m lies under level's lower
    above = np.tri(problem.levels + 1, problem.levels, 0)
    above[-1] = 0  # nothing bounds the strongest level from above
    below[0, 0] = -1  # a tie's lower bound is minus the first threshold
    width = np.exp(state.effects[problem.annotator, TIES])[:, None]
    score = (width * distance) * (
        slopes.upper[:, None] * above[problem.level] - slopes.lower[:, None] * below[problem.level]
    )
    information = score.T @ score + np.eye(problem.levels)
    gradient = score.sum(axis=0) - (state.steps - problem.start_steps)
    step: Floats = np.clip(np.linalg.solve(information, gradient), -0.5, 0.5)
    return state.steps + step


def _learned(squares: Floats, start: float) -> float:
    """A variance: the mean of expected squares, with PRIOR_COUNT observations of `start`."""
    return float((squares.sum() + PRIOR_COUNT * start) / (len(squares) + PRIOR_COUNT))


def _finish(state: _State, problem: _Problem) -> OrdinalBradleyTerry:
    thresholds = problem.thresholds(state.steps)
    count = len(state.mean)
    average = np.tile(state.pool, (count, 1)), np.tile(state.pool_variance, (count, 1))
    unsided = np.zeros(count)
    outcomes = _outcomes(
        state.mean, state.variance, *average, unsided, problem.log_length, float(thresholds[0])
    )
    typical = np.sqrt(2 * state.response_variance + state.item_variance)
    return OrdinalBradleyTerry(
        p=outcomes[:, 0] + outcomes[:, 2] / 2,
        reliability=_reliability(state.effects, float(typical), float(thresholds[0])),
        mean=state.mean,
        variance=state.variance,
        effects=state.effects,
        effect_variance=state.effect_variance,
        pool=state.pool,
        pool_variance=state.pool_variance,
        thresholds=thresholds,
        response_std=state.response_variance**0.5,
        item_std=state.item_variance**0.5,
        log_length=problem.log_length,
    )


def _outcomes(
    mean: Floats,
    variance: Floats,
    effects: Floats,
    effect_variance: Floats,
    side: NDArray[Any],
    log_length: Floats,
    threshold: float,
) -> Floats:
    """[M, 3] chances of a, b and a tie, over the posterior of θ and of the annotator's effects.

    Given the skill, η is Gaussian: its variance adds that of θ, of the side and of the length.
    """
    std = np.sqrt(effect_variance)
    inputs = np.stack([side, log_length], axis=1)
    offset = (effects[:, [SIDE, LENGTH]] * inputs).sum(axis=1)
    offset_variance = (effect_variance[:, [SIDE, LENGTH]] * inputs**2).sum(axis=1)
    above, below = np.zeros(len(mean)), np.zeros(len(mean))
    for (skill, w_skill), (width, w_width), (at, w_at) in product(NODES, repeat=3):
        scale = np.exp(effects[:, SKILL] + std[:, SKILL] * skill)
        bound = threshold * np.exp(effects[:, TIES] + std[:, TIES] * width)
        eta = scale * mean + offset + np.sqrt(scale**2 * variance + offset_variance) * at
        weight = w_skill * w_width * w_at
        above += weight * expit(eta - bound)
        below += weight * expit(-eta - bound)
    tie = np.maximum(1 - above - below, 0.0)  # rounding, where nobody votes a tie
    return np.stack([above, below, tie], axis=1)


def _reliability(effects: Floats, typical: float, threshold: float) -> Floats:
    """[K] chance that a vote sides with θ ~ N(0, typical²), half for a tie, over both sides."""
    bound = threshold * np.exp(effects[:, TIES])
    total = np.zeros(len(effects))
    for size, side in product(LIKELY_SIZES, (-1, 1)):
        eta = np.exp(effects[:, SKILL]) * typical * size + effects[:, SIDE] * side
        total += expit(eta - bound) + expit(eta + bound)
    return total / (4 * len(LIKELY_SIZES))
