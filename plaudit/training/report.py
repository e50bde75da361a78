"""The Report of a run: held-out numbers, the learning curve, the layers, the facts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.config import TrainConfig
from plaudit.evaluation.metrics import judged, measure
from plaudit.evaluation.report import Curve, Report, Section
from plaudit.evaluation.sections import held_out_sections, worst_mistakes
from plaudit.model.precision import Precision
from plaudit.training.dataset import CheckedData, Material
from plaudit.training.frozen.extraction import Extraction
from plaudit.training.frozen.features import Features
from plaudit.training.frozen.head import PRIOR_STDS, Choice, Head, fit

__all__ = ["held_out_report", "run_facts"]

Floats = NDArray[np.float64]


def held_out_report(
    checked: CheckedData, material: Material, features: Features, choice: Choice
) -> Report:
    """Held-out numbers of the head fitted on the training prompts alone."""
    values = features.layer(choice.layer)
    test_pairs = [material.pairs[i] for i in material.test]
    x_test = material.differences(values, material.test)
    dropped = dict(checked.tally.dropped)
    report = Report("Trained on a frozen backbone; held-out prompts", {}, dropped=dropped)
    report.warnings += checked.findings.warnings()
    if any(pair.strength is not None for pair in material.pairs):
        report.warnings.append(
            "strength (margin) is in the data, but the ranking loss does not use it"
        )
    points = []
    for index in _curve_parts(material):
        head = fit(
            material.differences(values, index),
            material.labels(index),
            choice.prior_std,
            choice.temperature,
        )
        points.append((len(index), judged(test_pairs, x_test @ head.weight)))
    final = points[-1][1]
    report.judged = final
    held_out_sections(report, final, test_pairs)
    report.mistakes = worst_mistakes(final, test_pairs)
    report.score_length = _score_length(material, values, head)
    report.sections.append(_curve_section(points, report))
    report.sections.append(_layer_section(choice))
    return report


def _score_length(
    material: Material, values: NDArray[np.float32], head: Head
) -> tuple[Floats, Floats]:
    """Characters and score of each held-out response."""
    responses = [(material.pairs[i].a, material.pairs[i].b) for i in material.test]
    lengths = [len(response.messages[-1].text) for pair in responses for response in pair]
    scores = values[material.side[material.test].ravel()].astype(np.float64) @ head.weight
    return np.array(lengths, dtype=np.float64), scores


def _curve_parts(material: Material) -> list[NDArray[np.int64]]:
    """An eighth, a quarter, half and all of the training pairs, by prompt."""
    order = material.shuffled()
    sizes = sorted({max(10, len(order) // share) for share in (8, 4, 2, 1)})
    return [np.sort(order[:size]) for size in sizes]


def _curve_section(points: list[tuple[int, Any]], report: Report) -> Section:
    accuracy = [(n, measure(values, "accuracy")) for n, values in points]
    losses = [(n, measure(values, "log-loss")) for n, values in points]
    report.curves.append(
        Curve(
            "More labels",
            "training pairs",
            "held-out log-loss",
            [n for n, _ in losses],
            [v for _, v in losses],
        )
    )
    lines: list[Any] = [
        (f"{n:,} pairs", value, f"log-loss {loss.value:.3f}")
        for (n, value), (_, loss) in zip(accuracy, losses, strict=True)
    ]
    note = ""
    if len(losses) > 1:
        gain = losses[-2][1].value - losses[-1][1].value
        note = f"The last doubling changed log-loss by {-gain:+.3f}; " + (
            f"twice the labels may lower it by about {0.7 * gain:.3f} more."
            if gain > 0.002
            else "more of the same labels would bring little."
        )
    return Section("Held-out accuracy by training pairs", lines, note)


def _layer_section(choice: Choice) -> Section:
    lines: list[Any] = [
        (f"layer {r.layer}", r.loss, "chosen" if r.layer == choice.layer else "")
        for r in choice.results
    ]
    note = (
        f"Prior margin std {choice.prior_std:.2f} of {PRIOR_STDS[0]:.2f} to {PRIOR_STDS[-1]:.2f}."
    )
    return Section("Cross-validated log-loss (training prompts)", lines, note)


def run_facts(
    material: Material,
    extraction: Extraction,
    used: NDArray[np.int64],
    precision: Precision,
    config: TrainConfig,
    seconds: float,
) -> dict[str, str]:
    """What the head of the Report says: base, counts, which head is saved, precision, time."""
    choice = extraction.choice
    count = len({material.pairs[i].group for i in material.test})
    everyone = len(used) > len(material.train)
    return {
        "base": f"{config.base}, cut at layer {choice.layer}",
        "trained on": f"{len(material.train):,} pairs",
        "held out": f"{len(material.test):,} pairs over {count:,} prompts, never chosen on",
        "saved head": (
            f"refitted on all {len(used):,} pairs; the numbers below are of the head before"
            if everyone
            else "the very head measured below"
        ),
        "temperature": f"{choice.temperature:.2f}, fitted out of fold and folded into the weights",
        "pass": f"{precision.dtype}; {extraction.saved_share:.0%} of all layers' work not done",
        "took": f"{seconds:.0f} s",
    }
