"""How far people agree: the ceiling of an accuracy.

Pairwise agreement and agreement with the others' majority, in [N, 3] counts (a, b, tie) and with
intervals; Krippendorff's alpha from coincidences of values:

    o_ck = Σ_u n_uc (n_uk − [c = k]) / (m_u − 1)     over items u with m_u ≥ 2 votes
    α    = 1 − D_o / D_e
    D_o  = (1/n) Σ_ck o_ck d²(c, k)
    D_e  = 1 / (n (n − 1)) Σ_ck n_c n_k d²(c, k)     n_c = Σ_k o_ck, n = Σ_c n_c

Krippendorff, Computing Krippendorff's Alpha-Reliability (2011). Which response is called a is
arbitrary, so for votes o is first averaged with its mirror image, o_ck ← (o_ck + o_−c,−k) / 2:
no statistic here changes when a and b change names in any of the items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.statistics.intervals import Interval, cluster_bootstrap, group_totals, resample
from plaudit.statistics.votes import STRONGEST, TIE, Votes

Floats = NDArray[np.float64]
SAMPLES = 1000
VALUES = np.arange(-STRONGEST, STRONGEST + 1, dtype=np.float64)


class Agreement(NamedTuple):
    """Every figure of agreement with its interval by prompt group; `n` counts what it rests on.

    `two_class` leaves ties out and `three_class` counts them; both are means over items with two
    such votes. `leave_one_out` is over votes for a or b, against the majority of the others.
    """

    alpha_nominal: Interval
    alpha_ordinal: Interval
    alpha_interval: Interval
    two_class: Interval
    three_class: Interval
    leave_one_out: Interval
    votes: int


def agreement(votes: Votes) -> Agreement:
    """All figures of agreement of some votes."""
    counts = votes.counts()
    credit = leave_one_out(votes)
    usable = np.isfinite(credit)
    return Agreement(
        alpha(votes, "nominal"),
        alpha(votes, "ordinal"),
        alpha(votes, "interval"),
        _mean_over_items(_pair_share(counts[:, :TIE]), votes),
        _mean_over_items(_pair_share(counts), votes),
        cluster_bootstrap(credit[usable], votes.group[votes.item[usable]], samples=SAMPLES),
        len(votes),
    )


def pairwise_agreement(votes: Floats) -> float:
    """Chance that two votes on one pair agree, over [N, 3] counts (a, b, tie).

    Pairs with fewer than two votes say nothing and are left out; NaN if none is left.
    """
    share = _pair_share(votes)
    share = share[np.isfinite(share)]
    return float(share.mean()) if len(share) else float("nan")


def majority_agreement(votes: Floats) -> float:
    """Chance that a vote for a or b agrees with the majority of the others (ties count half)."""
    credit = weight = 0.0
    for side, other in ((0, 1), (1, 0)):
        mine, theirs = votes[:, side] - 1, votes[:, other]
        usable = (votes[:, side] >= 1) & (votes.sum(axis=1) >= 2)
        credit += float((votes[:, side] * _majority_credit(mine, theirs))[usable].sum())
        weight += float(votes[:, side][usable].sum())
    return credit / weight if weight else float("nan")


def leave_one_out(votes: Votes) -> Floats:
    """[V] 1 if a vote sides with the majority of the item's other votes, ½ if those are even.

    NaN for a tie, which sides with nobody, and where there is no other vote: a vote counted in
    its own majority would inflate the figure.
    """
    counts = votes.counts()[votes.item]
    total, chosen = counts.sum(axis=1), votes.outcome
    mine = np.where(votes.value > 0, counts[:, 0], counts[:, 1]) - 1
    theirs = np.where(votes.value > 0, counts[:, 1], counts[:, 0])
    usable = (chosen != TIE) & (total >= 2)
    result: Floats = np.where(usable, _majority_credit(mine, theirs), np.nan)
    return result


def alpha(votes: Votes, distance: str = "ordinal", samples: int = SAMPLES) -> Interval:
    """Krippendorff's alpha of the values −3 … 3, invariant to swapping a and b in any item.

    The interval is a bootstrap over prompt groups; `n` is the number of items with two votes.
    Raises ValueError on an unknown distance.
    """
    counts = votes.value_counts()
    usable = counts.sum(axis=1) >= 2
    if not counts[usable][:, VALUES != 0].any():  # nothing but ties leaves α undefined
        return Interval(float("nan"), float("nan"), float("nan"), int(usable.sum()), 0)
    o_GCC = _grouped_coincidences(counts[usable], votes.group[usable])
    o_GCC = (o_GCC + o_GCC[:, ::-1, ::-1]) / 2
    drawn = resample(o_GCC.reshape(len(o_GCC), -1), samples).reshape(samples, *o_GCC.shape[1:])
    low, high = np.nanpercentile(krippendorff_alpha(drawn, VALUES, distance), [2.5, 97.5])
    value = float(krippendorff_alpha(o_GCC.sum(axis=0), VALUES, distance))
    return Interval(value, float(low), float(high), int(usable.sum()), len(o_GCC))


def coincidences(counts: Floats) -> Floats:
    """[C, C] coincidences of [N, C] counts of values; items with fewer than two say nothing."""
    counts = counts[counts.sum(axis=1) >= 2]
    one_group = np.zeros(len(counts), dtype=np.int64)
    result: Floats = _grouped_coincidences(counts, one_group).sum(axis=0)
    return result


def krippendorff_alpha(o: Floats, values: Floats, distance: str) -> Floats:
    """α of coincidences [..., C, C] of the ascending values [C], in plain (2011) form.

    NaN where all votes are equal. Raises ValueError on an unknown distance.
    """
    if distance not in DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(DISTANCES)}, found {distance!r}")
    marginal = o.sum(axis=-1)
    n = marginal.sum(axis=-1)
    d2 = DISTANCES[distance](marginal, values)
    observed = (o * d2).sum(axis=(-1, -2)) * (n - 1)
    expected = np.einsum("...c,...k,...ck->...", marginal, marginal, d2)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = 1 - np.where(expected > 0, observed / expected, np.nan)
    return result


def _nominal(marginal: Floats, values: Floats) -> Floats:
    result: Floats = (values[:, None] != values[None, :]).astype(np.float64)
    return result


def _ordinal(marginal: Floats, values: Floats) -> Floats:
    """(Σ_{g=c..k} n_g − (n_c + n_k)/2)²: how many votes lie between two values."""
    middle = np.cumsum(marginal, axis=-1) - marginal / 2
    result: Floats = (middle[..., :, None] - middle[..., None, :]) ** 2
    return result


def _interval(marginal: Floats, values: Floats) -> Floats:
    result: Floats = (values[:, None] - values[None, :]) ** 2
    return result


DISTANCES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
}


def _grouped_coincidences(counts: Floats, groups: NDArray[np.generic]) -> Floats:
    """[G, C, C] coincidences of each group of items, all of them with two votes or more."""
    width = counts.shape[1]
    scaled = counts / (counts.sum(axis=1, keepdims=True) - 1)
    pairs = scaled[:, :, None] * (counts[:, None, :] - np.eye(width))
    totals = group_totals(pairs.reshape(len(counts), -1), groups)
    result: Floats = totals.reshape(len(totals), width, width)
    return result


def _pair_share(counts: Floats) -> Floats:
    """[N] share of the pairs of votes on an item that are equal; NaN below two votes."""
    total = counts.sum(axis=1)
    pairs = np.where(total >= 2, total * (total - 1), np.nan)
    result: Floats = (counts * (counts - 1)).sum(axis=1) / pairs
    return result


def _majority_credit(mine: Floats, theirs: Floats) -> Floats:
    credit: Floats = np.where(mine > theirs, 1.0, np.where(mine == theirs, 0.5, 0.0))
    return credit


def _mean_over_items(values: Floats, votes: Votes) -> Interval:
    usable = np.isfinite(values)
    return cluster_bootstrap(values[usable], votes.group[usable], samples=SAMPLES)
