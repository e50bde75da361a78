"""`evaluate`: any Scorer on any preference data, to a Report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.data import Tally, pairs_of, read
from plaudit.data.reading import Reading
from plaudit.errors import DataError
from plaudit.evaluation.benchmarks import BENCHMARKS, Scored
from plaudit.evaluation.metrics import METRICS, Judged, judged, measure
from plaudit.evaluation.probes import probe_section
from plaudit.evaluation.report import Mistake, Report, Section
from plaudit.statistics.agreement import majority_agreement, pairwise_agreement
from plaudit.statistics.calibration import (
    calibration_error,
    expected_error,
    reliability,
    temperature,
)
from plaudit.statistics.intervals import Interval, cluster_bootstrap, smallest_difference
from plaudit.types import Conversation, Pair, Scorer, Slate

__all__ = ["evaluate", "held_out_sections", "score_all", "worst_mistakes"]

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]
CHUNK = 512
MAX_SLICES = 24
FEW = 30  # fewer groups than this give no interval worth printing


def evaluate(
    scorer: Scorer,
    data: str | Reading | Iterable[Slate],
    *,
    against: Scorer | None = None,
    slices: Sequence[str] = (),
    probes: bool = False,
    name: str = "",
    progress: Progress | None = None,
) -> Report:
    """Measure a Scorer on preference data.

    Args:
        scorer: any Scorer.
        data: DATA as `read` takes it, a Reading, or slates.
        against: a second Scorer; the Report then holds the paired difference.
        slices: columns to report by; those with few values are taken when none is named.
        probes: also score twisted responses (empty, repeated, flattering, …).
        name: what to call the model in the Report.
        progress: called with (conversations done, all).

    Raises DataError when no row can be used.
    """
    reading: Any = read(data) if isinstance(data, str) else data
    slates = list(reading)
    tally = Tally()
    pairs = pairs_of(slates, tally)
    if not pairs:
        raise DataError(f"no usable comparison: {tally.dropped or 'no rows could be read'}")
    format_name = getattr(reading, "format", "slates")
    report = Report(
        f"Evaluation of {name or type(scorer).__name__}",
        {
            "data": f"{getattr(reading, 'data', 'given')} ({format_name}), {len(slates):,} rows",
            "pairs": f"{len(pairs):,} over {len({p.group for p in pairs}):,} prompts",
            "ties": "equal scores count half; tied labels are left out of accuracy",
        },
        dropped=dict(tally.dropped),
    )
    if getattr(reading, "bad", 0):
        report.dropped["unreadable"] = reading.bad
    table = score_all(scorer, _conversations(slates), progress)
    usable = [pair for pair in pairs if not {pair.a.id, pair.b.id} & table.problems.keys()]
    if len(usable) < len(pairs):
        report.dropped["not scored"] = len(pairs) - len(usable)
        example = next(iter(table.problems.values()))
        report.warnings.append(f"{len(table.problems)} responses cannot be scored: {example}")
    if not usable:
        raise DataError(f"no response could be scored: {next(iter(table.problems.values()))}")
    values = judged(usable, table.margins(usable))
    report.judged = values
    report.score_length = table.score_length()
    held_out_sections(report, values, usable)
    report.sections += _slices(values, usable, slices)
    if format_name in BENCHMARKS:
        scored = [
            Scored(slate, table.of(slate)) for slate in slates if np.isfinite(table.of(slate)).all()
        ]
        report.sections.append(BENCHMARKS[format_name](scored))
    report.mistakes = worst_mistakes(values, usable)
    if against is not None:
        _compare(report, values, usable, score_all(against, _conversations(slates), progress))
    if probes:
        report.sections.append(probe_section(scorer, usable))
    return report


class ScoreTable:
    """Scores by conversation id, and the reasons of those that have none."""

    def __init__(self) -> None:
        self.mean: dict[str, float] = {}
        self.length: dict[str, int] = {}
        self.problems: dict[str, str] = {}

    def margins(self, pairs: Sequence[Pair]) -> Floats:
        return np.array([self.mean[pair.a.id] - self.mean[pair.b.id] for pair in pairs])

    def of(self, slate: Slate) -> Floats:
        ids = [slate.conversation(index).id for index in range(len(slate.responses))]
        return np.array([self.mean.get(each, np.nan) for each in ids])

    def score_length(self) -> tuple[Floats, Floats]:
        ids = list(self.mean)
        return (
            np.array([self.length[i] for i in ids], dtype=np.float64),
            np.array([self.mean[i] for i in ids]),
        )


def score_all(
    scorer: Scorer, conversations: Sequence[Conversation], progress: Progress | None = None
) -> ScoreTable:
    """Score distinct conversations, a chunk at a time so that progress can be shown."""
    table = ScoreTable()
    for start in range(0, len(conversations), CHUNK):
        chunk = conversations[start : start + CHUNK]
        scores = scorer.score(chunk)
        for index, conversation in enumerate(chunk):
            if index in scores.problems:
                table.problems[conversation.id] = scores.problems[index]
            else:
                table.mean[conversation.id] = float(scores.mean[index])
                table.length[conversation.id] = len(conversation.messages[-1].text)
        if progress is not None:
            progress(min(start + CHUNK, len(conversations)), len(conversations))
    return table


def _conversations(slates: Sequence[Slate]) -> list[Conversation]:
    found: dict[str, Conversation] = {}
    for slate in slates:
        for index in range(len(slate.responses)):
            conversation = slate.conversation(index)
            found.setdefault(conversation.id, conversation)
    return list(found.values())


def held_out_sections(report: Report, values: Judged, pairs: Sequence[Pair]) -> None:
    """Fill a Report with the metrics, calibration and agreement of judged pairs."""
    report.numbers |= {name: measure(values, name) for name in METRICS}
    lines: list[Any] = [(n, report.numbers[n], METRICS[n].meaning) for n in METRICS]
    report.sections.append(Section("Metric", lines))
    report.sections.append(_calibration(report, values))
    tied = float(np.mean(values.margin == 0))
    if tied > 0.01:
        report.warnings.append(f"{tied:.1%} of the pairs have equal scores")
    if len(np.unique(values.group)) < FEW:
        report.warnings.append(f"fewer than {FEW} prompts: the intervals are too narrow")
    votes = np.array([pair.votes for pair in pairs if pair.votes is not None])
    if len(votes):
        report.sections.append(_ceiling(votes))


def _calibration(report: Report, values: Judged) -> Section:
    table = reliability(values.margin, values.p)
    error, bias = calibration_error(table), expected_error(values.margin)
    fitted = temperature(values.margin, values.p, values.weight)
    report.numbers |= {"ECE": error, "temperature": fitted}
    deciles = np.percentile(values.margin * np.sign(values.p - 0.5 + 1e-9), [10, 50, 90])
    lines: list[Any] = [
        ("ECE", error, f"equal-mass bins; {bias:.3f} is expected of a calibrated model here"),
        ("temperature", fitted, "1 is calibrated; above 1 the scores are over-confident"),
        ("margin p10", float(deciles[0]), "score of the better response minus the other's"),
        ("margin median", float(deciles[1]), ""),
        ("margin p90", float(deciles[2]), ""),
        ("equal scores", float(np.mean(values.margin == 0)), "share of the pairs"),
    ]
    return Section("Calibration", lines)


def _ceiling(votes: Floats) -> Section:
    lines: list[Any] = [
        ("two votes agree", pairwise_agreement(votes), "over pairs with two votes or more"),
        ("a vote and the others' majority", majority_agreement(votes), "ties count half"),
    ]
    return Section("Agreement of people", lines, f"{len(votes):,} pairs carry votes.")


def _slices(values: Judged, pairs: Sequence[Pair], wanted: Sequence[str]) -> list[Section]:
    columns = list(wanted) or _few_valued(pairs)
    sections = []
    for column in columns:
        labels = np.array([str(pair.columns.get(column, "–")) for pair in pairs])
        if set(labels) == {"–"}:
            known = sorted({name for pair in pairs for name in pair.columns})
            raise DataError(f"no column {column!r} to slice by; columns: {', '.join(known)}")
        names = [name for name, _ in Counter(labels.tolist()).most_common(MAX_SLICES)]
        lines: list[Any] = []
        for name in names:
            part = values.at(labels == name)
            longer = measure(part, "longer wins")
            note = f"log-loss {measure(part, 'log-loss').value:.3f}, longer {longer.value:.3f}"
            lines.append((name[:40], measure(part, "accuracy"), note))
        more = len(set(labels.tolist())) - len(names)
        note = f"{more} more values are not shown." if more else ""
        sections.append(Section(f"Accuracy by {column}", lines, note))
    return sections


def _few_valued(pairs: Sequence[Pair]) -> list[str]:
    """Text columns with 2 to 24 values, each seen 10 times on average: worth a table."""
    found: dict[str, set[str]] = {}
    for pair in pairs:
        for name, value in pair.columns.items():
            if isinstance(value, str):
                found.setdefault(name, set()).add(value)
    few = [n for n, v in found.items() if 2 <= len(v) <= MAX_SLICES and len(pairs) >= 10 * len(v)]
    return sorted(few)[:3]


def _compare(report: Report, values: Judged, pairs: Sequence[Pair], other: ScoreTable) -> None:
    """The paired difference on the same pairs, and what this n could have found."""
    both = np.array([not {p.a.id, p.b.id} & other.problems.keys() for p in pairs])
    kept = [pair for pair, fine in zip(pairs, both, strict=True) if fine]
    mine, theirs = values.at(both), judged(kept, other.margins(kept))
    lines: list[Any] = []
    for name in ("accuracy", "log-loss", "Brier", "length-matched accuracy"):
        a, b = METRICS[name].values(mine), METRICS[name].values(theirs)
        fine = np.isfinite(a) & np.isfinite(b)
        interval = cluster_bootstrap((a - b)[fine], mine.group[fine], mine.weight[fine])
        base = cluster_bootstrap(b[fine], mine.group[fine], mine.weight[fine]).value
        found = smallest_difference(interval)
        lines.append((name, interval, f"other {base:.3f}; this n finds {found:.3f} or more"))
        report.numbers[f"{name} difference"] = interval
    verdict = _verdict(report.numbers["accuracy difference"])
    report.sections.append(Section("This model minus the other", lines, verdict))


def _verdict(difference: Any) -> str:
    assert isinstance(difference, Interval)
    if difference.low > 0:
        return "This model is more accurate: the interval is above 0."
    if difference.high < 0:
        return "The other model is more accurate: the interval is below 0."
    return "The two cannot be told apart by accuracy: the interval holds 0."


def worst_mistakes(values: Judged, pairs: Sequence[Pair], count: int = 12) -> list[Mistake]:
    """The most confident errors, worst first, at most one a prompt."""
    wrong_by = -values.margin * np.sign(values.p - 0.5)
    found: dict[str, Mistake] = {}
    for index in np.argsort(-wrong_by, kind="stable"):
        if wrong_by[index] <= 0 or len(found) == count:
            break
        pair = pairs[index]
        better, worse = (pair.a, pair.b) if pair.p > 0.5 else (pair.b, pair.a)
        prompt = "\n\n".join(f"{t.role}: {t.text}" for t in pair.a.messages[:-1])
        found.setdefault(
            pair.group,
            Mistake(
                prompt,
                better.messages[-1].text,
                worse.messages[-1].text,
                float(wrong_by[index]),
                str(pair.source),
            ),
        )
    return list(found.values())
