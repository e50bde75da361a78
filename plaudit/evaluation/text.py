"""Results as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from plaudit.evaluation.results import Results, Section, cells
from plaudit.statistics.intervals import Interval
from plaudit.types import visible


def lines(results: Results) -> Iterator[Text | Table]:
    """What is printed, from the verdict to the next command."""
    if results.verdict:
        yield Text(results.verdict, style="bold")
    yield Text(visible(results.title), style="bold")
    facts = results.facts | {"made": results.made}
    width = max(map(len, facts))
    for name, value in facts.items():
        yield Text(visible(f"  {name:<{width}}  {value}"))
    for section in results.sections:
        yield Text("")
        yield _table(section)
        if section.note:
            yield Text(f"  {section.note}", style="italic")
    if results.dropped:
        parts = ", ".join(f"{count:,} {reason}" for reason, count in results.dropped.items())
        yield Text(f"\nDropped: {parts}")
    for warning in results.warnings:
        yield Text(visible(f"Warning: {warning}"), style="yellow")
    if results.next_command:
        yield Text(f"\nNext: {results.next_command}")


def _table(section: Section) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="bold")
    intervals = any(isinstance(value, Interval) for _, value, _ in section.lines)
    table.add_column(Text(visible(section.title)), no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("95 % interval" if intervals else "", no_wrap=True)
    table.add_column("n" if intervals else "", justify="right")
    table.add_column("", style="dim", overflow="fold")
    for name, value, meaning in section.lines:
        # As Text: a name like "[b]" from the data is no markup.
        table.add_row(*(Text(visible(cell)) for cell in (name, *cells(value), meaning)))
    return table
