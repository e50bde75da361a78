"""Rows of a file, standard input, a Hugging Face data set or Python objects, with their place.

What a file holds is told by its name, and of standard input by its first bytes. Text and
`.gz` are read with the standard library; `.parquet`, `.xlsx`, `.zst` and data set ids need an
extra, which is named where it is missing. A row that cannot be parsed comes as BadRow, so that
it is counted, not lost.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from plaudit.data.plain import plain
from plaudit.data.text_rows import BadRow as BadRow
from plaudit.data.text_rows import Lines, Row, csv_rows, json_rows
from plaudit.errors import DataError, UsageError, require
from plaudit.types import Source

STDIN = "<stdin>"
GIVEN = "rows"  # the name of rows that Python code hands over
KINDS = {
    **dict.fromkeys((".jsonl", ".ndjson", ".jsonlines", ".json"), "json"),
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
PACKED = (".gz", ".zst")
UNPACKED_FREELY, LARGEST_RATIO = 64 << 20, 200  # bytes; times the packed size
ZSTANDARD_PART = 1 << 9  # packed bytes at a time: one block of three bytes gives 128 KiB
LONGEST_LINE, LARGEST_WHOLE = 64 << 20, 1 << 30  # characters
Rows = Iterator[tuple[Source, Row | BadRow]]


def rows(data: Any, split: str | None = None) -> Rows:
    """Yield (source, row) of DATA.

    Args:
        data: a file, `-`, a folder, a Hugging Face data set id; or in Python a pandas or
            polars frame, a `datasets.Dataset`, or any iterable of mappings.
        split: the split of a data set, or the sheet of a workbook, that has several.

    Raises DataError when DATA is not there or of a kind that plaudit does not read.
    """
    if not isinstance(data, (str, Path)):
        return _given_rows(data, split)
    if str(data) in ("-", STDIN):
        return _stream_rows(STDIN, _standard_input(), None, split)
    path = Path(data).expanduser()
    if path.is_dir():
        return _dataset_rows(str(data), split, local=True)
    if path.exists():  # a file, or a pipe such as /dev/stdin
        return _stream_rows(str(path), path, _kind(path) if path.is_file() else None, split)
    owned = str(data).count("/") == 1 and not str(data).startswith((".", "~", "/"))
    if owned and (not path.suffix or path.suffix[1:2].isdigit()):
        return _dataset_rows(str(data), split, local=False)
    raise DataError(
        f"{data}: no such file; DATA is a file ({', '.join(KINDS)}, also {' and '.join(PACKED)}), "
        "- for standard input, or a Hugging Face data set id (owner/name)"
    )


def repeatable(data: Any) -> bool:
    """Whether `rows` gives the same rows when it is called once more."""
    if isinstance(data, (str, Path)):
        path = Path(data).expanduser()
        return path.is_file() or path.is_dir()
    return not isinstance(data, Iterator)


class Spool:
    """Rows that can be read once, read twice: as they come, then from a temporary file."""

    def __init__(self, found: Rows) -> None:
        self._found = found
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (as long as self)

    def first(self) -> Rows:
        for source, row in self._found:
            kept = row.problem if isinstance(row, BadRow) else row
            self._file.write(json.dumps([*source, kept]) + "\n")
            yield source, row

    def again(self) -> Rows:
        self._file.seek(0)
        for text in self._file:
            name, line, row = json.loads(text)
            yield Source(name, line), row if isinstance(row, dict) else BadRow(row)


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in KINDS:
        raise DataError(
            f"{path}: unknown kind of file {suffix or 'without a suffix'!r}; known are "
            f"{', '.join(KINDS)}, also {' and '.join(PACKED)}"
        )
    return KINDS[suffix]


def _standard_input() -> BinaryIO:
    binary = getattr(sys.stdin, "buffer", None)
    if binary is None:  # replaced by text
        return io.BytesIO(sys.stdin.read().encode("utf-8", "surrogatepass"))
    return io.BufferedReader(_Whole(b"", binary))  # whose end does not close standard input


def _stream_rows(name: str, data: Path | BinaryIO, kind: str | None, split: str | None) -> Rows:
    """Rows of bytes; `kind` None is told by the first of them."""
    try:
        with data.open("rb") if isinstance(data, Path) else data as raw:
            for line, row in _lines(name, *_unpacked(name, raw), kind, split):
                yield Source(name, line), row
    except UnicodeError as error:
        raise DataError(f"{name}: not the text that its first bytes promise: {error}") from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read to its end: {error}") from error


class _Whole(io.RawIOBase):
    """A stream whose first bytes have been looked at, from its beginning."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            part = self._head[: len(buffer)] or self._rest.read1(len(buffer))
        except (EOFError, ValueError, zlib.error, RuntimeError) as error:  # what unpacking raises
            raise OSError(error) from error
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)


