"""`evaluate`: any Scorer on any preference data, to a Report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plaudit.config import BAD_SHARE
from plaudit.data import Tally, pairs_of, read
from plaudit.data.bag_of_words import BagOfWords
from plaudit.data.reading import Reading
from plaudit.errors import DataError
from plaudit.evaluation.benchmarks import benchmark_section
from plaudit.evaluation.metrics import METRICS, Floats, Judged, judged, mean
from plaudit.evaluation.probes import ALWAYS, PROBES, probe_section
from plaudit.evaluation.report import Report, Section
from plaudit.evaluation.results import Line
from plaudit.evaluation.scoring import Progress, ScoreTable, score_all
from plaudit.evaluation.sections import (
    held_out_sections,
    metric_section,
    refuse_unknown_slices,
    slice_sections,
    worst_mistakes,
)
from plaudit.evaluation.verdict import comparison, verdict
from plaudit.statistics.intervals import smallest_difference
from plaudit.types import Pair, Scorer, Slate, is_empty, messages_id

Mask = NDArray[np.bool_]


def evaluate(
    scorer: Scorer,
    data: Any,
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
        data: DATA as `read` takes it, a Reading, or a list of Slates.
        against: a second Scorer; the Report then holds the paired difference.
        slices: columns to report by; those with few values are taken when none is named.
        probes: try every probe (repeated, flattering, …), not only the empty response.
        name: what to call the model in the Report.
        progress: called with (conversations done, all).

    Raises DataError when no row can be used, or more than a tenth cannot be read.
    """
    reading, slates = _opened(data)
    tally = Tally()
    pairs = _pairs(reading, slates, tally)
    refuse_unknown_slices(pairs, slices)
    table = score_all(scorer, slates, progress)
    usable = [pair for pair in pairs if table.knows(pair)]
    if not usable:
        raise DataError(f"no response could be scored: {next(iter(table.problems.values()))}")
    report = _report(name or type(scorer).__name__, reading, slates, usable)
    _count_lost(report, reading, tally, table, len(pairs) - len(usable))
    values = judged(usable, table.margins(usable), _words(usable))
    report.score_length = table.score_length()
    held_out_sections(report, values, usable)
    seen = _without_seen(report, "this model", scorer, values, usable, slates)
    report.sections += slice_sections(values, usable, slices)
    report.sections += benchmark_section(getattr(reading, "format", ""), slates, table)
    report.mistakes = worst_mistakes(values, usable)
    if against is not None:
        other = score_all(against, slates, progress)
        seen |= _known_prompts(report, "the other model", against, usable, slates)
        _compare(report, values, usable, other, seen)
    _warn_of_empty_winners(report, slates, table)
    section = probe_section(scorer, usable, PROBES if probes else ALWAYS)
    report.sections.append(section)
    winners = [name for name, _, note in section.lines if note]
    if winners:
        report.warnings.append(f"hacks that win too often: {', '.join(winners)}")
    return report


def _opened(data: Any) -> tuple[Any, list[Slate]]:
    """A Reading (or the slates themselves), and its slates."""
    given = list(data) if isinstance(data, (list, tuple)) else data
    if isinstance(given, list) and all(isinstance(one, Slate) for one in given):
        return given, given
    reading = data if isinstance(data, Reading) else read(data)
    slates = list(reading)
    reading.refuse_unread()
    return reading, slates


def _pairs(reading: Any, slates: Sequence[Slate], tally: Tally) -> list[Pair]:
    bad, rows = getattr(reading, "bad", 0), getattr(reading, "rows", len(slates))
    pairs = pairs_of(slates, tally)
    if bad > BAD_SHARE * rows or not pairs:
        places = "; ".join(str(problem) for problem in getattr(reading, "problems", [])[:3])
        if bad:
            raise DataError(f"{bad:,} of {rows:,} rows cannot be read: {places}")
        raise DataError(f"no usable comparison: {tally.dropped or 'no rows'}")
    return pairs


def _report(name: str, reading: Any, slates: Sequence[Slate], pairs: Sequence[Pair]) -> Report:
    data = getattr(reading, "data", "slates")
    facts = {
        "model": name,
        "data": f"{data} ({getattr(reading, 'format', 'given')}), {len(slates):,} rows",
        "pairs": f"{len(pairs):,} over {len({p.group for p in pairs}):,} prompts",
        "ties": "equal scores count half; tied labels are left out of accuracy",
    }
    return Report(f"{name} on {data}", facts)


def _count_lost(
    report: Report, reading: Any, tally: Tally, table: ScoreTable, not_scored: int
) -> None:
    """Name what was dropped or cut on the way."""
    report.dropped = dict(tally.dropped)
    if getattr(reading, "bad", 0):
        report.dropped["unreadable"] = reading.bad
        places = "; ".join(str(problem) for problem in reading.problems[:3])
        report.warnings.append(f"{reading.bad:,} rows cannot be read, for example: {places}")
    if not_scored:
        report.dropped["not scored"] = not_scored
        report.ok = not_scored <= BAD_SHARE * (tally.pairs or 1)
    for what, found in (("cannot be scored", table.problems), ("were cut to fit", table.notes)):
        if found:
            example = next(iter(found.values()))
            report.warnings.append(f"{len(found):,} responses {what}, for example: {example}")


