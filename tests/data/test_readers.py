"""Every reader: a sample row is detected as its format, and says who won."""

import gzip
import json

import pytest

from plaudit.data import Tally, pairs_of, read
from plaudit.data.files import rows
from plaudit.data.readers import READERS
from plaudit.errors import DataError, UsageError

from ..conftest import SHARED
from .foreign_rows import FOREIGN

M = [{"role": "user", "content": "Hi there"}]
A, B = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "bad"}
# format, row, expected (better response, worse response, p) of its first pair
J = {"annotator": "x", "kind": "vote", "created_at": 1.0}
SAMPLES = [
    ("trl", {"prompt": "q", "chosen": "good", "rejected": "bad", "margin": 2}, 1.0),
    ("trl", {"prompt": M, "chosen": [A], "rejected": [B]}, 1.0),
    ("trl", {"chosen": [*M, A], "rejected": [*M, B]}, 1.0),
    ("trl", {"prompt": "q", "chosen": "good", "rejected": "bad", "subset": "mine"}, 1.0),
    (
        "hh-rlhf",
        {"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"},
        1.0,
    ),
    (
        "two-responses",
        {"prompt": "q", "response_a": "good", "response_b": "bad", "label": "a"},
        1.0,
    ),
    (
        "two-responses",
        {"prompt": "q", "response_a": "good", "response_b": "bad", "label": "tie"},
        0.5,
    ),
    (
        "two-responses",
        {"prompt": "q", "response_a": "good", "response_b": "bad", "votes_a": 3, "votes_b": 1},
        0.75,
    ),
    ("ranked", {"prompt": "q", "responses": ["good", "bad", "bad2"], "ranks": [1, 2, 2]}, 1.0),
    ("ranked", {"prompt": "q", "responses": ["good", "bad"], "scores": [0.9, 0.1]}, 1.0),
    ("ranked", {"prompt": "q", "responses": ["good", "bad"], "ranking": [0, 1]}, 1.0),
    (
        "study",
        {
            "prompt": M,
            "response_a": [A],
            "response_b": [B],
            "group": "g",
            "judgments": [
                {**J, "key": "1", "answer": "b"},
                {**J, "key": "2", "answer": "a", "supersedes": "1"},
                {**J, "key": "3", "answer": "b", "kind": "retest"},
                {**J, "key": "4", "answer": "skip"},
            ],
        },
        1.0,
    ),
    (
        "two-responses",
        {"prompt": "q", "response_a": "good", "response_b": "bad", "p": 0.8, "label": "a"},
        0.8,
    ),
    (
        "helpsteer2",
        {"prompt": "q", "response_1": "good", "response_2": "bad", "preference_strength": -2},
        1.0,
    ),
    (
        "helpsteer3",
        {"context": M, "response1": "good", "response2": "bad", "overall_preference": -1},
        1.0,
    ),
    (
        "ultrafeedback",
        {
            "instruction": "q",
            "completions": [
                {"response": "good", "overall_score": 8.0},
                {"response": "bad", "overall_score": 3.0},
            ],
        },
        1.0,
    ),
    ("trl", {"instruction": "q", "input": "more", "chosen": "good", "rejected": "bad"}, 1.0),
    ("trl", {"system": "s", "question": "q", "chosen": "good", "rejected": "bad"}, 1.0),
    *FOREIGN,
    ("arena", {"conversation_a": [*M, A], "conversation_b": [*M, B], "winner": "model_a"}, 1.0),
    (
        "arena-55k",
        {
            "prompt": '["q"]',
            "response_a": '["good"]',
            "response_b": '["bad"]',
            "winner_model_a": 1,
            "winner_model_b": 0,
            "winner_tie": 0,
        },
        1.0,
    ),
    (
        "rewardbench",
        {"id": 3, "prompt": "q", "chosen": "good", "rejected": "bad", "subset": "hep-cpp"},
        1.0,
    ),
    (
        "rewardbench2",
        {
            "id": "1",
            "prompt": "q",
            "chosen": ["good"],
            "rejected": ["bad", "b2", "b3"],
            "num_correct": 1,
            "subset": "Focus",
        },
        1.0,
    ),
    (
        "rm-bench",
        {
            "id": 1,
            "prompt": "q",
            "chosen": ["good", "g2", "g3"],
            "rejected": ["bad", "b2", "b3"],
            "domain": "chat",
        },
        1.0,
    ),
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(("name", "row", "p"), SAMPLES)
def test_a_row_is_detected_and_read(tmp_path, name, row, p):
    reading = read(write(tmp_path / "data.jsonl", [row] * 3))
    pairs = pairs_of(reading)
    assert (reading.format, reading.rows, reading.bad) == (name, 3, 0)
    assert pairs[0].p == p
    assert pairs[0].a.messages[-1].text == "good"
    assert pairs[0].b.messages[-1].text.startswith("bad")
    reading.refuse_unread()
    assert sum(pair.weight for pair in pairs) == pytest.approx(3)


def test_every_reader_has_a_sample():
    apart = {"candidates", "helpsteer2-ratings", "votes"}
    assert {name for name, _, _ in SAMPLES} | apart == set(READERS)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "response_a": "x", "response_b": "y", "model_a": "m", "model_b": "n"},
        {"question": "q", "responses": [{"text": "x", "model": "m"}, {"text": "y", "model": "n"}]},
        {
            "prompt": "q",
            "responses": ["x", "y"],
            "models": ["m", {"model": "n", "sampling": {"t": 1}}],
        },
    ],
)
def test_candidates_have_origins_and_no_label(tmp_path, row):
    reading = read(write(tmp_path / "d.jsonl", [row]))
    (slate,) = reading
    assert reading.format == "candidates"
    assert [origin.model for origin in slate.origins] == ["m", "n"]
    tally = Tally()
    assert pairs_of([slate], tally) == []
    assert tally.dropped == {"no label": 1}