class _Bounded:
    """Unpacked bytes, refused where they grow out of all proportion to the packed ones.

    Text shrinks to a tenth or a fiftieth, by chance to less; what a few kilobytes make gigabytes of
    is made to fill memory and disk.
    """

    def __init__(self, unpacked: Any, packed: _Counted) -> None:
        self._unpacked, self._packed, self._given = unpacked, packed, 0

    def read1(self, size: int) -> bytes:
        part: bytes = self._unpacked.read1(size)
        self._given += len(part)
        if self._given > max(UNPACKED_FREELY, LARGEST_RATIO * self._packed.count):
            raise OSError(
                f"it unpacks to more than {LARGEST_RATIO} times its size; unpack it yourself if "
                "that is as it should be"
            )
        return part


class _Counted:
    """Packed bytes, and how many of them have been read."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.count = stream, 0

    def read1(self, size: int = -1) -> bytes:
        part: bytes = self._stream.read1(size)
        self.count += len(part)
        return part

    read = read1  # what gzip calls


class _Zstandard:
    """Unpacked bytes; unlike zstandard's own reader it raises where a frame is cut off."""

    def __init__(self, packed: Any) -> None:
        import zstandard

        self._packed, self._error = packed, zstandard.ZstdError
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame, self._begun, self._left = self._new(), False, io.BytesIO()

    def read1(self, size: int) -> bytes:
        while not (found := self._left.read(size)):
            part = self._packed.read1(ZSTANDARD_PART)
            if not part and self._begun:
                raise EOFError("the last frame is cut off")
            if not part:
                return b""
            data = b""
            try:
                while part:
                    data += self._frame.decompress(part)
                    self._begun, part = not self._frame.eof, self._frame.unused_data
                    if self._frame.eof:
                        self._frame = self._new()
            except self._error as error:
                raise OSError(error) from error
            self._left = io.BytesIO(data)
        return found


def _peek(stream: Any) -> tuple[bytes, BinaryIO]:
    """The first bytes, some of them text, and the stream from its beginning."""
    head = b""
    while len(head) < 4 or not head.strip():
        part = stream.read1(1 << 16)
        if not part:
            break
        head += part
    if isinstance(stream, io.BufferedReader) and stream.seekable():
        stream.seek(-len(head), io.SEEK_CUR)
        return head, stream
    return head, io.BufferedReader(_Whole(head, stream), 1 << 16)


def _unpacked(name: str, raw: Any) -> tuple[bytes, BinaryIO]:
    head, stream = _peek(raw)
    if head.startswith(b"\x1f\x8b"):
        packed = _Counted(stream)
        unpacked = gzip.GzipFile(fileobj=packed)  # type: ignore[call-overload]
        return _peek(io.BufferedReader(_Whole(b"", _Bounded(unpacked, packed))))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        require("model", "zstandard", what=f"{name} (.zst)")
        packed = _Counted(stream)
        return _peek(io.BufferedReader(_Whole(b"", _Bounded(_Zstandard(packed), packed))))
    return head, stream


def _lines(
    name: str, head: bytes, stream: BinaryIO, kind: str | None, split: str | None
) -> Iterator[tuple[int, Row | BadRow]]:
    if head.startswith(b"PAR1") or kind == "parquet":
        return _parquet_rows(name, _seekable(stream))
    if head.startswith(b"PK\x03\x04") or kind == "xlsx":
        return _sheet_rows(name, _seekable(stream), split)
    encoding, errors = _encoding(head)
    file = _Text(stream, encoding, errors, newline="")
    file.name_of_data = name
    if kind is None:
        start = head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n")[:1]
        kind = "json" if start in ("{", "[") else "csv"
    if kind == "json":
        return json_rows(file, name)
    return csv_rows(file, name, "\t" if kind == "tsv" else None)


class _Text(io.TextIOWrapper):
    """Text of which no line, and nothing that must be held whole, is longer than memory takes."""

    name_of_data = ""

    def __next__(self) -> str:  # type: ignore[override]
        line = self.readline(LONGEST_LINE + 1)
        if not line:
            raise StopIteration
        if len(line) > LONGEST_LINE:
            raise DataError(
                f"{self.name_of_data}: a line of more than {LONGEST_LINE >> 20} million "
                "characters; a row has one line"
            )
        return line

    def read(self, size: int | None = -1) -> str:
        if size is not None and size >= 0:
            return super().read(size)
        text = super().read(LARGEST_WHOLE + 1)
        if len(text) > LARGEST_WHOLE:
            raise DataError(
                f"{self.name_of_data}: one JSON value of more than {LARGEST_WHOLE >> 20} million "
                "characters; write one row per line (.jsonl)"
            )
        return text


