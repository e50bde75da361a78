"""`read`: DATA to Slates, with the format detected and named, and nothing dropped uncounted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

from plaudit.data.columns import column_reader, parse_columns, suggestion
from plaudit.data.files import BadRow, Row, Rows, rows
from plaudit.data.readers import READERS, Reader
from plaudit.errors import DataError, UsageError
from plaudit.types import Slate, Source

__all__ = ["Problem", "Reading", "read"]

SAMPLE = 20  # rows looked at to detect the format
KEPT_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that could not be read: where, and why."""

    source: Source
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass
class Reading:
    """Slates of one DATA; iterate once. `rows`, `bad` and `problems` grow as it goes."""

    data: str
    format: str
    _rows: Rows
    _reader: Reader
    rows: int = 0
    bad: int = 0
    problems: list[Problem] = field(default_factory=list)

    def __iter__(self) -> Iterator[Slate]:
        for source, row in self._rows:
            result = self.next(source, row)
            if isinstance(result, Slate):
                yield result

    def next(self, source: Source, row: Row | BadRow) -> Slate | Problem:
        """Read one row, counting it."""
        self.rows += 1
        try:
            if isinstance(row, BadRow):
                raise DataError(row.problem)
            return self._reader.read(row, source)
        except DataError as error:
            problem = Problem(source, str(error))
            self.bad += 1
            if len(self.problems) < KEPT_PROBLEMS:
                self.problems.append(problem)
            return problem


def read(
    data: str, format: str | None = None, columns: str | None = None, split: str | None = None
) -> Reading:
    """Open DATA and find its format.

    Args:
        data: a file, `-`, or a Hugging Face data set id or folder.
        format: a name of READERS; detected from the first rows when None.
        columns: "prompt=question,response_a=answer_1,…" for other layouts.
        split: the split of a data set that has several.

    Raises DataError where nothing can be read or recognised, UsageError on an unknown format.
    """
    source_rows = rows(data, split)
    head = list(islice(source_rows, SAMPLE))
    if not head:
        raise DataError(f"{data}: no rows")
    everything = chain(head, source_rows)
    if columns is not None:
        return Reading(data, "columns", everything, column_reader(parse_columns(columns)))
    if format is not None:
        if format not in READERS:
            raise UsageError(f"--format {format!r} is not one of {', '.join(READERS)}")
        return Reading(data, format, everything, READERS[format])
    name = _detect(data, [row for _, row in head if not isinstance(row, BadRow)])
    return Reading(data, name, everything, READERS[name])


def _detect(data: str, sample: list[Row]) -> str:
    """The first format that recognises most of the sample: a few bad rows do not hide it."""
    for name, reader in READERS.items():
        if sample and sum(map(reader.recognises, sample)) > len(sample) / 2:
            return name
    if not sample:
        raise DataError(f"{data}: none of the first rows can be parsed")
    found = list(sample[0])
    raise DataError(
        f"{data}: no known format. Columns found: {', '.join(found)}. Name the format "
        f"(--format {' | '.join(READERS)}) or the columns: {suggestion(found)}"
    )
