"""Rows of a file, standard input or a Hugging Face data set, streamed with their place.

`.jsonl`, `.json` (a list, or one object a line) and `.csv`, also `.gz`, are read with the
standard library; `.parquet`, `.zst` and data set ids need an extra, which is named where it
is missing. A row that cannot be parsed comes as BadRow, so that it is counted, not lost.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from plaudit.errors import DataError, require
from plaudit.types import Source

__all__ = ["FILES", "STDIN", "BadRow", "Row", "rows"]

Row = Mapping[str, Any]
STDIN = "<stdin>"
CHUNK = 1 << 20  # characters of a JSON list read at a time
DECODER = json.JSONDecoder()
NOT_SPACE, AFTER_VALUE = re.compile(r"\S"), re.compile(r"\s*([,\]])")
# A response may be longer than the csv module's default limit of 131,072 characters.
csv.field_size_limit(1 << 28)


class BadRow(NamedTuple):
    """A row that is not one, and why."""

    problem: str


Rows = Iterator[tuple[Source, "Row | BadRow"]]


def rows(data: str, split: str | None = None) -> Rows:
    """Yield (source, row) of DATA: a file, `-`, a folder or a Hugging Face data set id.

    Raises DataError when DATA is not there or of a kind that plaudit does not read.
    """
    if data in ("-", STDIN):
        return _text_rows(STDIN, ".jsonl", sys.stdin)
    path = Path(data).expanduser()
    if path.is_file():
        return _file_rows(path)
    if path.is_dir():
        return _dataset_rows(data, split, local=True)
    if data.count("/") == 1 and not data.startswith((".", "~", "/")) and "." not in path.suffix:
        return _dataset_rows(data, split, local=False)
    raise DataError(
        f"{data}: no such file; DATA is a file ({', '.join(FILES)}, also .gz and .zst), "
        "- for standard input, or a Hugging Face data set id (owner/name)"
    )


def _file_rows(path: Path) -> Rows:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in (".gz", ".zst") else None
    kind = suffixes[-1] if suffixes else ""
    if kind not in FILES:
        raise DataError(
            f"{path}: unknown kind of file {kind or 'without a suffix'!r}; known are "
            f"{', '.join(FILES)}, also .gz and .zst"
        )
    if kind == ".parquet":
        return _parquet_rows(path)
    return _text_file_rows(path, kind, packed)


def _text_file_rows(path: Path, kind: str, packed: str | None) -> Rows:
    try:
        with _open(path, packed) as file:
            yield from _text_rows(str(path), kind, file)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text (byte {error.start} of a part of it); save it as UTF-8 "
            "(in a spreadsheet: 'CSV UTF-8')"
        ) from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read to its end: {error}") from error


def _open(path: Path, packed: str | None) -> TextIO:
    if packed == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    if packed == ".zst":
        require("model", "zstandard", what=f"{path.name} (.zst)")
        stream = import_module("zstandard").open(path, "rb")
        return io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _text_rows(name: str, kind: str, file: TextIO) -> Rows:
    for line, row in TEXT_FILES[kind](file, name):
        yield Source(name, line), row


def _jsonl(file: TextIO, _name: str) -> Iterator[tuple[int, Row | BadRow]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, BadRow(f"not JSON: {error}")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            yield number, BadRow(f"expected an object, found {type(row).__name__}")


def _json(file: TextIO, name: str) -> Iterator[tuple[int, Row | BadRow]]:
    text = file.read(CHUNK)
    while text.isspace():
        text = file.read(CHUNK)
    if text.lstrip().startswith("["):
        values = _elements(text, file, name)
    else:
        text += file.read()
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError) as error:
            if text.lstrip().startswith("{"):  # one object a line under the name .json
                yield from _jsonl(io.StringIO(text), name)
                return
            raise DataError(f"{name}: not JSON: {error}") from error
        lists = (
            [v for v in whole.values() if isinstance(v, list)] if isinstance(whole, dict) else []
        )
        values = iter(lists[0] if len(lists) == 1 and len(whole) <= 3 else [whole])
    for number, row in enumerate(values, start=1):
        if isinstance(row, dict):
            yield number, row
        else:
            yield number, BadRow(f"expected an object, found {type(row).__name__}")


def _elements(text: str, file: TextIO, name: str) -> Iterator[Any]:
    """Values of a JSON list that begins in `text`, one by one, so that it is never held whole."""
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
        except RecursionError:
            reason = "nested too deeply"
        if mark is None:
            more = file.read(max(CHUNK, len(text) - at))
            if not more:
                raise DataError(f"{name}: not JSON, in row {count + 1} of its list: {reason}")
            text, at = text[at:] + more, 0
            continue
        count += 1
        yield value
        at = end_of_list = mark.end()
        if mark[1] == "]":
            break
    if text[end_of_list:].strip() or file.read().strip():
        raise DataError(f"{name}: not JSON: more text after its list of {count:,} rows")


def _csv(file: TextIO, name: str) -> Iterator[tuple[int, Row | BadRow]]:
    lines = iter(file)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{name}: empty; expected a header line with the columns' names")
    # Spreadsheets write semicolons where the comma is the decimal mark.
    mark = max(",;\t", key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=mark)
    header = [column.strip() for column in next(reader)]
    for fields in reader:
        if not fields:
            continue
        if len(fields) != len(header):
            problem = f"{len(fields)} fields where the header has {len(header)}"
            yield reader.line_num, BadRow(f"{problem} ({', '.join(header)})")
        else:
            yield reader.line_num, dict(zip(header, fields, strict=True))


def _parquet_rows(path: Path) -> Rows:
    require("model", "pyarrow", what=f"{path.name} (.parquet)")
    parquet = import_module("pyarrow.parquet")
    try:
        # Small buffers: else a whole row group, often the whole file, is held decompressed.
        file = parquet.ParquetFile(path, buffer_size=1 << 16, pre_buffer=False)
        number = 0
        for batch in file.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                number += 1
                yield Source(str(path), number), row
    except (OSError, import_module("pyarrow").ArrowException) as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}") from error


def _dataset_rows(data: str, split: str | None, local: bool) -> Rows:
    require("model", "datasets", what=f"{data} (a Hugging Face data set)")
    datasets = import_module("datasets")
    datasets.disable_progress_bars()
    try:
        saved = local and any(
            (Path(data) / n).exists() for n in ("state.json", "dataset_dict.json")
        )
        load = datasets.load_from_disk if saved else datasets.load_dataset
        found = load(data) if saved else load(data, streaming=True)
    except Exception as error:  # whatever the hub client or a data set raises
        hint = "" if local else " (no network? download it and name the folder or file)"
        raise DataError(
            f"{data}: datasets cannot load it: {type(error).__name__}: {error}{hint}"
        ) from error
    if hasattr(found, "keys"):
        found = _chosen_split(data, found, split)
    for number, row in enumerate(found, start=1):
        yield Source(data, number), row


def _chosen_split(data: str, found: Any, split: str | None) -> Any:
    names = list(found)
    name = split or (names[0] if len(names) == 1 else "train")
    if name not in names:
        raise DataError(f"{data}: no split {name!r}; name one with --split: {', '.join(names)}")
    return found[name]


TEXT_FILES: dict[str, Callable[[TextIO, str], Iterator[tuple[int, Row | BadRow]]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
}
FILES = (*TEXT_FILES, ".parquet")
