"""Progress and messages on standard error; results on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["print_json", "progress", "say", "show"]

_errors = Console(stderr=True, highlight=False)


def say(line: str) -> None:
    """A line about what is going on, on standard error."""
    _errors.print(line, markup=False, soft_wrap=True)


def show(result: Any) -> None:
    """A result for people, on standard output."""
    width = None if sys.stdout.isatty() else 100
    Console(highlight=False, width=width).print(result)


def print_json(values: Any) -> None:
    """A result for programs."""
    print(json.dumps(values, indent=2, ensure_ascii=False))


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error; gives a function of (done, all)."""
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_errors, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
