"""What the numbers can carry, in sentences that obey their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plaudit.data.bag_of_words import NOTHING_BEYOND_WORDS
from plaudit.evaluation.metrics import METRICS, Judged, mean, measure
from plaudit.statistics.bradley_terry import log_loss
from plaudit.statistics.intervals import Interval, smallest_difference

FEW = 10  # prompts under which an interval would only pretend
MOST = 1_000_000  # more pairs than this are no advice


def over_baselines(data: Judged) -> dict[str, Interval]:
    """The paired difference of accuracy to each baseline that could be measured."""
    own = METRICS["accuracy"].values(data)
    found = {
        name: mean(own - METRICS[name].values(data), data)
        for name in ("length baseline", "bag of words")
    }
    return {name: interval for name, interval in found.items() if interval.n}


def verdict(data: Judged) -> str:
    """Whether the model beats length and words on these pairs, or that it can't be told."""
    accuracy = measure(data, "accuracy")
    if accuracy.groups < FEW:
        return (
            f"Can't tell whether the model is any good: {accuracy.n:,} pairs over "
            f"{accuracy.groups:,} prompts, and at least {FEW} prompts are needed."
        )
    differences = over_baselines(data)
    beaten = [name for name, d in differences.items() if d.low > 0]
    lost = [name for name, d in differences.items() if d.high < 0 or d.low == d.high == 0]
    open_ = [name for name in differences if name not in beaten + lost]
    if lost:
        head = f"Does not beat {_named(lost, ' or ')}"
        head += f": {NOTHING_BEYOND_WORDS}" if "bag of words" in lost else ""
    elif open_:
        head = f"Can't tell whether the model beats {_named(open_, ' or ')}"
        head += max((_advice(differences[name]) for name in open_), key=len)
    else:
        head = f"Beats {_named(beaten)}"
    parts = [f"{_signed(d)} against {_named([name])}" for name, d in differences.items()]
    if "bag of words" not in differences:
        parts.append("bag of words not fitted")
    return f"{head}. Accuracy {accuracy.value:.3f}: {'; '.join(parts)}."


def comparison(difference: Interval) -> str:
    """Which of two models is more accurate, from the paired difference."""
    if difference.groups >= FEW and difference.low > 0:
        return f"This model is more accurate than the other: {_signed(difference)}."
    if difference.groups >= FEW and difference.high < 0:
        return f"This model is less accurate than the other: {_signed(difference)}."
    return f"Can't tell which is more accurate: {_signed(difference)}{_advice(difference)}."


def learning_curve(points: Sequence[tuple[int, Judged]]) -> str:
    """What the last doubling of the training pairs did to held-out log-loss.

    Args:
        points: training pairs, and the same held-out pairs as judged by that fit, rising.
    """
    if len(points) < 2:
        return ""
    (_, before), (_, after) = points[-2:]
    change = mean(log_loss(after.margin, after.p) - log_loss(before.margin, before.p), after)
    if change.groups >= FEW and change.high < 0:
        return (
            f"The last doubling lowered log-loss: {_signed(change)}; twice the labels may lower it "
            f"by about {-0.7 * change.value:.3f} more."
        )
    if change.groups >= FEW and change.low > 0:
        return f"The last doubling raised log-loss: {_signed(change)}; look for contradicting rows."
    return (
        f"Can't tell with {change.n:,} held-out pairs whether the last doubling helped: log-loss "
        f"{_signed(change)}{_advice(change)}."
    )


def _named(baselines: Sequence[str], between: str = " and ") -> str:
    return between.join(name.replace("length", "the length") for name in baselines)


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _advice(interval: Interval) -> str:
    """About how many pairs would tell this difference from 0, to two digits, where few enough."""
    if not interval.value or not np.isfinite(interval.low) or interval.groups < FEW:
        return ""
    need = interval.n * (smallest_difference(interval) / interval.value) ** 2
    if need > MOST:
        return ""
    digits = 10 ** max(0, len(str(int(need))) - 2)
    return f"; about {int(np.ceil(max(need, interval.n + 1) / digits) * digits):,} pairs would"
