"""The ranking loss −log σ(gap): a picture, and the tutorials' example.

python examples/ranking_loss.py [ranking_loss.svg]
"""

import sys

import matplotlib
import torch

from plaudit import reward_loss

matplotlib.use("svg")
from matplotlib import pyplot


def main(path: str = "ranking_loss.svg") -> None:
    chosen, rejected = torch.tensor([2.1, 3.4, 1.8]), torch.tensor([0.5, 1.2, 0.9])
    print(f"loss of the three pairs: {reward_loss(chosen, rejected):.4f}")
    gaps = torch.linspace(-6, 6, 241)
    losses = [reward_loss(gap[None], torch.zeros(1)).item() for gap in gaps]
    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    axes.plot(gaps, losses)
    axes.plot(0, 0.6931, "o")
    axes.annotate("equal scores: ln 2", (0.2, 0.8))
    axes.set(xlabel="score of the chosen response − score of the rejected one", ylabel="loss")
    figure.savefig(path)
    print(f"written: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
