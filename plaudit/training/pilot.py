"""Where the pass may stop: layers that can no longer win are not computed.

The pass goes through the pairs in growing portions. After each, the layers are cross-validated
on all pairs so far, and layers above the best one whose loss is worse by more than half a
standard error of the paired difference are given up for the rest. The verdict is kept beside
the features: while the pairs stay nearly the same, a refit goes straight to the layers it left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from plaudit.statistics.bradley_terry import log_loss
from plaudit.training.head import Choice, Labels, smoothed

__all__ = ["candidate_layers", "earlier_verdict", "highest_contender", "keep_verdict", "portions"]

PILOT_PAIRS = 400
WORSE_BY = 0.5  # standard errors
NEARLY_THE_SAME = 0.9  # share of the pairs, labels included, that the verdict was given on
VERDICT = "pilot.json"


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


def earlier_verdict(folder: Path, pairs: Sequence[str]) -> int | None:
    """The highest layer that an earlier pilot left, if it saw nearly all of these pairs."""
    try:
        kept = json.loads((folder / VERDICT).read_text())
        seen = set(kept["pairs"])
        highest = int(kept["highest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    shared = sum(pair in seen for pair in pairs)
    return highest if shared >= NEARLY_THE_SAME * max(len(pairs), len(seen)) else None


def keep_verdict(folder: Path, pairs: Sequence[str], highest: int) -> None:
    """Write the highest layer that the pilot left on these pairs."""
    with suppress(OSError):  # one that is not kept costs the next run a pilot, no more
        (folder / VERDICT).write_text(json.dumps({"highest": highest, "pairs": list(pairs)}))
