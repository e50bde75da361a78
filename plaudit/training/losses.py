"""LOSSES: ranking losses as pure functions of a score difference, one value a pair.

To add one, write the function and its row. Every loss takes the difference a − b [B], the
probability p that a is better [B], and returns [B]; the loop takes the weighted mean. The
contract that all are tested against is in `tests/training/test_losses.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import softplus


def bradley_terry(difference: Tensor, p: Tensor) -> Tensor:
    """softplus(Δ) − p Δ = −[p log σ(Δ) + (1 − p) log σ(−Δ)], in float32.

    Bradley & Terry 1952, soft labels as in 2411.12843.

    Requirements: p in [0, 1]; 1 is the hard label, 0.5 a tie.
    Relations: p = 1 is `reward_loss`; p = 1 − ε is label smoothing.

    >>> import torch
    >>> bradley_terry(torch.tensor([0.0]), torch.tensor([1.0]))
    tensor([0.6931])
    """
    difference = difference.float()
    return softplus(difference) - p.float() * difference


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"bradley-terry": bradley_terry}
