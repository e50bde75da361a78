"""Every kind of file, standard input and Python object gives the same rows, or names its faults."""

import csv
import datetime
import decimal
import gzip
import io
import json
import tracemalloc

import pytest

from plaudit.data import read
from plaudit.data.files import rows
from plaudit.data.text_rows import BadRow
from plaudit.errors import DataError, UsageError

ROWS = [{"prompt": f"q{i}", "chosen": "good, or so", "rejected": f"bad\n{i}"} for i in range(30)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def csv_text(mark=",", end="\n"):
    file = io.StringIO()
    writer = csv.DictWriter(file, [*ROWS[0]], delimiter=mark, lineterminator=end)
    writer.writeheader()
    writer.writerows(ROWS)
    return file.getvalue()


def found(data, **settings):
    return [row if isinstance(row, dict) else row.problem for _, row in rows(data, **settings)]


def stdin(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    return found("-")


def parquet_bytes():
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
    return file.getvalue()


def xlsx_bytes(*sheets):
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, cells in sheets or [("Desk", [[*ROWS[0]], *([*row.values()] for row in ROWS)])]:
        sheet = book.create_sheet(title)
        for row in cells:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def kinds():
    import zstandard

    return {
        "a.jsonl": LINES.encode(),
        "b.ndjson": b"\xef\xbb\xbf" + LINES.replace("\n", "\r\n").encode(),
        "c.json": json.dumps(ROWS, indent=1).encode(),
        "d.json": json.dumps({"version": 1, "data": ROWS}, indent=2).encode(),
        "e.csv": csv_text().encode(),
        "f.csv": csv_text(";", "\r\n").encode("utf-8-sig"),
        "g.tsv": csv_text("\t").encode(),
        "h.csv": csv_text("\t").encode("utf-16"),
        "i.csv": ("sep=|\n" + csv_text("|")).encode(),
        "j.jsonl.gz": gzip.compress(LINES.encode()),
        "k.csv.zst": zstandard.compress(csv_text().encode()),
        "l.parquet": parquet_bytes(),
        "m.xlsx": xlsx_bytes(),
        "n.json": json.dumps(
            {n: {str(i): r[n] for i, r in enumerate(ROWS)} for n in ROWS[0]}, indent=1
        ).encode(),
        "o.jsonl": LINES.encode("utf-16-le"),
        "p.jsonl": json.dumps(ROWS).encode(),
        "q.jsonl": ("\n\n" + LINES).encode(),
        "r.jsonl": gzip.compress(LINES.encode()),  # a wrong name
        "t.json": "\n".join(json.dumps(row, indent=2) for row in ROWS).encode(),
        "s.json": json.dumps(
            {"features": [], "rows": [{"row_idx": i, "row": r} for i, r in enumerate(ROWS)]},
            indent=1,
        ).encode(),
    }


@pytest.mark.parametrize("name", kinds())
def test_a_file_and_standard_input_give_the_same_rows(tmp_path, monkeypatch, name):
    data = kinds()[name]
    (tmp_path / name).write_bytes(data)
    assert found(tmp_path / name) == ROWS
    assert stdin(monkeypatch, data) == ROWS


def test_python_objects_give_the_same_rows():
    import pandas
    import polars
    import pyarrow
    from datasets import Dataset, DatasetDict

    data = Dataset.from_list(ROWS)
    for each in (
        ROWS,
        tuple(ROWS),
        iter(ROWS),
        (row for row in ROWS),
        pandas.DataFrame(ROWS),
        polars.DataFrame(ROWS),
        polars.LazyFrame(ROWS),
        pyarrow.Table.from_pylist(ROWS),
        data,
        data.to_iterable_dataset(),
        DatasetDict({"train": data}),
    ):
        assert found(each) == ROWS, type(each)
    assert [str(source) for source, _ in rows(ROWS)][:2] == ["rows:1", "rows:2"]
    assert found([{"a": 1}, 3, {"a": "\ud83d"}])[1:] == [
        "expected an object, found int",
        "half a character (\\ud83d) after ''; fix the text",
    ]
    for wrong in (3, None, ROWS[0], b"x", object()):
        with pytest.raises(UsageError, match="DATA|list"):
            found(wrong)


def test_values_of_tables_become_text_and_nulls_are_nulls(tmp_path):
    import pandas
    import pyarrow
    import pyarrow.parquet

    when = datetime.datetime(2024, 5, 6, 7, 8)
    table = {
        "when": [when, None],
        "day": [when.date(), None],
        "price": [decimal.Decimal("1.50"), None],
        "raw": ["Grüße".encode(), b"\xff\x00"],
        "ratio": [0.5, float("nan")],
        "call": [{"name": "f", "arguments": {"x": 1, "y": None}}, None],
    }
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    first, second = found(tmp_path / "a.parquet")
    assert first == {
        "when": "2024-05-06T07:08:00",
        "day": "2024-05-06",
        "price": "1.50",
        "raw": "Grüße",
        "ratio": 0.5,
        "call": {"name": "f", "arguments": {"x": 1}},
    }
    assert second == {**dict.fromkeys(table), "raw": "/wA="}
    frame = pandas.DataFrame(
        {"n": [1, 2], "t": [pandas.Timestamp(when), pandas.NaT], "x": [None, pandas.NA]}
    )
    assert found(frame) == [
        {"n": 1, "t": "2024-05-06T07:08:00", "x": None},
        {"n": 2, "t": None, "x": None},
    ]
    json.dumps([first, second], allow_nan=False)


def test_nan_and_infinity_in_json_are_null(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": NaN, "b": [1, -Infinity]}\n{"a": 1e999}\n')
    assert found(tmp_path / "a.jsonl")[0] == {"a": None, "b": [1, None]}
    (tmp_path / "a.json").write_text('[{"a": NaN}, {"a": 1}]')
    assert found(tmp_path / "a.json") == [{"a": None}, {"a": 1}]


def test_half_a_character_and_wrong_bytes_cost_their_row(tmp_path):
    good = '{"prompt": "é", "chosen": "x", "rejected": "y"}\n'
    for bad in (rb'{"prompt": "\ud83d"}' + b"\n", b'{"prompt": "\xff\xfe"}\n'):
        (tmp_path / "a.jsonl").write_bytes(good.encode() * 2 + bad + good.encode())
        reading = read(str(tmp_path / "a.jsonl"))
        assert len(list(reading)) == 3
        assert (reading.rows, reading.bad, reading.problems[0].source.line) == (4, 1, 3)
    (tmp_path / "a.json").write_bytes(b'[{"a": "\\ud83d"}, {"a": "\\ud83d\\ude00"}]')
    assert found(tmp_path / "a.json") == [
        "half a character (\\ud83d) after ''; fix the text", {"a": "😀"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a stray quote costs its own row, wherever it would end
        ('p,c\n1,a\n2,"b\n3,c\n4,d\n', ["1", "never closed", "3", "4"]),
        ('p,c\n1,a\n2,"b\n3,c\n4,d"\n5,e\n', ["1", "line 5", "3", "4", "5"]),
        ('p,c\n1,"a" b\n2,c\n', ["followed by 'b'", "2"]),
        ('p,c\n1,"a\n2,"b"\n3,c\n', ["followed by 'b'", "2", "3"]),
        # quotes as they should be
        ('p,c\n1,"a ""b"", c"\n2,"x\ny, z"\n', ["1", "2"]),
        ('p,c\n1, "a, b" \n', ["1"]),
        ('p,c\n1,5" pipe\n', ["1"]),
        # too few and too many fields, and what a spreadsheet adds
        ("p,c\n1\n2,a,b\n3,a\n", ["1 fields where the header has 2", "3 fields", "3"]),
        ("p,c,\n1,a,\n2,b,\n", ["1", "2"]),
        ("p,c\n1,a,,\n,\n,,\n\n2,b\n", ["1", "2"]),
        ("p,,c\n1,x,a\n", ["1"]),
        ("p\n1\n2\n", ["1", "2"]),
        ("p,c\r1,a\r2,b\r", ["1", "2"]),
    ],
)  # fmt: skip
def test_csv_is_strict(tmp_path, text, expected):
    (tmp_path / "a.csv").write_text(text, newline="")
    for row, wanted in zip(found(tmp_path / "a.csv"), expected, strict=True):
        assert row["p"] == wanted if isinstance(row, dict) else wanted in row


def test_places_in_csv_are_lines_of_the_file(tmp_path):
    (tmp_path / "a.csv").write_text('p,c\n1,"a\nb"\n2,"x\n3,y\n4\n')
    places = [(source.line, isinstance(row, BadRow)) for source, row in rows(tmp_path / "a.csv")]
    assert places == [(2, False), (4, True), (5, False), (6, True)]


def test_a_stray_quote_does_not_take_rows_and_two_do_not_either(tmp_path):
    lines = [f"Where is parcel {i}?,In shop {i}.,No idea." for i in range(60)]
    lines[20] = 'Where is parcel 20?,"In shop 20.,No idea.'
    lines[40] = 'Where is parcel 40?,In shop 40.,No idea."'
    (tmp_path / "a.csv").write_text("\n".join(["prompt,chosen,rejected", *lines]) + "\n")
    reading = read(str(tmp_path / "a.csv"))
    assert (len(list(reading)), reading.rows, reading.bad) == (59, 60, 1)
    assert reading.problems[0].source.line == 22


def test_headers(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,chosen,chosen\nq,a,b\n")
    with pytest.raises(DataError, match=r"a.csv:1: the header has chosen more than once"):
        found(path)
    path.write_text("")
    with pytest.raises(DataError, match="empty; expected a header line"):
        found(path)
    path.write_text('prompt,"chosen\nq,a,b\n')
    with pytest.raises(DataError, match="the header line: a quote is opened"):
        found(path)


def test_long_fields_are_read_and_nothing_global_is_set(tmp_path):
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f'p,c\n1,"{"x" * 400_000}"\n')
    assert len(found(tmp_path / "a.csv")[0]["c"]) == 400_000
    assert csv.field_size_limit() == limit == 131_072


def test_workbooks(tmp_path):
    path = tmp_path / "a.xlsx"
    cells = [["p", "c"], [1, None], [2.5, 'say "hi"\nthere'], [None, None]]
    path.write_bytes(xlsx_bytes(("One", cells), ("Empty", [])))
    assert found(path) == [{"p": "1", "c": ""}, {"p": "2.5", "c": 'say "hi"\nthere'}]
    path.write_bytes(xlsx_bytes(("One", cells), ("Two", cells[:2])))
    with pytest.raises(DataError, match=r"2 sheets hold rows \(One, Two\); name one with --split"):
        found(path)
    assert found(path, split="Two") == [{"p": "1", "c": ""}]
    path.write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(DataError, match="cannot be read as a workbook"):
        found(path)


def test_broken_archives_are_one_clear_error(tmp_path):
    import zstandard

    for name, data in (
        ("a.jsonl.gz", gzip.compress(LINES.encode() * 99)[:-20]),
        ("b.jsonl.gz", b"\x1f\x8b\x08\x00" + b"\xff" * 50),
        ("c.jsonl.zst", zstandard.compress(LINES.encode() * 99)[:50]),
        ("d.jsonl.zst", b"\x28\xb5\x2f\xfd" + b"\xff" * 50),
        ("e.parquet", parquet_bytes()[:500]),
        ("f.csv", "p,c\n1,a\n".encode("utf-16")[:-1]),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=name):
            found(tmp_path / name)


def test_a_pipe_is_read_by_its_name(tmp_path):
    import os
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(csv_text().encode(),))
    writer.start()
    assert found(str(pipe)) == ROWS
    writer.join()


# ------------------------------------------------------------------ made to fill the memory


def zeros(pack, megabytes):
    """Packed megabytes of one letter."""
    if pack == "gz":
        return gzip.compress(b"a" * (megabytes << 20))
    return pytest.importorskip("zstandard").compress(b"a" * (megabytes << 20), 19)


@pytest.mark.parametrize("pack", ["gz", "zst"])
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path, pack):
    path = tmp_path / f"bomb.jsonl.{pack}"
    path.write_bytes(zeros(pack, 300))
    assert path.stat().st_size < 400_000
    tracemalloc.start()
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        list(rows(path))
    assert tracemalloc.get_traced_memory()[1] < 256 << 20
    tracemalloc.stop()


def test_a_file_that_repeats_itself_is_read(tmp_path):
    row = json.dumps({"prompt": "Q" * 500, "response_a": "yes", "response_b": "no"}) + "\n"
    path = tmp_path / "same.jsonl.gz"
    path.write_bytes(gzip.compress(row.encode() * 20_000))  # 11 MB of one row
    assert sum(1 for _ in rows(path)) == 20_000


@pytest.mark.parametrize("text", ['{"a": "', "a,b\n", "[1, "])
def test_an_endless_line_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setattr("plaudit.data.files.LONGEST_LINE", 1 << 20)
    monkeypatch.setattr("plaudit.data.text_rows.LONGEST_ROW", 2 << 20)
    path = tmp_path / ("endless.csv" if "," in text and "[" not in text else "endless.jsonl")
    path.write_text(text + '"' * ("[" in text) + "x" * (8 << 20))
    with pytest.raises(DataError, match="endless"):
        list(rows(path))


def test_one_value_that_is_the_whole_file_has_its_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("plaudit.data.files.LARGEST_WHOLE", 1 << 20)
    path = tmp_path / "whole.json"
    path.write_text('{\n"rows": [' + ",\n".join(['{"prompt": "Q"}'] * 100_000) + "]}")
    with pytest.raises(DataError, match=r"one JSON value .* write one row per line"):
        list(rows(path))


@pytest.mark.parametrize("deep", ["[" * 400 + "]" * 400, '{"a":' * 400 + "1" + "}" * 400])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_a_row_nested_too_deeply_costs_itself_only(tmp_path, deep, name):
    good = '{"prompt": "Q"}'
    lines = [f'{{"prompt": "Q", "sampling": {deep}}}', good]
    path = tmp_path / name
    path.write_text("\n".join(lines) if name == "rows.jsonl" else f"[{','.join(lines)}]")
    bad, fine = [row for _, row in rows(path)]
    assert bad.problem == "nested more than 100 deep"
    assert fine == {"prompt": "Q"}


def test_brackets_in_a_text_are_no_nesting(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "[" * 5000 + "{" * 5000}) + "\n")
    ((_, row),) = rows(path)
    assert len(row["prompt"]) == 10_000