def _words(pairs: Sequence[Pair]) -> Floats:
    """Margins of the bag-of-words baseline, each fitted on other prompts of these pairs."""
    margins = np.full(len(pairs), np.nan)
    found = BagOfWords(pairs).cross_fitted()
    if found is not None:
        margins[: len(found)] = found
    return margins


def _without_seen(
    report: Report,
    who: str,
    scorer: Scorer,
    values: Judged,
    pairs: Sequence[Pair],
    slates: Sequence[Slate],
) -> Mask:
    """Verdict and metrics of the pairs whose prompts the model was not trained on."""
    seen = _known_prompts(report, who, scorer, pairs, slates)
    if seen.all():
        report.verdict = (
            f"Can't tell: the model was trained on the prompts of all {len(pairs):,} pairs, so "
            "no number below is held out."
        )
    elif seen.any():
        rest = values.at(~seen)
        report.verdict = f"{verdict(rest)} This is on prompts that it was not trained on."
        unseen = Report("", {})
        section = metric_section(unseen, rest)
        report.numbers |= {f"{name}, unseen prompts": v for name, v in unseen.numbers.items()}
        title = f"Without the {seen.sum():,} pairs of training prompts"
        report.sections.insert(1, section._replace(title=title))
    return seen


def _known_prompts(
    report: Report, who: str, scorer: Scorer, pairs: Sequence[Pair], slates: Sequence[Slate]
) -> Mask:
    """[N] whether a pair's prompt is among those the model says it was trained on."""
    trained_on = getattr(scorer, "contract", {}).get("training_prompts")
    if trained_on is None:
        report.facts[f"{who} learned from"] = "not known: it keeps no list of training prompts"
        return np.zeros(len(pairs), dtype=bool)
    known = set(trained_on)
    found = {
        slate.conversation(index).id
        for slate in slates
        if slate.prompt_id() in known
        for index in range(len(slate.responses))
    }
    seen = np.array(
        [p.a.id in found or messages_id(p.a.messages[:-1]) in known for p in pairs], dtype=bool
    )
    report.facts[f"{who} learned from"] = (
        f"{len(known):,} prompts, {seen.sum():,} of these {len(pairs):,} pairs among them"
    )
    if seen.any():
        places = [str(pair.source) for pair, was in zip(pairs, seen, strict=True) if was]
        report.overlaps[who] = places
        more = f" and {len(places) - 3:,} more" if len(places) > 3 else ""
        report.warnings.append(
            f"{who} was trained on the prompts of {len(places):,} of these {len(pairs):,} pairs: "
            f"{', '.join(places[:3])}{more}"
        )
    return seen


def _compare(
    report: Report, values: Judged, pairs: Sequence[Pair], other: ScoreTable, seen: Mask
) -> None:
    """The paired difference on the same pairs, and what this n could have found."""
    both = np.array([other.knows(pair) for pair in pairs])
    if not both.any():
        raise DataError(f"the other model scores nothing: {next(iter(other.problems.values()))}")
    kept = [pair for pair, fine in zip(pairs, both, strict=True) if fine]
    mine, theirs = values.at(both), judged(kept, other.margins(kept))
    lines = _difference_lines(report, mine, theirs, "")
    decided = report.numbers["accuracy difference"]
    unseen = ~seen[both]
    if 0 < unseen.sum() < len(unseen):
        lines += _difference_lines(report, mine.at(unseen), theirs.at(unseen), ", unseen prompts")
        decided = report.numbers["accuracy difference, unseen prompts"]
    note = comparison(decided)  # type: ignore[arg-type]
    if not unseen.any():
        note = "Can't tell which is better: every prompt was trained on by one of the two."
    if len(kept) < len(pairs):
        report.dropped["not scored by the other model"] = len(pairs) - len(kept)
    report.sections.append(Section("This model minus the other", lines, note))


def _difference_lines(report: Report, mine: Judged, theirs: Judged, where: str) -> list[Line]:
    lines: list[Line] = []
    for name, metric in METRICS.items():
        if metric.compared:
            a, b = metric.values(mine), metric.values(theirs)
            interval, base = mean(a - b, mine), mean(b, mine).value
            found = smallest_difference(interval)
            meaning = f"the other: {base:.3f}; smallest detectable difference: {found:.3f}"
            lines.append((name + where, interval, meaning))
            report.numbers[f"{name} difference{where}"] = interval
    return lines


def _warn_of_empty_winners(report: Report, slates: Sequence[Slate], table: ScoreTable) -> None:
    """An empty response that scores highest is named, whatever the labels say."""
    places = []
    for slate in slates:
        scores = table.of(slate)
        if len(scores) < 2 or np.isnan(scores).all():
            continue
        if is_empty(slate.responses[int(np.nanargmax(scores))][-1]):
            places.append(str(slate.source))
    if places:
        report.warnings.append(
            f"an empty response scores highest in {len(places):,} rows: {', '.join(places[:3])}"
        )
