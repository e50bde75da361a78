"""The dtype of the pass, chosen by a race on the machine.

Some processors run bfloat16 three times faster than float32, others five times slower, and
torch's own "supported" answers True on both. So both are timed on one matrix product.
"""

from __future__ import annotations

import time
from functools import cache
from typing import NamedTuple

import torch

# bfloat16 rounds the scores, so it must win clearly to be taken.
WORTH = 1.3
# Weights of a product below this many are run in no time in either.
SMALL = 1 << 16


class Precision(NamedTuple):
    """The dtype taken and why, in words for the output."""

    dtype: torch.dtype
    reason: str


def matrix_rate(
    dtype: torch.dtype, rows: int, width: int, out: int, repeats: int, device: str = "cpu"
) -> float:
    """GFLOP/s of a [rows, width] x [width, out] product, the best of `repeats` timings."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, width, generator=generator).to(device, dtype)
    w = torch.randn(out, width, generator=generator).to(device, dtype)
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        y = torch.nn.functional.linear(x, w)
        y[0, 0].item()  # waits for an accelerator
        best = min(best, time.perf_counter() - start)
    return 2e-9 * rows * width * out / best


@cache
def race(width: int, out: int, dtype: torch.dtype | None = None, device: str = "cpu") -> Precision:
    """float32 or bfloat16, whichever runs the model's own shape faster here.

    A dtype asked for is taken as it is; an accelerator runs bfloat16. Run once a process and
    shape, so that two models of one shape are compared in one dtype.
    """
    if dtype is not None:
        return Precision(dtype, "asked for")
    if device != "cpu":
        return Precision(torch.bfloat16, f"the accelerator's ({device})")
    if width * out < SMALL:
        return Precision(torch.float32, "the model is small")
    full = matrix_rate(torch.float32, 512, width, out, repeats=5)
    half = matrix_rate(torch.bfloat16, 512, width, out, repeats=5)
    taken = torch.bfloat16 if half > WORTH * full else torch.float32
    return Precision(taken, f"products here: fp32 {full:.0f}, bf16 {half:.0f} GFLOP/s")