def _encoding(head: bytes) -> tuple[str, str]:
    """Encoding and handling of errors: bytes that are no UTF-8 cost their row, not the file."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32", "surrogatepass"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "surrogatepass"
    for encoding, high in (("utf-16-le", head[1:200:2]), ("utf-16-be", head[0:200:2])):
        if high and high.count(0) > 0.7 * len(high):  # no mark, but Latin letters of two bytes
            return encoding, "surrogatepass"
    return "utf-8-sig", "surrogateescape"


def _seekable(stream: BinaryIO) -> Any:
    """Tables are read from their end: a stream goes to a temporary file first."""
    if stream.seekable():
        return stream
    file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the last reference)
    while part := stream.read(1 << 20):
        file.write(part)
    file.seek(0)
    return file


def _parquet_rows(name: str, file: Any) -> Lines:
    require("model", "pyarrow", what=f"{name} (.parquet)")
    import pyarrow
    from pyarrow import parquet

    try:
        # Small buffers: else a whole row group, often the whole file, is held decompressed.
        table = parquet.ParquetFile(file, buffer_size=1 << 16, pre_buffer=False)
        batches = table.iter_batches(batch_size=1000)
        yield from _plain_rows(row for batch in batches for row in batch.to_pylist())
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{name}: cannot be read as parquet: {error}") from error


def _sheet_rows(name: str, file: Any, split: str | None) -> Lines:
    require("xlsx", "openpyxl", what=f"{name} (.xlsx)")
    import openpyxl

    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        sheets = {sheet.title: sheet for sheet in book.worksheets}
        found = {title: [*sheet.iter_rows(values_only=True)] for title, sheet in sheets.items()}
    except Exception as error:  # whatever the archive, its XML or openpyxl raises
        raise DataError(f"{name}: cannot be read as a workbook: {error}") from error
    filled = {title: cells for title, cells in found.items() if any(any(row) for row in cells)}
    title = split or (next(iter(filled)) if len(filled) == 1 else None)
    if title not in filled:
        raise DataError(
            f"{name}: {len(filled)} sheets hold rows ({', '.join(filled)}); name one with --split"
        )
    text = io.StringIO()
    for cells in filled[title]:
        values = ("" if cell is None else str(plain(cell)) for cell in cells)
        text.write(",".join('"' + value.replace('"', '""') + '"' for value in values) + "\r\n")
    text.seek(0)
    yield from csv_rows(text, f"{name} ({title})", ",")


def _plain_rows(found: Iterable[Any], arrow: bool = True) -> Lines:
    for number, row in enumerate(found, start=1):
        try:
            if not isinstance(row, Mapping):
                raise DataError(f"expected an object, found {type(row).__name__}")
            yield number, {str(k): plain(value, drop_nulls=arrow) for k, value in row.items()}
        except (DataError, RecursionError) as error:
            yield number, BadRow(str(error))


def _given_rows(data: Any, split: str | None) -> Rows:
    """Rows of Python objects: frames, data sets, lists and iterators of mappings."""
    if hasattr(data, "collect") and hasattr(data, "lazy"):
        data = data.collect()  # a lazy frame of polars
    arrow = any(hasattr(data, name) for name in ("features", "to_pylist", "iter_rows", "iloc"))
    if hasattr(data, "iloc") and hasattr(data, "to_dict"):
        data = data.to_dict("records")
    elif hasattr(data, "iter_rows"):
        data = data.iter_rows(named=True)
    elif hasattr(data, "to_pylist"):
        data = data.to_pylist()
    elif isinstance(data, Mapping):
        if not data or isinstance(next(iter(data.values())), (str, int, float, list, tuple)):
            raise UsageError("expected rows, found one mapping; give a list of them")
        return _given_rows(_chosen_split(GIVEN, data, split), None)
    if not isinstance(data, Iterable) or isinstance(data, (bytes, bytearray)):
        raise UsageError(
            f"expected DATA, found {type(data).__name__}; DATA is a file's name, a list or "
            "iterator of dicts, a pandas or polars frame, or a datasets.Dataset"
        )
    return ((Source(GIVEN, line), row) for line, row in _plain_rows(data, arrow))


def _dataset_rows(data: str, split: str | None, local: bool) -> Rows:
    require("model", "datasets", what=f"{data} (a Hugging Face data set)")
    import datasets

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
    for line, row in _plain_rows(found):
        yield Source(data, line), row


def _chosen_split(data: str, found: Any, split: str | None) -> Any:
    names = list(found)
    name = split or (names[0] if len(names) == 1 else "train")
    if name not in names:
        raise DataError(f"{data}: no split {name!r}; name one with --split: {', '.join(names)}")
    return found[name]
