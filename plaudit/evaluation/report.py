"""The Report: Results that print as a table and write JSON and a self-contained HTML page."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from plaudit.data.plain import json_text
from plaudit.errors import UsageError, require
from plaudit.evaluation.html import page
from plaudit.evaluation.results import Curve as Curve
from plaudit.evaluation.results import Mistake as Mistake
from plaudit.evaluation.results import Results
from plaudit.evaluation.results import Section as Section
from plaudit.evaluation.text import lines
from plaudit.statistics.intervals import Interval


class Report(Results):
    """What was measured of a model on data; `print(report)` shows it."""

    def __repr__(self) -> str:
        known = ((name, self.numbers.get(name)) for name in ("accuracy", "log-loss"))
        numbers = "".join(f", {name} {value}" for name, value in known if value is not None)
        return f"Report({self.title!r}{numbers})"

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=100, highlight=False).print(self)
        return buffer.getvalue().rstrip()

    def __rich_console__(self, _console: Console, _options: Any) -> Iterable[Any]:
        return lines(self)

    def __getitem__(self, name: str) -> Interval | float:
        """A number by its name: `report["accuracy"].value`. Raises UsageError naming them all."""
        if name not in self.numbers:
            raise UsageError(f"no number {name!r}; there are {', '.join(self.numbers)}")
        return self.numbers[name]

    def to_frame(self) -> Any:
        """The numbers as a pandas data frame, one row each."""
        require("model", "pandas", what="Report.to_frame")
        import pandas

        values = self.numbers.values()
        rows = [v._asdict() if isinstance(v, Interval) else {"value": v} for v in values]
        return pandas.DataFrame(rows, index=list(self.numbers))

    def to_json(self) -> str:
        """`to_dict` as text; what is not a number is null."""
        return json_text(self.to_dict(), indent=2)

    def write_html(self, path: str | Path) -> None:
        """Write a self-contained page with the verdict, tables, plots and worst mistakes."""
        Path(path).write_text(page(self), encoding="utf-8", errors="replace")
