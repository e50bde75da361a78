"""The contract of every loss, and its value by hand."""

import math

import pytest
import torch

from plaudit.training.losses import LOSSES


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_keeps_the_contract(name):
    loss = LOSSES[name]
    for dtype in (torch.bfloat16, torch.float32):
        ends = loss(torch.tensor([100.0, -100.0], dtype=dtype), torch.ones(2, dtype=dtype))
        assert torch.isfinite(ends).all()
        assert ends.shape == (2,)
    gap, p = torch.linspace(-3, 3, 13), torch.linspace(0, 1, 13)
    assert torch.allclose(loss(gap, p), loss(-gap, 1 - p), atol=1e-6)
    falling = loss(torch.linspace(-5, 5, 50), torch.ones(50))
    assert (falling.diff() < 0).all()
    tie = torch.zeros(1, requires_grad=True)
    loss(tie, torch.tensor([0.5])).sum().backward()
    assert tie.grad.abs().max() < 1e-7


def test_bradley_terry_by_hand():
    found = LOSSES["bradley-terry"](torch.tensor([1.6]), torch.tensor([0.75]))
    expected = -(
        0.75 * math.log(1 / (1 + math.exp(-1.6))) + 0.25 * math.log(1 / (1 + math.exp(1.6)))
    )
    assert found.item() == pytest.approx(expected, abs=1e-6)
