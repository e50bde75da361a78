"""Where the pass may stop: layers that can no longer win are not computed.

The pass goes through the pairs in growing portions. After each, the layers are cross-validated
on all pairs so far, and layers above the best one whose loss is worse by more than one standard
error of the paired difference, by prompt group, are given up for the rest. The verdict is kept
beside the features: while the pairs stay nearly the same, a refit goes straight to the layers
that it left.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plaudit.statistics.bradley_terry import log_loss
from plaudit.training.frozen.head import Choice, Labels, smoothed

__all__ = [
    "candidate_layers",
    "earlier_verdict",
    "highest_contender",
    "keep_verdict",
    "portions",
    "shuffled",
]

PILOT_PAIRS = 400
TOGETHER = 8  # pairs of one prompt
WORSE_BY = 1.0  # standard errors
NEARLY_THE_SAME = 0.9  # share of the pairs, labels included, that the verdict was given on
VERDICT = "pilot.json"


def candidate_layers(depth: int) -> list[int]:
    """About a dozen layers from a quarter of the depth up, the last one always among them."""
    step = max(1, round(depth / 15))
    return list(range(depth, max(0, depth // 4 - 1), -step))[::-1]


def shuffled(groups: Sequence[str], salt: str = "") -> NDArray[np.int64]:
    """An order of pairs, by a hash of their prompt group, whose portions are fair samples.

    A prompt's pairs stay together, so that their shared tokens are run once, up to `TOGETHER`:
    with a few prompts of hundreds of pairs each, a portion would else be all of one prompt.
    """
    met: Counter[str] = Counter()
    rank = []
    for group in groups:
        rank.append(sha256(f"{salt}{group}{'+' * (met[group] // TOGETHER)}".encode()).digest())
        met[group] += 1
    return np.array(sorted(range(len(rank)), key=rank.__getitem__), dtype=np.int64)


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
        if difference.mean() <= WORSE_BY * _standard_error(difference, given.group):
            top = index
    # One candidate above the best stays, so that the smoothed choice sees both its sides.
    return choice.results[max(top, min(best + 1, len(losses) - 1))].layer


def _standard_error(values: NDArray[np.float64], group: NDArray[np.str_]) -> float:
    """Of a mean over pairs that are alike within their groups (cluster-robust)."""
    _, member = np.unique(group, return_inverse=True)
    sums = np.bincount(member, values - values.mean())
    if len(sums) < 2:
        return float("inf")
    return float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values))


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
