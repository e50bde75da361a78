"""The sections of a Report that judged pairs fill, whoever judged them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from plaudit.data.bag_of_words import FEW_PAIRS, FEW_PROMPTS
from plaudit.errors import DataError
from plaudit.evaluation.metrics import METRICS, Floats, Judged, credit, mean, measure
from plaudit.evaluation.results import Line, Mistake, Results, Section
from plaudit.evaluation.verdict import over_baselines, verdict
from plaudit.statistics.agreement import majority_agreement, pairwise_agreement
from plaudit.statistics.calibration import (
    BOUNDS,
    calibration_error,
    expected_error,
    reliability,
    temperature,
)
from plaudit.types import Pair

MAX_SLICES = 24
FEW = 30  # fewer groups than this give no interval worth printing


def held_out_sections(report: Results, values: Judged, pairs: Sequence[Pair]) -> None:
    """Fill a Report with the verdict, metrics, calibration and agreement of judged pairs."""
    report.judged = values
    report.verdict = verdict(values)
    report.sections.append(metric_section(report, values))
    report.sections.append(_calibration(report, values))
    for name, interval in over_baselines(values).items():
        report.numbers[f"accuracy minus {name}"] = interval
    tied = float(np.mean(values.margin == 0))
    if tied > 0.01:
        report.warnings.append(f"{tied:.1%} of the pairs have equal scores")
    if len(np.unique(values.group)) < FEW:
        report.warnings.append(f"fewer than {FEW} prompts: the intervals are too narrow")
    votes = np.array([pair.votes for pair in pairs if pair.votes is not None])
    if len(votes):
        report.sections.append(_ceiling(votes))


def metric_section(report: Results, values: Judged) -> Section:
    """Every metric that applies to some pair; the numbers go into the Report too."""
    found = {name: measure(values, name) for name in METRICS}
    found = {name: interval for name, interval in found.items() if interval.n}
    report.numbers |= found
    note = ""
    if "bag of words accuracy" not in found:
        note = f"Bag of words not fitted: it takes {FEW_PAIRS} pairs over {FEW_PROMPTS} prompts."
    lines: list[Line] = [(name, v, METRICS[name].meaning) for name, v in found.items()]
    return Section("Metric", lines, note)


def _calibration(report: Results, values: Judged) -> Section:
    table = reliability(values.margin, values.p)
    error, bias = calibration_error(table), expected_error(values.margin)
    fitted = temperature(values.margin, values.p, values.weight)
    report.numbers |= {"ECE": error, "over-confidence": fitted}
    if not 2 * BOUNDS[0] < fitted < BOUNDS[1] / 2:
        report.warnings.append(
            f"over-confidence {fitted:.3g} is at its bound: the scores tell the labels apart "
            "without a mistake, or not at all, so their scale means nothing here"
        )
    deciles = np.percentile(values.margin * np.sign(values.p - 0.5 + 1e-9), [10, 50, 90])
    lines: list[Line] = [
        ("ECE", error, f"equal-mass bins; {bias:.3f} is expected of a calibrated model here"),
        ("over-confidence", fitted, "divide the scores by this: 1 is calibrated, above 1 too sure"),
        ("margin p10", float(deciles[0]), "score of the better response minus the other's"),
        ("margin median", float(deciles[1]), ""),
        ("margin p90", float(deciles[2]), ""),
        ("equal scores", float(np.mean(values.margin == 0)), "share of the pairs"),
    ]
    return Section("Calibration", lines)


def _ceiling(votes: Floats) -> Section:
    lines: list[Line] = [
        ("two votes agree", pairwise_agreement(votes), "over pairs with two votes or more"),
        ("a vote and the others' majority", majority_agreement(votes), "ties count half"),
    ]
    return Section("Agreement of people", lines, f"{len(votes):,} pairs carry votes.")


def slice_sections(values: Judged, pairs: Sequence[Pair], wanted: Sequence[str]) -> list[Section]:
    """Accuracy by the values of columns; of those with few values when none is wanted."""
    sections = []
    for column in list(wanted) or _few_valued(pairs):
        labels = np.array([str(pair.columns.get(column, "–")) for pair in pairs])
        names = [name for name, _ in Counter(labels.tolist()).most_common(MAX_SLICES)]
        lines: list[Line] = []
        for name in names:
            part = values.at(labels == name)
            longer = mean(credit(part.log_length_ratio, part.p), part).value
            note = f"log-loss {measure(part, 'log-loss').value:.3f}, longer is better {longer:.3f}"
            lines.append((name[:40], measure(part, "accuracy"), note))
        more = len(set(labels.tolist())) - len(names)
        note = f"{more} more values are not shown." if more else ""
        sections.append(Section(f"Accuracy by {column}", lines, note, reference=0.5))
    return sections


def refuse_unknown_slices(pairs: Sequence[Pair], wanted: Sequence[str]) -> None:
    """Raise DataError where a column to slice by is not there, before anything is scored."""
    known = {name for pair in pairs for name in pair.columns}
    for column in wanted:
        if column not in known:
            names = ", ".join(sorted(known)) or "none"
            raise DataError(f"no column {column!r} to slice by; columns: {names}")


def _few_valued(pairs: Sequence[Pair]) -> list[str]:
    """Text columns with 2 to 24 values, each seen 10 times on average: worth a table."""
    found: dict[str, set[str]] = {}
    for pair in pairs:
        for name, value in pair.columns.items():
            if isinstance(value, str):
                found.setdefault(name, set()).add(value)
    few = [n for n, v in found.items() if 2 <= len(v) <= MAX_SLICES and len(pairs) >= 10 * len(v)]
    return sorted(few)[:3]


def worst_mistakes(values: Judged, pairs: Sequence[Pair], count: int = 12) -> list[Mistake]:
    """The most confident errors, worst first, at most one a prompt."""
    wrong_by = -values.margin * np.sign(values.p - 0.5)
    found: dict[str, Mistake] = {}
    for index in np.argsort(-wrong_by, kind="stable"):
        if not wrong_by[index] > 0 or len(found) == count:
            break
        pair = pairs[index]
        better, worse = (pair.a, pair.b) if pair.p > 0.5 else (pair.b, pair.a)
        prompt = "\n\n".join(f"{m.role}: {m.text}" for m in pair.a.messages[:-1])
        texts = (better.messages[-1].text, worse.messages[-1].text)
        mistake = Mistake(prompt, *texts, float(wrong_by[index]), str(pair.source))
        found.setdefault(pair.group, mistake)
    return list(found.values())
