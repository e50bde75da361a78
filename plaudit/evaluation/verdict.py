"""What the numbers can carry, in sentences that obey their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from plaudit.data.bag_of_words import NOTHING_BEYOND_WORDS
from plaudit.evaluation.metrics import METRICS, Judged, mean, measure
from plaudit.evaluation.results import TOO_FEW
from plaudit.statistics.bradley_terry import log_loss
from plaudit.statistics.intervals import Interval, smallest_difference

MOST = 1_000_000  # more pairs than this are no advice
WORTH_KNOWING = 0.02  # a change of log-loss that a learning curve should be able to show


def over_baselines(data: Judged) -> dict[str, Interval]:
    """The paired difference of accuracy to each baseline that could be measured."""
    own = METRICS["accuracy"].values(data)
    baselines = {"length baseline": "length baseline", "bag of words": "bag of words accuracy"}
    found = {
        name: mean(own - METRICS[metric].values(data), data) for name, metric in baselines.items()
    }
    return {name: interval for name, interval in found.items() if interval.n}


def verdict(data: Judged) -> str:
    """Whether the model beats length and words on these pairs, or that it can't be told."""
    accuracy = measure(data, "accuracy")
    if accuracy.groups < TOO_FEW:
        return (
            f"Can't tell whether the model is any good: {accuracy.n:,} pairs over "
            f"{accuracy.groups:,} prompts, and at least {TOO_FEW} prompts are needed."
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
    if difference.groups >= TOO_FEW and difference.low > 0:
        return f"This model is more accurate than the other: {_signed(difference)}."
    if difference.groups >= TOO_FEW and difference.high < 0:
        return f"This model is less accurate than the other: {_signed(difference)}."
    return f"Can't tell which is more accurate: {_signed(difference)}{_advice(difference)}."


def learning_curve(points: Sequence[Judged]) -> str:
    """What the last doubling of the training pairs did to held-out log-loss.

    Args:
        points: the same held-out pairs as judged by fits on ever more training pairs.
    """
    if len(points) < 2:
        return ""
    before, after = points[-2:]
    loss = log_loss(before.margin, before.p) - log_loss(after.margin, after.p)
    return more_labels(mean(loss, after))


def more_labels(gain: Interval) -> str:
    """What the last doubling of the labels gained, as far as its interval can tell."""
    change = gain._replace(value=-gain.value, low=-gain.high, high=-gain.low)
    said = f"The last doubling of the training pairs changed log-loss by {_signed(change)}"
    if gain.groups >= TOO_FEW and gain.low > 0:
        return f"{said}; another may lower it by about {0.7 * gain.value:.3f} more."
    if gain.groups >= TOO_FEW and gain.high < 0:
        return f"{said}: more of the same labels did not help."
    needed = gain.n * (smallest_difference(gain) / WORTH_KNOWING) ** 2
    if gain.groups >= TOO_FEW and needed <= gain.n:
        return f"{said}: more of the same labels would bring little."
    return (
        f"{said}. Whether more labels would help can't be told with {gain.n:,} held-out pairs; "
        f"about {_rounded(max(needed, gain.n)):,} would show a change of {WORTH_KNOWING}."
    )


def _named(baselines: Sequence[str], between: str = " and ") -> str:
    return between.join(name.replace("length", "the length") for name in baselines)


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _advice(interval: Interval) -> str:
    """About how many pairs would tell this difference from 0, to two digits, where few enough."""
    if not interval.value or not np.isfinite(interval.low) or interval.groups < TOO_FEW:
        return ""
    need = interval.n * (smallest_difference(interval) / interval.value) ** 2
    if need > MOST:
        return ""
    return f"; about {_rounded(need):,} pairs would tell"


def _rounded(count: float) -> int:
    """Two digits: an estimate of how many is no more exact."""
    return int(float(f"{count:.1e}"))