def test_a_resolution_outweighs_votes_and_both_bad_leaves(tmp_path):
    row = {"prompt": M, "response_a": [A], "response_b": [B], "judgments": []}
    votes = [{**J, "key": str(n), "answer": "b"} for n in range(3)]
    resolved = [*votes, {**J, "key": "r", "answer": "a", "kind": "resolution"}]
    bad = [{**J, "key": "x", "answer": "both_bad"}]
    rows = [{**row, "judgments": j} for j in (resolved, bad, [{**J, "key": "y", "answer": "?"}])]
    tally = Tally()
    reading = read(write(tmp_path / "d.jsonl", rows))
    assert [pair.p for pair in pairs_of(reading, tally)] == [1.0]
    assert tally.dropped == {"both_bad": 1}
    assert "answer '?' is not one of a, b, tie" in str(reading.problems[0])


def test_a_bad_row_is_counted_with_its_place_and_does_not_stop(tmp_path):
    good = {"prompt": "q", "response_a": "x", "response_b": "y", "label": "a"}
    path = write(tmp_path / "d.jsonl", [good, {**good, "label": "maybe"}, good])
    with open(path, "a") as file:
        file.write("{broken\n")
    reading = read(path)
    assert len(list(reading)) == 2
    assert reading.bad == 2
    assert (
        str(reading.problems[0])
        == f"{path}:2: label 'maybe' is not one of a, b, tie, both_bad, skip; say what it means: "
        "--label-values VALUE=a,…"
    )
    assert str(reading.problems[1]).startswith(f"{path}:4: not JSON")


def test_an_unknown_layout_prints_the_columns_and_the_flag(tmp_path):
    path = tmp_path / "desk.csv"
    path.write_text("question,answer_1,answer_2,better\nhow?,so,thus,answer_2\n")
    with pytest.raises(DataError) as caught:
        read(str(path))
    flag = "--columns prompt=question,response_a=answer_1,response_b=answer_2,label=better"
    assert flag in str(caught.value)
    assert "Columns found: question, answer_1, answer_2, better" in str(caught.value)
    (pair,) = pairs_of(read(str(path), columns=flag.split()[1]))
    assert (pair.p, pair.a.messages[-1].content) == (0.0, "so")


def test_formats_and_columns_are_checked(tmp_path):
    path = write(tmp_path / "d.jsonl", [{"prompt": "q"}])
    with pytest.raises(UsageError, match="--format 'x' is not one of study, votes, rewardbench2"):
        read(path, format="x")
    with pytest.raises(UsageError, match="'answer' is not one of prompt, system"):
        read(path, columns="answer=x")


def test_both_bad_and_skip_leave_and_are_counted(tmp_path):
    row = {"prompt": "q", "response_a": "x", "response_b": "y"}
    rows = [{**row, "label": label} for label in ("a", "both_bad", "skip", None)]
    tally = Tally()
    assert len(pairs_of(read(write(tmp_path / "d.jsonl", rows)), tally)) == 1
    assert tally.dropped == {"both_bad": 1, "skip": 1, "no label": 1}


@pytest.mark.parametrize(
    ("file", "name", "rows"),
    [
        ("hh_harmless_native.jsonl.gz", "hh-rlhf", 1844),
        ("assistant_pairs.jsonl.gz", "trl", 5679),
        ("convincing_arguments_votes.jsonl.gz", "two-responses", 12870),
        ("rm_bench_chat_sample.json", "rm-bench", 40),
    ],
)
def test_real_data_is_read(file, name, rows):
    if not (SHARED / file).exists():
        pytest.skip(f"{file} is not here")
    reading = read(str(SHARED / file))
    slates = list(reading)
    assert (reading.format, reading.rows) == (name, rows)
    assert len(slates) + reading.bad == rows


