"""Rows of text files: JSON lines, a JSON list or object, and CSV, each with its line."""

from __future__ import annotations

import io
import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TextIO

from plaudit.data.plain import plain
from plaudit.errors import DataError

Row = Mapping[str, Any]
CHUNK = 1 << 20  # characters of a JSON list read at a time
LONGEST_ROW = 256 << 20  # characters
DEEPEST = 100  # lists and objects within each other
# NaN and infinity, which JSON does not have and Python writes, are unknown values.
DECODER = json.JSONDecoder(parse_constant=lambda _: None)
NOT_SPACE, AFTER_VALUE = re.compile(r"\S"), re.compile(r"\s*([,\]])")
ROW_LISTS = ("rows", "data", "examples", "instances", "records", "items")


class BadRow(NamedTuple):
    """A row that is not one, and why."""

    problem: str


Lines = Iterator[tuple[int, "Row | BadRow"]]


def json_rows(file: TextIO, name: str) -> Lines:
    """Rows of JSON lines, of one list (the line is then the number of the row), or of an object."""
    begin = ""  # blank lines, and what comes first after them
    while not begin.strip() and (part := file.read(2)):
        begin += part
    if begin.lstrip().startswith("["):
        yield from _list_rows(begin + file.read(CHUNK), file, name)
        return
    first = begin + next(file, "")
    text = first.strip()
    if text.startswith("{") and text[-1] in "{[,":  # an object over several lines
        yield from _object_rows(first + file.read())
    else:
        yield from _json_lines(chain(io.StringIO(first), file))


def _json_lines(lines: Iterable[str]) -> Lines:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = DECODER.decode(line.strip())
        except (ValueError, RecursionError) as error:
            yield number, BadRow(f"not JSON: {error}")
        else:
            yield number, _row(row, line)


