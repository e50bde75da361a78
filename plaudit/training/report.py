"""The Report of a run: held-out numbers beside the baselines, the learning curve, the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.config import TrainConfig
from plaudit.data.bag_of_words import BagOfWords
from plaudit.evaluation.metrics import Judged, judged, measure
from plaudit.evaluation.report import Curve, Report, Section
from plaudit.evaluation.sections import held_out_sections, worst_mistakes
from plaudit.evaluation.verdict import learning_curve
from plaudit.model.precision import Precision
from plaudit.training.dataset import Integers, TokenizedPairs, TrainingData
from plaudit.training.frozen.features import Features
from plaudit.training.frozen.head import PRIOR_STDS, Selection, weights
from plaudit.training.frozen.layer_search import LayerSearch, shuffled
from plaudit.types import Pair

Floats = NDArray[np.float64]
SHARES = (8, 4, 2, 1)  # of the training pairs: an eighth, a quarter, half, all
FEWEST = 10  # pairs that a point of the learning curve is fitted on


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
        margins = np.stack([x_test @ head for head in heads])
        parts.append((margins, _words(tokens, train, test), both.astype(np.float64) @ heads[-1]))
        sizes.append([len(part) for part in kept])
    margins, words, scores = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    pairs = [tokens.pairs[i] for i in tokens.test]
    count = np.mean(sizes, axis=0).round().astype(int).tolist()
    return HeldOut(pairs, count, margins, words, scores)


def _words(tokens: TokenizedPairs, train: Integers, test: Integers) -> Floats:
    """Margins of the bag-of-words baseline on held-out pairs; NaN where too few to fit it on."""
    fitted = BagOfWords([tokens.pairs[i] for i in train])
    margins = fitted.margins([tokens.pairs[i] for i in test])
    return np.full(len(test), np.nan) if margins is None else margins


def held_out_report(
    data: TrainingData,
    tokens: TokenizedPairs,
    features: Features,
    selection: Selection,
    of_rounds: Sequence[Selection],
) -> Report:
    """Held-out numbers of heads fitted on other prompts alone, as selected in each round."""
    found = measure_held_out(tokens, features, of_rounds)
    report = Report("", {}, dropped=dict(data.tally.dropped))
    report.warnings += data.warnings
    if any(pair.strength is not None for pair in tokens.pairs):
        report.warnings.append(
            "strength (margin) is in the data, but the ranking loss does not use it"
        )
    warning = selection.scale_warning(tokens.labels(tokens.train))
    report.warnings += [warning] if warning else []
    curve = [judged(found.pairs, margins, found.words) for margins in found.margins]
    held_out_sections(report, curve[-1], found.pairs)
    report.mistakes = worst_mistakes(curve[-1], found.pairs)
    lengths = [len(c.messages[-1].text) for pair in found.pairs for c in (pair.a, pair.b)]
    report.score_length = np.array(lengths, dtype=np.float64), found.scores
    report.sections.append(_learning_curve(found.sizes, curve, report))
    report.sections.append(_layer_section(selection, [one.layer for one in of_rounds], report))
    return report


def _learning_curve(sizes: list[int], curve: list[Judged], report: Report) -> Section:
    accuracy = [measure(values, "accuracy") for values in curve]
    losses = [measure(values, "log-loss") for values in curve]
    report.curves.append(Curve("More labels", "training pairs", "held-out log-loss", sizes, losses))
    lines: list[Any] = [
        (f"{n:,} pairs", value, f"log-loss {loss.value:.3f}")
        for n, value, loss in zip(sizes, accuracy, losses, strict=True)
    ]
    return Section("Held-out accuracy by training pairs", lines, learning_curve(curve))


def _layer_section(selection: Selection, chosen: list[int], report: Report) -> Section:
    layers, losses = [r.layer for r in selection.results], [r.loss for r in selection.results]
    label = "cross-validated log-loss"
    chosen_as = "chosen: lowest averaged with its neighbours" if len(layers) > 1 else "chosen"
    report.curves.append(Curve("Layers", "layer", label, layers, losses, doubling=False))
    lines: list[Any] = [
        (f"layer {r.layer}", r.loss, chosen_as if r.layer == selection.layer else "")
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
    saved = "the head measured below, unchanged"
    if len(tokens.rounds) > 1:
        saved = f"fitted on all {len(used):,} pairs; metrics below: the folds' heads"
    elif len(used) > len(tokens.train):
        saved = f"refitted on all {len(used):,} pairs; metrics below: the head fitted without them"
    return {
        "base": f"{config.base}, its first {selection.layer} layers",
        "trained on": f"{len(used):,} pairs",
        "held out": tokens.held_out,
        "saved head": saved,
        "calibration": f"scores divided by {selection.temperature:.2f}, fitted out of fold",
        "pass": f"{precision.dtype}; layer compute saved: {search.saved_share:.0%}".replace(
            "torch.", ""
        ),
        "took": f"{seconds:.0f} s",
    }
