"""What was measured, as data: sections of numbers, curves, mistakes, and what was dropped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from plaudit.data.plain import plain
from plaudit.evaluation.metrics import Floats, Judged
from plaudit.statistics.intervals import Interval
from plaudit.version import __version__

TOO_FEW = 10  # groups under which an interval would only pretend

Value = Interval | float | int | str
Line = tuple[str, Value, str]


class Section(NamedTuple):
    """A titled table: lines of (name, value, explanation), and a note below it.

    With `reference` the page draws its shares as bars, and the reference as a line.
    """

    title: str
    lines: Sequence[Line]
    note: str = ""
    reference: float | None = None


class Mistake(NamedTuple):
    """A pair the model got wrong, with its margin in favour of the worse response."""

    prompt: str
    better: str
    worse: str
    margin: float
    source: str


class Curve(NamedTuple):
    """A line to plot: values, with intervals where they have some, over x."""

    title: str
    x_label: str
    y_label: str
    x: Sequence[float]
    y: Sequence[Interval | float]
    doubling: bool = True  # whether x is spaced by doublings


@dataclass
class Results:
    """What was measured of a model on data.

    `verdict` says first what the numbers can carry; `numbers` are what programs read; `ok` is
    False where too many rows were bad for the numbers to stand for the data; `overlaps` holds,
    by model, the places of the pairs whose prompts it was trained on.
    """

    title: str
    facts: dict[str, str]
    numbers: dict[str, Interval | float] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    judged: Judged | None = None
    score_length: tuple[Floats, Floats] | None = None
    next_command: str = ""
    verdict: str = ""
    overlaps: dict[str, list[str]] = field(default_factory=dict)
    ok: bool = True
    date: str = field(default_factory=lambda: date.today().isoformat())

    @property
    def made(self) -> str:
        """When, and by which plaudit."""
        return f"{self.date}, plaudit {__version__}"

    def to_dict(self) -> dict[str, Any]:
        """For programs: every number with its interval, n and groups."""
        sections = [
            {"title": s.title, "rows": {name: value for name, value, _ in s.lines}, "note": s.note}
            for s in self.sections
        ]
        result: dict[str, Any] = plain(
            {
                "verdict": self.verdict,
                "title": self.title,
                "made": self.made,
                "facts": self.facts,
                "held_out": self.numbers,
                "sections": sections,
                "dropped": self.dropped,
                "overlaps": self.overlaps,
                "warnings": self.warnings,
                "next": self.next_command,
            }
        )
        return result


def cells(value: Value) -> tuple[str, str, str]:
    """Value, interval and n as text."""
    if isinstance(value, Interval):
        interval = f"{value.low:.3f} to {value.high:.3f}"
        if math.isnan(value.low):
            interval = ""
        elif value.groups < TOO_FEW:
            interval = "too few prompts"
        return (f"{value.value:.3f}" if value.n else "–", interval, f"{value.n:,}")
    if isinstance(value, int):
        return (f"{value:,}", "", "")
    if isinstance(value, float):
        return (f"{value:.3f}" if not math.isnan(value) else "–", "", "")
    return (value, "", "")