def _row(value: Any, text: str) -> Row | BadRow:
    """The value, where it is an object whose text is whole; `text` is its JSON."""
    if not isinstance(value, dict):
        return BadRow(f"expected an object, found {type(value).__name__}")
    if text.count("[") + text.count("{") > DEEPEST and _deeper(value, DEEPEST):
        return BadRow(f"nested more than {DEEPEST} deep")
    if not text.isascii() or "\\u" in text:
        try:
            return plain(value)  # type: ignore[no-any-return]
        except (DataError, RecursionError) as error:
            return BadRow(str(error))
    return value


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects stand in each other more than so many levels deep."""
    level = [value]
    while level and levels:
        inner = (v.values() if isinstance(v, dict) else v for v in level)
        level = [each for values in inner for each in values if isinstance(each, (dict, list))]
        levels -= 1
    return bool(level)


def _object_rows(text: str) -> Lines:
    objects, at = [], 0
    try:
        while begun := NOT_SPACE.search(text, at):  # several, each over several lines: jq's way
            value, at = DECODER.raw_decode(text, begun.start())
            objects.append(value)
    except (ValueError, RecursionError):
        yield from _json_lines(io.StringIO(text))
        return
    for number, row in enumerate(_rows_of(objects), start=1):
        yield number, _row(row, text)


def _rows_of(objects: list[Any]) -> Sequence[Any]:
    """The rows in an object: its list of rows, a table by columns, or the object as one row."""
    whole = objects[0]
    if len(objects) > 1 or not isinstance(whole, dict):
        return objects
    values = list(whole.values())
    lists = [value for value in values if isinstance(value, list) and value]
    listed = next((whole[n] for n in ROW_LISTS if isinstance(whole.get(n), list)), None)
    if listed is None and len(lists) == 1 and len(whole) <= 3:
        listed = lists[0]
    if listed is not None:  # `row` inside: a page of the data set viewer's API
        return [each["row"] if isinstance(each, dict) and "row_idx" in each else each
                for each in listed]  # fmt: skip
    if len(values) > 1 and all(isinstance(value, dict) and value for value in values):
        names = values[0].keys()  # as pandas writes a frame: column -> index -> value
        if all(value.keys() == names for value in values):
            return [{c: value[n] for c, value in whole.items()} for n in names]
    return [whole]


def _list_rows(text: str, file: TextIO, name: str) -> Lines:
    """Values of a JSON list that begins in `text`, one by one, so that it is never held whole.

    Not ijson: it writes half a character as "?", refuses NaN and needs quadratic memory for
    deep nesting (version 3.6.0).
    """
    at, count = text.index("[") + 1, 0
    while True:
        begun = NOT_SPACE.search(text, at)
        start = begun.start() if begun else len(text)
        if text[start : start + 1] == "]" and not count:
            end_of_list = start + 1
            break
        mark, reason = None, "the file ends before its list does"
        try:
            value, end = DECODER.raw_decode(text, start)
            mark = AFTER_VALUE.match(text, end)
        except json.JSONDecodeError as error:  # or the value goes on in the next part
            reason = error.msg
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        if mark is None:
            if len(text) - at > LONGEST_ROW:
                raise DataError(f"{name}: row {count + 1} of its list is not JSON, or endless")
            more = file.read(max(CHUNK, len(text) - at))
            if not more:
                raise DataError(f"{name}: not JSON, in row {count + 1} of its list: {reason}")
            text, at = text[at:] + more, 0
            continue
        count += 1
        yield count, _row(value, text[start:end])
        at = end_of_list = mark.end()
        if mark[1] == "]":
            break
    if text[end_of_list:].strip() or file.read().strip():
        raise DataError(f"{name}: not JSON: more text after its list of {count:,} rows")


class StrayQuoteError(Exception):
    """A quote that opens a field and does not close it as CSV does."""


def csv_rows(file: TextIO, name: str, mark: str | None = None) -> Lines:
    """Rows of CSV with a header line; the separator is taken from `sep=` or the header.

    Strict: a stray quote, a row with too few or too many fields, a duplicate column are named.
    The csv module is not used: its limit on the size of a field can be set for the whole
    process only, and an unclosed quote takes the rest of the file with it.
    """
    lines = _Numbered(file)
    first = next(lines, None)
    declared = re.fullmatch(r'"?sep=(.)"?', (first or "").strip())
    if declared:
        mark, first = declared[1], next(lines, None)
    if first is None or not first.strip():
        raise DataError(f"{name}: empty; expected a header line with the columns' names")
    lines.push([first])
    mark = mark or max(",;\t|", key=lambda each: len(first.split(each)))
    names = _header(lines, mark, name)
    while (line := next(lines, None)) is not None:
        number, taken = lines.number, [line]
        try:
            fields = _fields(lines, taken, mark)
            _refuse_rows_within(taken, len(names), mark, number)
            row = _named(fields, names) if any(fields) else None
        except StrayQuoteError as error:
            lines.push(taken[1:])  # the quote costs its own line, not those after it
            yield number, BadRow(str(error))
        except DataError as error:
            yield number, BadRow(str(error))
        else:
            if row is not None:  # not the empty line that a spreadsheet adds
                yield number, row


class _Numbered:
    """Lines of a file with their number; lines can be pushed back."""

    def __init__(self, file: TextIO) -> None:
        self._lines, self._back, self.number = iter(file), deque[str](), 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.number += 1
        return line

    def push(self, lines: list[str]) -> None:
        self._back.extendleft(reversed(lines))
        self.number -= len(lines)


def _header(lines: _Numbered, mark: str, name: str) -> list[str]:
    try:
        names = [each.strip() for each in _fields(lines, [next(lines)], mark)]
        plain(names)
    except (StrayQuoteError, DataError) as error:
        raise DataError(f"{name}: the header line: {error}") from None
    twice = sorted({each for each in names if each and names.count(each) > 1})
    if twice:
        raise DataError(
            f"{name}:{lines.number}: the header has {', '.join(twice)} more than once; give each "
            "column a name of its own"
        )
    return [each or f"column {position}" for position, each in enumerate(names, start=1)]


def _fields(lines: _Numbered, taken: list[str], mark: str) -> list[str]:
    """The fields of a record that begins in `taken`; further lines it needs are added there."""
    text = taken[0].rstrip("\r\n")
    if '"' not in text:
        return text.split(mark)
    fields, position = [], 0
    while True:
        start = position
        while text.startswith(" ", start) and mark != " ":
            start += 1
        if text.startswith('"', start):
            at = start + 1
            while (end := text.find('"', at)) < 0 or text.startswith('"', end + 1):
                at = end + 2
                if end < 0:
                    line = next(lines, None)
                    if line is None:
                        raise StrayQuoteError("a quote is opened in this row and never closed")
                    at = len(text)
                    text += taken[-1][len(taken[-1].rstrip("\r\n")) :] + line.rstrip("\r\n")
                    taken.append(line)
            after = end + 1
            while text.startswith(" ", after) and mark != " ":
                after += 1
            if after < len(text) and text[after] != mark:
                raise StrayQuoteError(
                    f"the quote that is opened in this row is followed by {text[after]!r} where "
                    'it closes; write a quote inside a quoted field twice ("")'
                )
            fields.append(text[start + 1 : end].replace('""', '"'))
        else:
            after = text.find(mark, position)
            after = len(text) if after < 0 else after
            fields.append(text[position:after])
        if after >= len(text):
            return fields
        position = after + 1


def _refuse_rows_within(taken: list[str], columns: int, mark: str, number: int) -> None:
    """Raise where a quoted field has swallowed lines each of which looks like a whole row."""
    if len(taken) == 1 or columns == 1:
        return
    apart = re.compile(re.escape(mark) + "(?! )")
    if all(len(apart.split(line.rstrip("\r\n"))) == columns for line in taken):
        raise StrayQuoteError(
            f"a quote is opened in this row and closed in line {number + len(taken) - 1}, and "
            "each line between looks like a row of its own"
        )


def _named(fields: list[str], names: list[str]) -> Row:
    surplus = len(fields) - len(names)
    if surplus < 0 or any(each.strip() for each in fields[len(names) :]):
        listed = ", ".join(names)
        raise DataError(f"{len(fields)} fields where the header has {len(names)} ({listed})")
    row = dict(zip(names, fields, strict=False))
    for position, name in enumerate(names, start=1):
        if name == f"column {position}" and not row[name]:
            del row[name]  # what a comma at the end of each line makes
    if not all(each.isascii() for each in fields):
        plain(fields)
    return row
