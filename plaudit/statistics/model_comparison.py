"""Which model is better: win rates and Bradley-Terry scores of the models that wrote responses.

J judgments of responses by M models; V games, one for each pair of models that a judgment compares.
A judgment of a text that two models wrote counts for both of them.

    P(a beats b) = σ(s_a − s_b + β log(length a / length b))      β = 0 without adjustment

Bradley & Terry (1952), with a weak prior s ~ N(0, 3²) in log odds, so that a model that has won
every game has a finite score. Intervals are by prompt group: of win rates those of
`clustered_share`, of scores the wider of the cluster-robust (Liang & Zeger 1986) and the
posterior's. β as in length-controlled AlpacaEval (Dubois et al. 2024).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from plaudit.statistics.bradley_terry import sigmoid, solve
from plaudit.statistics.intervals import Interval, clustered_share, group_totals, student_t

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
PRIOR_STD = 3.0
EVEN = 0.5


class Games(NamedTuple):
    """V games. `judgment` [V] numbers the judgments 0 to J−1; `a` and `b` [V] are models.

    Of each judgment, [J]: `p`, the share of a's win (1, 0, ½ for a tie; NaN for both bad),
    `group`, and `log_length`, log(length of a / length of b).
    """

    judgment: Integers
    a: Integers
    b: Integers
    p: Floats
    group: Integers
    log_length: Floats


class Standing(NamedTuple):
    """What the games say of one model. `component` numbers models that games link.

    Scores are in log odds, centred on 0 within a component; those of two components say nothing
    of each other. `adjusted` is the score at equal length.
    """

    judgments: int
    wins: float
    losses: float
    ties: int
    both_bad: int
    win_rate: Interval
    score: Interval
    adjusted: Interval
    component: int


def standings(games: Games, models: int) -> list[Standing]:
    """The standing of each of M models; NaN where nothing is known."""
    component = _components(games, models)
    strict = ~np.isnan(games.p[games.judgment])
    played = Games(games.judgment[strict], games.a[strict], games.b[strict], *games[3:])
    plain = _scores(played, component, adjusted=False)
    adjusted = _scores(played, component, adjusted=True)
    found = []
    for model in range(models):
        judged, share = _shares(games, model)
        known = ~np.isnan(share)
        group = games.group[judged]
        won = share[known & (share != EVEN)]
        found.append(
            Standing(
                judgments=len(judged),
                wins=float(won.sum()),
                losses=float((1 - won).sum()),
                ties=int((share == EVEN).sum()),
                both_bad=int((~known).sum()),
                win_rate=clustered_share(share[known], group[known]),
                score=plain[model],
                adjusted=adjusted[model],
                component=int(component[model]),
            )
        )
    return found


def _components(games: Games, models: int) -> Integers:
    links = coo_array((np.ones(len(games.a)), (games.a, games.b)), shape=(models, models))
    result: Integers = connected_components(links, directed=False)[1].astype(np.int64)
    return result


def _shares(games: Games, model: int) -> tuple[Integers, Floats]:
    """The judgments that a model took part in, each once, and its share of the win."""
    first, at = np.unique(games.judgment[games.a == model], return_counts=False), games.judgment
    second = np.unique(at[games.b == model])
    share = np.concatenate([games.p[first], 1 - games.p[second]])
    return np.concatenate([first, second]), share


def _scores(games: Games, component: Integers, adjusted: bool) -> list[Interval]:
    """[M] Bradley-Terry scores with intervals by group."""
    models = len(component)
    nothing = Interval(float("nan"), float("nan"), float("nan"), 0, 0)
    if not len(games.a):
        return [nothing] * models
    row = np.arange(len(games.a))
    x = np.zeros((len(row), models + 1))
    x[row, games.a] += 1
    x[row, games.b] -= 1
    length = games.log_length[games.judgment]
    spread = float(np.sqrt(np.mean(length**2)))
    if adjusted and spread > 0:
        x[:, models] = length / spread
    p, group = games.p[games.judgment], games.group[games.judgment]
    weight = 1.0 / np.bincount(games.judgment)[games.judgment]  # a judgment weighs 1
    fit = solve(x, p, weight, 1 / PRIOR_STD**2)
    variance, groups = _variance(fit.v, fit.covariance_factor(), x, p, weight, group, component)
    half = student_t(groups) * np.sqrt(variance)
    n = np.bincount(np.concatenate([games.a, games.b]), minlength=models)
    return [
        Interval(s, s - h, s + h, int(k), groups) if k else nothing
        for s, h, k in zip(fit.v[:models].tolist(), half.tolist(), n.tolist(), strict=True)
    ]


def _variance(
    v: Floats,
    factor: Floats,
    x: Floats,
    p: Floats,
    weight: Floats,
    group: Integers,
    component: Integers,
) -> tuple[Floats, int]:
    """[M] variances of the scores, and how many groups they rest on."""
    models = len(component)
    same = component[:, None] == component[None, :]
    center = np.zeros((models, len(v)))  # only differences within a component are known
    center[:, :models] = np.eye(models) - same / same.sum(axis=1)
    posterior = center @ factor
    gradient = (weight * (p - sigmoid(x @ v)))[:, None] * x
    by_group = group_totals(gradient, group)
    count = len(by_group)
    robust = by_group @ factor @ posterior.T * np.sqrt(count / max(count - 1, 1))
    result: Floats = np.maximum((posterior**2).sum(axis=1), (robust**2).sum(axis=0))
    return result, count
