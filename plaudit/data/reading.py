"""`read`: DATA to Slates, with the format detected and named, and nothing dropped uncounted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from plaudit.data.columns import Mapped, suggestion
from plaudit.data.files import GIVEN, Rows, Spool, repeatable, rows
from plaudit.data.readers import READERS, Reader
from plaudit.data.readers.label_values import LabelColumn, Meaning
from plaudit.data.readers.reader import NOTHING, Fields
from plaudit.data.text_rows import BadRow, Row
from plaudit.errors import DataError, UsageError
from plaudit.types import Slate, Source

SAMPLE = 20  # rows looked at to detect the format
KEPT_PROBLEMS = 100
# Columns that look like a part of the conversation: leaving one unread changes what is scored.
CONVERSATION = ("question", "query", "instruction", "input", "system", "system_prompt", "context",
                "tools", "functions", "history", "documents")  # fmt: skip

FIRST = ("system", "history", "prompt", "input")  # roles that are named first


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that could not be read: where, and why."""

    source: Source
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass
class Columns:
    """What the columns became: `read` maps each to its role, `left` to the rows that have it.

    `unread` are those of `left` that look like a part of the conversation, with a row, and
    `repeated` counts the rows whose responses repeat the prompt, which was taken once.
    """

    read: dict[str, str] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    unread: dict[str, Source] = field(default_factory=dict)
    repeated: int = 0

    def note(self, fields: Fields, slate: Slate, source: Source) -> None:
        shown = fields.shown
        self.repeated += fields.repeated
        for name, role in fields.roles.items():
            self.read[shown.get(name, name)] = role
        for name, value in fields.row.items():
            if name not in fields.roles and value not in (None, "", [], {}):
                self.left[name] = self.left.get(name, 0) + 1
                looks = name.lower() in CONVERSATION and name not in self.unread
                if looks and not _contained(value, slate):
                    self.unread[name] = source

    def __str__(self) -> str:
        roles = sorted(self.read.items(), key=lambda item: item[1] not in FIRST)
        said = ", ".join(f"{role} = {name}" for name, role in roles)
        left = [name for name in self.left if name not in self.read]
        if self.repeated:
            rows = f"{self.repeated:,} row{'' if self.repeated == 1 else 's'}"
            said += f"; the prompt is repeated in the responses of {rows}: taken once"
        return said + (f"; not read: {', '.join(left)}" if left else "")


def _contained(value: Any, slate: Slate) -> bool:
    """Whether a column repeats what the prompt says, so that nothing is lost without it."""
    text = value.strip() if isinstance(value, str) else None
    return text is not None and any(text in message.text for message in slate.prompt)


@dataclass
class Reading:
    """Slates of one DATA; iterate once. `rows`, `bad` and `problems` grow as it goes.

    `columns` says what each column became (of the first rows before they are iterated), and
    `label` what the values of the label column mean, with examples; `str` says both in a line.
    """

    data: str
    format: str
    _rows: Rows
    _reader: Reader
    _mapped: Mapped | None = None
    label: Meaning | None = None
    rows: int = 0
    bad: int = 0
    problems: list[Problem] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)

    def __str__(self) -> str:
        """One line: data, format, what each column became and what the labels mean."""
        said = f"{self.data}: {self.format}: {self.columns}"
        return said if self.label is None else f"{said}; {self.label}"

    def __iter__(self) -> Iterator[Slate]:
        return (result for _, result in self.each() if isinstance(result, Slate))

    def each(self) -> Iterator[tuple[Row | BadRow, Slate | Problem]]:
        """Every row with its Slate, or with the Problem that it has."""
        self.columns = Columns()
        for source, row, count in self._together():
            yield row, self.next(source, row, count)

    def next(self, source: Source, row: Row | BadRow, count: int = 1) -> Slate | Problem:
        """Read one row, or one made of `count`, counting it."""
        self.rows += count
        try:
            if isinstance(row, BadRow):
                raise DataError(row.problem)
            fields = Fields(row, self.label, self._mapped.shown if self._mapped else NOTHING)
            slate = self._reader.read(fields, source)
            self.columns.note(fields, slate, source)
            return slate
        except (DataError, RecursionError) as error:
            rows = f" ({count} rows of one prompt)" if count > 1 else ""
            problem = Problem(source, str(error) + rows)
            self.bad += count
            if len(self.problems) < KEPT_PROBLEMS:
                self.problems.append(problem)
            return problem

    def refuse_unread(self) -> None:
        """Raise DataError where a column that looks like a part of the conversation was not read.

        Of what has been iterated so far; before, of the first rows.
        """
        if not self.columns.unread:
            return
        name, source = next(iter(self.columns.unread.items()))
        role = next((r for r in ("system", "history", "tools", "input") if r in name), "input")
        raise DataError(
            f"{self.data}: column {name!r} looks like a part of the conversation and was not "
            f"read (first in row {source.line}; read were: {self.columns}). Say what it is: "
            f"--columns {role}={name} (also prompt=, system=, input=, history=, tools=), or that "
            f"it is to be left out: --columns ignore={name}"
        )

    def _together(self) -> Iterator[tuple[Source, Row | BadRow, int]]:
        """Rows and how many each stands for: of a format with one response per row, the rows of
        one prompt become one, wherever they stand."""
        key, together = self._reader.key, self._reader.together
        if key is None or together is None:
            for source, row in self._rows:
                yield source, row, 1
            return
        groups: dict[str, list[tuple[Source, Row]]] = {}
        for source, row in self._rows:
            try:
                if isinstance(row, BadRow):
                    raise DataError(row.problem)
                groups.setdefault(key(row), []).append((source, row))
            except DataError as error:
                yield source, BadRow(str(error)), 1
        for group in groups.values():
            yield group[0][0], together([row for _, row in group]), len(group)


