"""The Report of a run: held-out numbers beside the baselines, the learning curve, the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.config import TrainConfig
from plaudit.data.bag_of_words import RIDGES, BagOfWords, _fit
from plaudit.data.split import folds
from plaudit.evaluation.evaluation import held_out_sections, worst_mistakes
from plaudit.evaluation.metrics import METRICS, Judged, judged, measure
from plaudit.evaluation.report import Curve, Report, Section
from plaudit.model.precision import Precision
from plaudit.statistics.bradley_terry import log_loss
from plaudit.statistics.intervals import Interval, cluster_bootstrap, smallest_difference
from plaudit.training.dataset import Integers, TokenizedPairs, TrainingData
from plaudit.training.frozen.features import Features
from plaudit.training.frozen.head import PRIOR_STDS, Selection, weights
from plaudit.training.frozen.layer_search import LayerSearch, shuffled
from plaudit.types import Pair

Floats = NDArray[np.float64]
SHARES = (8, 4, 2, 1)  # of the training pairs: an eighth, a quarter, half, all
FEWEST = 10  # pairs that a point of the learning curve is fitted on
WORTH_KNOWING = 0.02  # a change of log-loss that a learning curve should be able to show


class HeldOut(NamedTuple):
    """What heads say of M pairs whose prompts they were not fitted on.

    `margins` [S, M] by heads fitted on growing shares of the training pairs, the last on all,
    `sizes` how many those are;
    `words` [M] by the bag-of-words baseline; `scores` [2 M] of the responses, from 0 at the mean.
    """

    pairs: list[Pair]
    sizes: list[int]
    margins: Floats
    words: Floats
    scores: Floats


def measure_held_out(
    tokens: TokenizedPairs, features: Features, selections: Sequence[Selection]
) -> HeldOut:
    """Fit on each round's training pairs, as selected on them, and score its held-out ones."""
    parts, sizes = [], []
    least = min(len(one.train) for one in tokens.rounds)
    shares = [share for share in SHARES if share == 1 or least // share >= FEWEST]
    for (train, test), selection in zip(tokens.rounds, selections, strict=True):
        values = features.layer(selection.layer)
        x_test = tokens.differences(values, test)
        order = train[shuffled([tokens.pairs[i].group for i in train])]
        kept = [np.sort(order[: len(order) // share]) for share in shares]
        heads = [
            weights(tokens.differences(values, part), tokens.labels(part), selection)
            for part in kept
        ]
        both = values[tokens.side[test].ravel()] - values.mean(axis=0)
        words = bag_of_words([tokens.pairs[i] for i in train], [tokens.pairs[i] for i in test])
        margins = np.stack([x_test @ head for head in heads])
        parts.append((margins, words, both.astype(np.float64) @ heads[-1]))
        sizes.append([len(part) for part in kept])
    margins, words, scores = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    pairs = [tokens.pairs[i] for i in tokens.test]
    count = np.mean(sizes, axis=0).round().astype(int).tolist()
    return HeldOut(pairs, count, margins, words, scores)


def bag_of_words(train: Sequence[Pair], test: Sequence[Pair]) -> Floats:
    """[M] margins of held-out pairs by words alone, fitted on the training pairs."""
    words = BagOfWords()
    for pair in (*test, *train):
        words.add(pair)
    x, p = words._matrix(), np.array(words._p)
    known, fold = np.arange(len(p)) >= len(test), folds(words._group, 5)
    losses = []
    for ridge in RIDGES:  # chosen on the training pairs alone
        parts = [(known & (fold != k), known & (fold == k)) for k in range(5)]
        fitted = [(x[there] @ _fit(x[here], p[here], ridge), p[there]) for here, there in parts]
        losses.append(sum(log_loss(margin, label).sum() for margin, label in fitted))
    ridge = RIDGES[int(np.argmin(losses))]
    margins: Floats = x[: len(test)] @ _fit(x[known], p[known], ridge)
    return margins


def held_out_report(
    data: TrainingData,
    tokens: TokenizedPairs,
    features: Features,
    selection: Selection,
    of_rounds: Sequence[Selection],
) -> Report:
    """Held-out numbers of heads fitted on other prompts alone, as selected in each round."""
    found = measure_held_out(tokens, features, of_rounds)
    report = Report("Trained on a frozen backbone", {}, dropped=dict(data.tally.dropped))
    report.warnings += data.warnings
    if any(pair.strength is not None for pair in tokens.pairs):
        report.warnings.append(
            "strength (margin) is in the data, but the ranking loss does not use it"
        )
    warning = selection.scale_warning(tokens.labels(tokens.train))
    report.warnings += [warning] if warning else []
    curve = [judged(found.pairs, margins) for margins in found.margins]
    report.judged = curve[-1]
    report.sections.append(baselines(report, curve[-1], judged(found.pairs, found.words)))
    held_out_sections(report, curve[-1], found.pairs)
    report.mistakes = worst_mistakes(curve[-1], found.pairs)
    lengths = [len(c.messages[-1].text) for pair in found.pairs for c in (pair.a, pair.b)]
    report.score_length = np.array(lengths, dtype=np.float64), found.scores
    report.sections.append(_learning_curve(found.sizes, curve, report))
    report.sections.append(_layer_section(selection, [one.layer for one in of_rounds]))
    return report


def baselines(report: Report, model: Judged, words: Judged) -> Section:
    """The model beside words alone and length, on the same pairs, and whether it beats words."""
    accuracy, loss = (measure(words, name) for name in ("accuracy", "log-loss"))
    report.numbers |= {"bag of words accuracy": accuracy, "bag of words log-loss": loss}
    gain = _difference(model, words, "accuracy")
    fall = _difference(model, words, "log-loss")
    lines: list[Any] = [
        ("accuracy, this model", measure(model, "accuracy"), ""),
        ("accuracy, words alone", accuracy, "a bag of words, fitted on the same training pairs"),
        ("accuracy, the longer response", measure(model, "longer wins"), ""),
        ("model minus words", gain, f"smallest detectable: {smallest_difference(gain):.3f}"),
        ("log-loss, this model", measure(model, "log-loss"), ""),
        ("log-loss, words alone", loss, ""),
        ("model minus words", fall, f"smallest detectable: {smallest_difference(fall):.3f}"),
    ]
    if gain.low > 0:
        note = "The model is more accurate than words alone on these pairs."
    elif gain.high < 0:
        note = "Words alone are more accurate: the model has learned nothing beyond words."
    else:
        note = (
            "By accuracy the model cannot be told from words alone on these pairs; a model that "
            "does not beat them has learned nothing beyond words."
        )
    return Section("Baselines on the same held-out pairs", lines, note)


def _difference(one: Judged, other: Judged, metric: str) -> Interval:
    """The paired difference of a metric, with its interval by prompt."""
    values = METRICS[metric].values(one) - METRICS[metric].values(other)
    known = np.isfinite(values)
    return cluster_bootstrap(values[known], one.group[known], one.weight[known])


def _learning_curve(sizes: list[int], curve: list[Judged], report: Report) -> Section:
    accuracy = [measure(values, "accuracy") for values in curve]
    losses = [measure(values, "log-loss") for values in curve]
    report.curves.append(Curve("More labels", "training pairs", "held-out log-loss", sizes, losses))
    lines: list[Any] = [
        (f"{n:,} pairs", value, f"log-loss {loss.value:.3f}")
        for n, value, loss in zip(sizes, accuracy, losses, strict=True)
    ]
    note = _more_labels(_difference(curve[-2], curve[-1], "log-loss")) if len(curve) > 1 else ""
    return Section("Held-out accuracy by training pairs", lines, note)


def _more_labels(gain: Interval) -> str:
    """What the last doubling of the labels gave, as far as its interval can tell."""
    said = (
        f"The last doubling of the training pairs changed log-loss by {-gain.value:+.3f} "
        f"[{-gain.high:+.3f}, {-gain.low:+.3f}]"
    )
    if gain.low > 0:
        return f"{said}; another may lower it by about {0.7 * gain.value:.3f} more."
    if gain.high < 0:
        return f"{said}: more of the same labels did not help."
    needed = gain.n * (smallest_difference(gain) / WORTH_KNOWING) ** 2
    if needed <= gain.n:
        return f"{said}: more of the same labels would bring little."
    return (
        f"{said}. Whether more labels would help cannot be told with {gain.n:,} held-out pairs; "
        f"about {_rounded(needed):,} would show a change of {WORTH_KNOWING}."
    )


def _rounded(count: float) -> int:
    """Two digits: an estimate of how many is no more exact."""
    return int(float(f"{count:.1e}"))


def _layer_section(selection: Selection, chosen: list[int]) -> Section:
    lines: list[Any] = [
        (f"layer {r.layer}", r.loss, "chosen" if r.layer == selection.layer else "")
        for r in selection.results
    ]
    low, high = PRIOR_STDS[0], PRIOR_STDS[-1]
    note = f"Prior std of a margin: {selection.prior_std:.2f}, of {low:.2f} to {high:.2f} tried."
    if len(chosen) > 1:
        note += f" On the folds' own training pairs: layers {', '.join(map(str, chosen))}."
    return Section("Cross-validated log-loss by layer (training pairs)", lines, note)


def run_facts(
    tokens: TokenizedPairs,
    search: LayerSearch,
    selection: Selection,
    used: Integers,
    precision: Precision,
    config: TrainConfig,
    seconds: float,
) -> dict[str, str]:
    """What the head of the Report says: base, counts, which head is saved, precision, time."""
    test = tokens.test
    prompts = len({tokens.pairs[i].group for i in test})
    held_out = f"{len(test):,} pairs ({len(test) / len(tokens.pairs):.0%}) over {prompts:,} prompts"
    saved = "the very head measured below"
    if len(tokens.rounds) > 1:
        held_out = (
            f"{len(tokens.rounds)}-fold cross-validation, {len(test):,} pairs over {prompts:,} "
            "prompts: layer, ridge and head of a fold never see its prompts"
        )
        saved = f"fitted on all {len(used):,} pairs; metrics below: the folds' heads"
    elif len(used) > len(tokens.train):
        saved = f"refitted on all {len(used):,} pairs; metrics below: the head fitted without them"
    return {
        "base": f"{config.base}, its first {selection.layer} layers",
        "trained on": f"{len(used):,} pairs",
        "held out": held_out,
        "saved head": saved,
        "calibration": f"scores divided by {selection.temperature:.2f}, fitted out of fold",
        "pass": f"{precision.dtype}; layer compute saved: {search.saved_share:.0%}".replace(
            "torch.", ""
        ),
        "took": f"{seconds:.0f} s",
    }
