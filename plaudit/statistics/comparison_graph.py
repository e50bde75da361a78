"""Scores of responses from noisy differences: the Gaussian step of Bradley-Terry.

Each item c sees s_i − s_j with some precision; with s ~ N(0, σ²) the posterior's precision is
the graph's weighted Laplacian + I/σ². Responses of one prompt make a connected component, and
components of one size are solved as one stack of dense matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
LARGEST = 10_000  # responses in a component: its dense matrix takes 800 MB


class Differences(NamedTuple):
    """Posterior `mean` and `variance` [N] of s_i − s_j; `squares` [R], the expectation of s²."""

    mean: Floats
    variance: Floats
    squares: Floats


class ComparisonGraph:
    """Which responses were compared; responses [N, 2] holds the ids of both ends of each item.

    Raises ValueError where more than 10,000 responses hang together.
    """

    def __init__(self, responses: Integers) -> None:
        ids, flat = np.unique(responses, return_inverse=True)
        ends = flat.reshape(responses.shape)
        graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(ids),) * 2)
        _, component = connected_components(graph, directed=False)
        size = np.bincount(component)[component]
        if size.max(initial=0) > LARGEST:
            raise ValueError(
                f"{size.max()} responses are connected, more than {LARGEST}: give the same text "
                "under another prompt another id"
            )
        order = np.lexsort((component, size))
        self.stacks = []
        for width in np.unique(size).tolist():
            members = order[size[order] == width]
            place = np.full(len(ids), -1)
            place[members] = np.arange(len(members))
            edges = np.flatnonzero(place[ends[:, 0]] >= 0)
            first, second = place[ends[edges]].T
            self.stacks.append(_Stack(len(members) // width, width, edges, first, second))

    def solve(self, precision: Floats, pull: Floats, variance: float) -> Differences:
        """The posterior under s ~ N(0, variance).

        precision, pull: [N] weight, and weighted value, of s_i − s_j as each item sees it.
        """
        mean, spread = np.empty(len(pull)), np.empty(len(pull))
        squares: list[Floats] = [np.empty(0)]
        for stack in self.stacks:
            i, j = stack.first, stack.second
            matrix = _laplacian(stack, precision[stack.edges])
            covariance = np.linalg.inv(matrix + np.eye(stack.width) / variance)
            size = stack.components * stack.width
            pulled = np.bincount(i, pull[stack.edges], size) - np.bincount(
                j, pull[stack.edges], size
            )
            score = (covariance @ pulled.reshape(stack.components, stack.width, 1)).ravel()
            own = np.diagonal(covariance, axis1=1, axis2=2).ravel()
            shared = covariance[i // stack.width, i % stack.width, j % stack.width]
            mean[stack.edges] = score[i] - score[j]
            spread[stack.edges] = own[i] + own[j] - 2 * shared
            squares.append(score**2 + own)
        return Differences(mean, spread, np.concatenate(squares))


class _Stack(NamedTuple):
    """`components` of `width` responses each; the ends of item `edges` in them."""

    components: int
    width: int
    edges: Integers
    first: Integers  # block · width + place of response a
    second: Integers


def _laplacian(stack: _Stack, weight: Floats) -> Floats:
    """[components, width, width] Σ w (e_i − e_j)(e_i − e_j)ᵀ of each component."""
    i, j, width = stack.first, stack.second, stack.width
    rows = np.concatenate([i, j, i, j])
    columns = np.concatenate([i, j, j, i]) % width
    values = np.concatenate([weight, weight, -weight, -weight])
    flat = np.bincount(rows * width + columns, values, stack.components * width**2)
    return flat.astype(np.float64).reshape(stack.components, width, width)