def read(
    data: Any,
    format: str | None = None,
    columns: str | Mapping[str, Any] | None = None,
    split: str | None = None,
    label_values: str | Mapping[Any, str] | None = None,
) -> Reading:
    """Open DATA and find its format.

    Args:
        data: a file, `-`, a Hugging Face data set id or folder; or a list or iterator of dicts,
            a pandas or polars frame, a `datasets.Dataset`.
        format: a name of READERS; detected from the first rows when None.
        columns: "prompt=question,response_a=answer_1,…", or a mapping, for other layouts.
        split: the split of a data set, or the sheet of a workbook, that has several.
        label_values: "0=a,1=b,2=tie", or a mapping: what the values of the label column mean.

    Where a label column holds more than words, all of it is looked at before the first Slate:
    what can be read again is read twice; standard input and iterators go to a temporary file.

    Raises DataError where nothing can be read or recognised, or where a label's meaning is in
    doubt; UsageError on an unknown format or setting.

    >>> rows = [{"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}]
    >>> read(rows).format
    'trl'
    """
    name = str(data) if isinstance(data, str) or hasattr(data, "__fspath__") else GIVEN
    mapped = None if columns is None else Mapped(columns)
    found = rows(data, split)
    head = list(islice(found, SAMPLE))
    if not head:
        raise DataError(f"{name}: no rows")
    if mapped is not None:
        _refuse_missing(name, mapped, _known(head))
        head, found = list(_renamed(iter(head), mapped)), _renamed(found, mapped)
    format = _format(name, format or (mapped.format if mapped else None), _known(head))
    reader, shown = READERS[format], mapped.shown if mapped else NOTHING
    everything: Rows = chain(head, found)
    label = _label_column(reader, iter(head), _known(head), shown)
    if label is None and label_values is not None:
        raise UsageError(f"--label-values: {format} has no label column whose values can differ")
    if label is not None and label_values is None and not label.all_words:
        spool = None if repeatable(data) else Spool(everything)
        label = (
            _label_column(reader, spool.first() if spool else everything, _known(head), shown)
            or label
        )
        everything = spool.again() if spool else _renamed(rows(data, split), mapped)
    meaning = None if label is None else label.meaning(label_values, name)
    trial = Reading(name, format, iter(head), reader, mapped, meaning)
    for _ in trial:  # so that what the columns became is known before the first row
        pass
    return Reading(name, format, everything, reader, mapped, meaning, columns=trial.columns)


def _renamed(found: Rows, mapped: Mapped | None) -> Rows:
    if mapped is None:
        return found
    return (
        (source, row if isinstance(row, BadRow) else mapped.rename(row)) for source, row in found
    )


def _known(head: Sequence[tuple[Source, Row | BadRow]]) -> list[Row]:
    return [row for _, row in head if not isinstance(row, BadRow)]


def _refuse_missing(name: str, mapped: Mapped, sample: Sequence[Row]) -> None:
    """Raise where --columns names a column that the first rows do not have."""
    missing = mapped.missing(sample)
    if missing is not None:
        columns = dict.fromkeys(column for row in sample for column in row)
        raise DataError(f"{name}: column {missing!r} is not there; columns: {', '.join(columns)}")


def _format(data: str, name: str | None, sample: Sequence[Row]) -> str:
    """The format named, or the first that recognises most of the sample: a few bad rows do not
    hide it."""
    if name is not None:
        if name not in READERS:
            raise UsageError(f"--format {name!r} is not one of {', '.join(READERS)}")
        return name
    for each, reader in READERS.items():
        if sample and sum(map(reader.recognises, sample)) > len(sample) / 2:
            return each
    if not sample:
        raise DataError(f"{data}: none of the first rows can be parsed")
    found = list(sample[0])
    raise DataError(
        f"{data}: no known format. Columns found: {', '.join(found)}. Name the columns "
        f"({suggestion(found)}) or the format (--format {' | '.join(READERS)})"
    )


def _label_column(
    reader: Reader, found: Rows, sample: Sequence[Row], shown: Mapping[str, str]
) -> LabelColumn | None:
    """The label column of these rows, with their values noted; None where there is none."""
    column = next((name for name in reader.labels if any(name in row for row in sample)), None)
    if column is None:
        return None
    label = LabelColumn(column, shown)
    for source, row in found:
        names = None if isinstance(row, BadRow) else reader.names(row)
        if names is not None and not isinstance(row, BadRow):
            label.note(source, row, names)
    return label
