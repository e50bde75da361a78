"""The Report: numbers with n and intervals, by slice, with what was dropped.

It prints as a table, gives JSON, and writes a self-contained HTML page (`html.py`).
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plaudit.errors import UsageError, require
from plaudit.evaluation.metrics import Judged
from plaudit.statistics.intervals import Interval

__all__ = ["Curve", "Mistake", "Report", "Section", "cells"]

TOO_FEW = 10  # groups under which an interval would only pretend

Line = tuple[str, "Interval | float | int | str", str]


class Section(NamedTuple):
    """A titled table: lines of (name, value, explanation), and a note below it."""

    title: str
    lines: Sequence[Line]
    note: str = ""


class Mistake(NamedTuple):
    """A pair the model got wrong, with its margin in favour of the worse response."""

    prompt: str
    better: str
    worse: str
    margin: float
    source: str


class Curve(NamedTuple):
    """A line to plot: values with intervals over x."""

    title: str
    x_label: str
    y_label: str
    x: Sequence[float]
    y: Sequence[Interval]


@dataclass
class Report:
    """What was measured of a model on data. `held_out` names the numbers programs read."""

    title: str
    facts: dict[str, str]
    numbers: dict[str, Interval | float] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    judged: Judged | None = None
    score_length: tuple[Any, Any] | None = None
    next_command: str = ""

    def __repr__(self) -> str:
        known = ((name, self.numbers.get(name)) for name in ("accuracy", "log-loss"))
        numbers = "".join(f", {name} {value}" for name, value in known if value is not None)
        return f"Report({self.title!r}{numbers})"

    def __getitem__(self, name: str) -> Interval | float:
        """The number of a name, as in `report["accuracy"]`; UsageError on an unknown one."""
        if name not in self.numbers:
            raise UsageError(f"no number {name!r} in this report; {', '.join(self.numbers)}")
        return self.numbers[name]

    def to_frame(self) -> Any:
        """A pandas DataFrame of the numbers by name: value, low, high, n, groups."""
        require("model", "pandas", what="to_frame")
        from pandas import DataFrame

        values = self.numbers.values()
        rows = [v._asdict() if isinstance(v, Interval) else {"value": v} for v in values]
        return DataFrame(rows, index=list(self.numbers))

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=100, highlight=False).print(self)
        return buffer.getvalue().rstrip()

    def __rich_console__(self, console: Console, _options: Any) -> Any:
        yield Text(self.title, style="bold")
        for name, value in self.facts.items():
            yield Text(f"  {name:<12} {value}")
        for section in self.sections:
            yield Text("")
            yield _table(section)
            if section.note:
                yield Text(f"  {section.note}", style="italic")
        if self.dropped:
            yield Text("")
            parts = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
            yield Text(f"Dropped: {parts}")
        for warning in self.warnings:
            yield Text(f"Warning: {warning}", style="yellow")
        if self.next_command:
            yield Text(f"\nNext: {self.next_command}")

    def to_dict(self) -> dict[str, Any]:
        """For programs: every number with its interval, n and groups."""
        return {
            "title": self.title,
            "facts": self.facts,
            "held_out": {name: _plain(value) for name, value in self.numbers.items()},
            "sections": [
                {
                    "title": section.title,
                    "rows": {name: _plain(value) for name, value, _ in section.lines},
                    "note": section.note,
                }
                for section in self.sections
            ],
            "dropped": self.dropped,
            "warnings": self.warnings,
            "next": self.next_command,
        }

    def write_html(self, path: str | Path) -> None:
        """Write a self-contained page with the tables, plots and worst mistakes."""
        html: Any = import_module("plaudit.evaluation.html")  # it imports this module
        Path(path).write_text(html.page(self), encoding="utf-8")

    def to_json(self) -> str:
        """`to_dict` as text; what is not a number is null."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def _table(section: Section) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="bold")
    table.add_column(section.title, no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("", style="dim", overflow="fold")
    for name, value, meaning in section.lines:
        table.add_row(name, *cells(value), meaning)
    if not any(isinstance(value, Interval) for _, value, _ in section.lines):
        for column in (table.columns[2], table.columns[3]):
            column.header = ""
    return table


def cells(value: Interval | float | int | str) -> tuple[str, str, str]:
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


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    return value
