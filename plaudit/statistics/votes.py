"""Votes: who said what of which comparison. All that is known of people's judgments starts here.

N comparisons (items), K annotators, V votes. Comparisons that were skipped or found both bad
are not votes; gold and retests are left out by whoever builds this, unless they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
A, B, TIE = 0, 1, 2  # the order of outcomes in every [..., 3] array, as in Slate.votes
SWAP = np.array([B, A, TIE])  # what they become when a and b change names
STRONGEST = 3


@dataclass(frozen=True)
class Votes:
    """V votes of K annotators on N comparisons.

    Args:
        item: [V] comparison, 0 to N−1.
        annotator: [V] annotator, 0 to K−1.
        value: [V] −3 to 3 in canonical orientation, positive if response a is better, 0 a tie.
        side: [V] +1 if response a was shown on the left (or first), −1 otherwise, 0 unknown.
        group: [N] prompt group of each comparison, the unit of the bootstrap.
        annotators: K; some may have no vote here.
        log_length: [N] log(length of a / length of b), or None.
        responses: [N, 2] ids (0 to R−1) of each item's a and b, or None. It is one text under one
            prompt: the same words under another prompt are another response.

    Raises ValueError on shapes that do not fit or values out of range.
    """

    item: Integers
    annotator: Integers
    value: Integers
    side: NDArray[Any]
    group: NDArray[Any]
    annotators: int
    log_length: Floats | None = None
    responses: Integers | None = None

    def __post_init__(self) -> None:
        for name, count in (("item", self.items), ("annotator", self.annotators)):
            _check_range(name, getattr(self, name), 0, count - 1)
        _check_range("value", self.value, -STRONGEST, STRONGEST)
        _check_range("side", self.side, -1, 1)
        for name in ("annotator", "value", "side"):
            _check_shape(name, getattr(self, name), (len(self.item),))
        if self.log_length is not None:
            _check_shape("log_length", self.log_length, (self.items,))
        if self.responses is not None:
            _check_shape("responses", self.responses, (self.items, 2))

    def __len__(self) -> int:
        return len(self.item)

    @property
    def items(self) -> int:
        """N, the number of comparisons; some may have no vote."""
        return len(self.group)

    @property
    def outcome(self) -> Integers:
        """[V] 0 for a, 1 for b, 2 for a tie."""
        result: Integers = np.where(self.value > 0, A, np.where(self.value < 0, B, TIE))
        return result

    def counts(self) -> Floats:
        """[N, 3] votes for a, for b and for a tie."""
        return self._tally(self.outcome, 3)

    def value_counts(self) -> Floats:
        """[N, 7] votes of each value −3 … 3."""
        return self._tally(self.value + STRONGEST, 2 * STRONGEST + 1)

    def select(self, keep: NDArray[Any]) -> Votes:
        """The votes of a mask or index [V]; items and annotators keep their numbers."""
        columns = ("item", "annotator", "value", "side")
        return replace(self, **{name: getattr(self, name)[keep] for name in columns})

    def _tally(self, column: Integers, columns: int) -> Floats:
        flat = np.bincount(self.item * columns + column, minlength=self.items * columns)
        return flat.reshape(self.items, columns).astype(np.float64)


def _check_range(name: str, values: NDArray[Any], low: int, high: int) -> None:
    if len(values) and not (values.min() >= low and values.max() <= high):
        raise ValueError(
            f"{name} must lie in {low} to {high}, found {values.min()} to {values.max()}"
        )


def _check_shape(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, found {values.shape}")