def test_the_same_rows_come_from_every_kind_of_file(tmp_path):
    import pyarrow
    import pyarrow.parquet
    import zstandard
    from datasets import Dataset

    rows = [{"prompt": f"q{i}", "chosen": "good, or so", "rejected": "bad"} for i in range(30)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.csv").write_text(
        "prompt,chosen,rejected\n" + "".join(f'{r["prompt"]},"good, or so",bad\n' for r in rows)
    )
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(lines))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "train.jsonl").write_bytes(lines)
    names = ("a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "saved", "hub")
    contents = [
        [(slate.prompt, slate.responses) for slate in read(str(tmp_path / name))] for name in names
    ]
    assert len(contents[0]) == 30
    assert all(content == contents[0] for content in contents)


def test_missing_and_broken_files_are_one_clear_error(tmp_path):
    with pytest.raises(DataError, match="no such file; DATA is a file"):
        read(str(tmp_path / "none.jsonl"))
    (tmp_path / "x.doc").write_text("a\tb\n")
    with pytest.raises(DataError, match="unknown kind of file '.doc'; known are .jsonl"):
        read(str(tmp_path / "x.doc"))
    broken = gzip.compress(b'{"prompt":"q","chosen":"a","rejected":"b"}\n' * 500)[:-20]
    (tmp_path / "x.jsonl.gz").write_bytes(broken)
    with pytest.raises(DataError, match="cannot be read to its end"):
        list(read(str(tmp_path / "x.jsonl.gz")))
    (tmp_path / "ragged.csv").write_text("prompt,chosen,rejected\nq,a,b\nq,a\n")
    reading = read(str(tmp_path / "ragged.csv"))
    assert len(list(reading)) == 1
    assert (
        "2 fields where the header has 3 (prompt, chosen, rejected)" in reading.problems[0].reason
    )


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_spreadsheets_of_any_country_are_read(tmp_path, mark):
    path = tmp_path / "desk.csv"
    rows = [["question ", " answer_1", "answer_2", "better"], ["q?", "a, b; c", "no", "a"]]
    path.write_text("\n".join(mark.join(f'"{v}"' for v in row) for row in rows), "utf-8-sig")
    flag = "prompt=question,response_a=answer_1,response_b=answer_2,label=better"
    (pair,) = pairs_of(read(str(path), columns=flag))
    assert (pair.p, pair.a.messages[-1].content) == (1.0, "a, b; c")


def test_text_that_is_not_utf8_says_what_to_do(tmp_path):
    path = tmp_path / "desk.csv"
    path.write_bytes(
        "prompt,response_a,response_b,label\nGrüße,a,b,a\nHi,a,b,a\n".encode("latin-1")
    )
    reading = read(str(path))
    assert len(list(reading)) == 1
    assert "byte 0xfc after 'Gr' is not UTF-8; save the file as UTF-8" in str(reading.problems[0])


def test_json_nested_without_end_is_a_bad_row(tmp_path):
    path = tmp_path / "d.jsonl"
    row = '{"prompt": "q", "chosen": "x", "rejected": "y"}\n'
    path.write_text(row * 3 + "[" * 200_000 + "\n")
    reading = read(str(path))
    assert len(list(reading)) == 3
    assert reading.bad == 1


@pytest.mark.parametrize("chunk", [1, 2, 7, 1 << 20])
def test_a_json_list_is_read_in_parts_as_it_is_whole(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr("plaudit.data.text_rows.CHUNK", chunk)
    values = [{"a": 'x] , "y', "b": [1, {"c": -2.5e3}]}, 12, 3.5, "]", {}, [], None, {"ü": "\n"}]
    path = tmp_path / "a.json"
    for text in (json.dumps(values), " \n" + json.dumps(values, indent=1) + "\n ", "[]", "[ ]"):
        path.write_text(text)
        found = [row if isinstance(row, dict) else "bad" for _, row in rows(str(path))]
        expected = [v if isinstance(v, dict) else "bad" for v in json.loads(text)]
        assert found == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, {"a": ', "row 2 of its list"),
        ('[{"a": 1} {"a": 2}]', "row 1 of its list"),
        ('[{"a": 1},]', "row 2 of its list"),
        ('[{"a": 1}', "row 1 of its list: the file ends before its list does"),
        ("[", "row 1 of its list"),
        ('[{"a": 1}] [{"a": 2}]', "more text after its list of 1 rows"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_json_list_says_where(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        list(rows(str(path)))


def test_json_that_is_one_value_is_one_bad_row(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("3")
    assert [row.problem for _, row in rows(str(path))] == ["expected an object, found int"]


def test_a_system_message_without_a_conversation_is_read_as_it_is(tmp_path):
    """Found by the fuzz: the first message of an empty prompt was asked for."""
    row = {"system": "Be kind.", "conversations": [], "chosen": "a", "rejected": "b"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    (slate,) = read(str(path))
    assert [message.role for message in slate.prompt] == ["system"]
