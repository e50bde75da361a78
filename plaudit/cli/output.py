"""Progress and messages on standard error; results on standard output; files made whole or not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit.errors import PlauditError, UsageError
from plaudit.types import visible

if TYPE_CHECKING:
    from plaudit.data.reading import Reading

PLACES, REASONS = 3, 10

_errors = Console(stderr=True, highlight=False)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in work that says what is kept of it."""


def say(line: str) -> None:
    """A line about what is going on, on standard error."""
    _errors.print(visible(line), markup=False, soft_wrap=True)


def say_reading(reading: Reading) -> None:
    """What DATA was read as: its format, what each column became, what its labels mean."""
    columns = str(reading.columns)
    say(f"{reading.data}: {reading.format}" + (f"; {columns}" if columns else ""))
    if reading.label is not None and (meaning := str(reading.label)):
        say(f"{reading.data}: {meaning}")


def show(result: Any) -> None:
    """A result for people, on standard output."""
    width = None if sys.stdout.isatty() else 100
    Console(highlight=False, width=width).print(result)


def print_json(values: Any) -> None:
    """A result for programs."""
    from plaudit.data.plain import json_text  # not at the top: `plaudit --help` needs no data

    print(json_text(values, indent=2))


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error; gives a function of (done, all)."""
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    quiet = not _errors.is_terminal  # a bar in a log is an empty line
    with Progress(*columns, console=_errors, transient=True, disable=quiet) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def resumable(kept: str) -> Iterator[None]:
    """Work of which something is kept at Ctrl-C; `kept` says what, and how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(kept) from None


class Problems:
    """Rows that went wrong: one line a reason, with its count and three places."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        self.count = 0

    def add(self, place: str, reason: str) -> None:
        self.count += 1
        self._places.setdefault(reason, []).append(place)

    def lines(self) -> list[str]:
        ordered = sorted(self._places.items(), key=lambda item: -len(item[1]))
        lines = [
            f"{len(places):,} {'row' if len(places) == 1 else 'rows'}: {reason} "
            f"({', '.join(places[:PLACES])}{', …' if len(places) > PLACES else ''})"
            for reason, places in ordered[:REASONS]
        ]
        more = sum(len(places) for _, places in ordered[REASONS:])
        return lines + [f"{more:,} rows: other reasons"] * bool(more)


def check_output(path: str | None) -> None:
    """Raise UsageError where a file cannot be made, before any work is done for it."""
    if path is None or path == "-":
        return
    target = Path(path)
    folder = target.parent
    if target.is_dir():
        raise UsageError(f"{path} is a folder; name a file")
    if not folder.is_dir():
        raise UsageError(f"{path}: there is no folder {folder}; make it first: mkdir -p {folder}")
    if not os.access(target if target.exists() else folder, os.W_OK):
        raise UsageError(f"{path}: no permission to write there; name another file")


def write_file(path: str | Path, text: str) -> None:
    """Write a file whole: one that is there stays as it was until the new one is complete.

    Raises PlauditError where it cannot be written.
    """
    target = Path(path)
    if target.exists() and not target.is_file():  # a device or a pipe
        part = target
    else:
        part = target.with_name(f".{target.name}.part")
    try:
        part.write_text(text, encoding="utf-8", errors="replace")
        if part != target:
            os.replace(part, target)
    except OSError as error:
        if part != target:
            part.unlink(missing_ok=True)
        raise PlauditError(f"{path}: cannot be written: {error.strerror or error}") from error
