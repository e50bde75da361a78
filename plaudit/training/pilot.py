"""Where the pass may stop: layers that can no longer win are not computed.

The pass goes through the pairs in growing portions. After each, the layers are cross-validated
on all pairs so far, and layers above the best one whose loss is worse by more than half a
standard error of the paired difference are given up for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from plaudit.statistics.bradley_terry import log_loss
from plaudit.training.head import Choice, Labels, smoothed

__all__ = ["PILOT_PAIRS", "candidate_layers", "highest_contender", "portions"]

PILOT_PAIRS = 400
WORSE_BY = 0.5  # standard errors


def candidate_layers(depth: int) -> list[int]:
    """About a dozen layers from a quarter of the depth up, the last one always among them."""
    step = max(1, round(depth / 15))
    return list(range(depth, max(0, depth // 4 - 1), -step))[::-1]


def portions(count: int) -> Iterator[int]:
    """Ends of the portions: 400, 800, 1,600, … and the whole."""
    end = PILOT_PAIRS
    while end < count:
        yield end
        end *= 2
    yield count


def highest_contender(choice: Choice, given: Labels) -> int:
    """The highest layer that may still be the best one."""
    losses = [
        log_loss(result.margins[result.best], given.p) * given.weight for result in choice.results
    ]
    best = int(np.argmin(smoothed([result.loss for result in choice.results])))
    top = best
    for index in range(best + 1, len(losses)):
        difference = losses[index] - losses[best]
        error = max(float(difference.std()) / np.sqrt(len(difference)), 1e-12)
        if float(difference.mean()) <= WORSE_BY * error:
            top = index
    # One candidate above the best stays, so that the smoothed choice sees both its sides.
    return choice.results[max(top, min(best + 1, len(losses) - 1))].layer
