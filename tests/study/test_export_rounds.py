"""Exports as data again: the data's columns stand apart and come back, in every format."""

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plaudit.config import ExportConfig
from plaudit.data import pairs_of, read
from plaudit.data.readers.two_responses import MEANINGFUL
from plaudit.data.readers.votes import FIELDS, guarded, unguarded
from plaudit.errors import UsageError
from plaudit.study import Study
from plaudit.study.export_files import SCHEMA
from plaudit.study.stored_rows import COMPARISON, JUDGMENT
from tests.study.conftest import fill, judge, person, prefers_good

FORMATS = ("pairs", "trl", "dataset", "csv", "raw")
TRL = {"chosen", "rejected", "margin", "chosen_model", "rejected_model", "chosen_score"}
# Every name that any export writes or any reader of one understands.
TAKEN = sorted(
    {*MEANINGFUL, *FIELDS, *SCHEMA.names, *COMPARISON, *JUDGMENT, *TRL}
    | {"columns", "judgments", "data.x", "origins_a", "responses", "ranks", "ratings"}
)  # fmt: skip


def exported(study, folder, form):
    """An export and the name of its data."""
    keep = {} if form == "raw" else {"keep": tuple(columns_of(study))}
    done = study.export(folder, format=form, **keep)
    if form == "dataset":
        return str(folder / "data" / "train.parquet")
    return str(folder / next(name for name in done.files if "json" in name or "csv" in name))


def columns_of(study):
    from plaudit.study.stored_rows import column_names

    with study.database.read() as db:
        return sorted(column_names(db))


@given(
    names=st.lists(st.sampled_from(TAKEN), max_size=6, unique=True), form=st.sampled_from(FORMATS)
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_column_passes_for_a_field_in_two_rounds(tmp_path_factory, names, form):
    folder = tmp_path_factory.mktemp("rounds")
    columns = {name: f"0{number}" for number, name in enumerate(names)}
    columns.pop("tools", None)  # a list of them is the conversation's own
    with Study(folder / "one.db", gold_rate=0, agreement_share=0) as study:
        study.compare("Q?", ["good", "bad"], models=["m", "n"], columns=columns)
        judge(study, person(study), prefers_good)
        first = exported(study, folder / "one", form)
        assert preference(first) == ("good", columns, ("m", "n"))
    with Study(folder / "two.db", gold_rate=0, agreement_share=0) as study:
        study.add(first)
        if form != "raw":
            assert columns_of(study) == sorted(columns)
        judge(study, person(study), prefers_good)
        second = exported(study, folder / "two", form)
        assert preference(second) == ("good", columns, ("m", "n"))


def preference(data):
    """Which response is preferred, the columns, and who wrote the good and the bad one."""
    (slate,) = read(data)
    (pair,) = pairs_of([slate])
    texts = [pair.a.messages[-1].text, pair.b.messages[-1].text]
    models = {}
    if slate.origins:
        models = {
            response[-1].text: origin.model
            for response, origin in zip(slate.responses, slate.origins, strict=True)
        }
    who = (models.get("good", "m"), models.get("bad", "n"))
    return texts[0] if pair.p > 0.5 else texts[1], dict(slate.columns), who


def test_labels_of_the_first_round_never_pass_for_votes_of_the_second(study, tmp_path, rows):
    row = {"prompt": "Q1?", "response_a": "good 1", "response_b": "bad 1"}
    row |= {"votes_a": 3, "votes_b": 0, "votes_tie": 0, "p": 0.84, "aggregate": "x", "columns": {}}
    study.add(rows([row]), labels="ignore", overlap=2)
    for _ in range(2):
        judge(study, person(study), lambda i: "right" if prefers_good(i) == "left" else "left")
    study.export(tmp_path / "out")
    (found,) = [json.loads(x) for x in (tmp_path / "out" / "train.jsonl").open()]
    bad = "a" if found["response_a"][0]["content"] == "bad 1" else "b"
    good = "b" if bad == "a" else "a"
    assert (found[f"votes_{bad}"], found[f"votes_{good}"]) == (2, 0)


def test_nested_columns_can_be_named(study, tmp_path):
    for number in range(4):
        study.compare(f"Q{number}", ["good", "bad"], columns={"topic": f"t{number % 2}", "n": 1})
    judge(study, person(study), prefers_good, 4)
    for form in ("pairs", "dataset"):
        data = exported(study, tmp_path / form, form)
        for name in ("topic", "columns.topic"):
            slates = list(read(data, columns={"group": name}))
            assert sorted(slate.group for slate in slates) == ["t0", "t0", "t1", "t1"]
            assert all(slate.columns["n"] == 1 and "topic" not in slate.columns for slate in slates)


def test_tools_are_the_conversations_in_every_format(study, tmp_path, rows):
    tools = [{"type": "function", "function": {"name": "find"}}]
    row = {"prompt": "Q?", "response_a": "good", "response_b": "bad", "label": "a", "tools": tools}
    study.add(rows([row]))
    (pair,) = pairs_of(read(str(rows([row], "again.jsonl"))))
    for form in FORMATS:
        (found,) = pairs_of(read(exported(study, tmp_path / form, form)))
        assert {found.a.id, found.b.id} == {pair.a.id, pair.b.id}, form


def test_who_wrote_what_survives_mapped_columns(study, tmp_path):
    table = tmp_path / "tickets.csv"
    lines = [f"T{n},Question {n}?,first {n},second {n}" for n in range(20)]
    table.write_text("\n".join(["Ticket,Message,Bot v1,Bot v2", *lines]))
    study.add(table, columns="prompt=Message,response_a=Bot v1,response_b=Bot v2")
    judge(study, person(study), lambda i: "left" if "first" in i.left[0].content else "right", 20)
    study.export(tmp_path / "out")
    found = [json.loads(x) for x in (tmp_path / "out" / "train.jsonl").open()]
    assert {row["model_a"] for row in found} == {"Bot v1", "Bot v2"}
    for row in found:
        for side in "ab":
            wrote = "first" if row[f"model_{side}"] == "Bot v1" else "second"
            assert row[f"response_{side}"][0]["content"].startswith(wrote)
    assert study.model_results().models[0].model == "Bot v1"


@pytest.mark.parametrize(
    ("mapping", "models"),
    [
        ("prompt=q,response_a=x,response_b=y,model_a=m,model_b=n", {"gpt", "llama"}),
        ("prompt=q,response_a=x,response_b=y", {"x", "y"}),
    ],
)
def test_models_can_be_mapped_and_are_better_known_than_columns(
    study, tmp_path, rows, mapping, models
):
    study.add(
        rows([{"q": "Q?", "x": "one", "y": "two", "m": "gpt", "n": "llama"}]), columns=mapping
    )
    judge(study, person(study))
    study.export(tmp_path / "out")
    (row,) = [json.loads(x) for x in (tmp_path / "out" / "train.jsonl").open()]
    assert {row["model_a"], row["model_b"]} == models


def test_one_text_of_two_models_keeps_both(study, tmp_path):
    study.compare("Q?", ["good", "bad"], models=["gpt, large", "llama"])
    study.compare("Q?", ["good", "bad"], models=["qwen", "llama"])
    judge(study, person(study), prefers_good)
    for form in ("pairs", "dataset", "csv"):
        data = exported(study, tmp_path / form, form)
        with Study(tmp_path / f"{form}.db") as again:
            again.add(data)
            assert {m.model for m in again.model_results().models} == {
                "gpt, large",
                "qwen",
                "llama",
            }


# ------------------------------------------------------------------------------------ csv


def table(path):
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_a_vote_a_row_says_who_what_when_and_why(study, tmp_path):
    fill(study, 3, columns={"topic": "=1+1", "n": -5})
    who = person(study)
    judge(
        study,
        who,
        prefers_good,
        1,
        strength=3,
        reasons=("clearer",),
        rationale="=HYPERLINK()",
        active_ms=4500,
    )
    judge(study, who, "both_bad")
    done = study.export(tmp_path / "out", format="csv")
    rows = table(tmp_path / "out" / "votes.csv")
    assert done.judgments == len(rows) == study.counts()["judgments"]
    row = next(row for row in rows if row["strength"] == "3")
    assert (row["annotator"], row["kind"], row["chosen_model"]) == (who.pseudonym, "vote", "gpt")
    assert row["side"] == ("left" if row["label"] == row["left"] else "right")
    assert (row["active_seconds"], row["reasons"], row["note"]) == (
        "4.5",
        "clearer",
        "'=HYPERLINK()",
    )
    assert row["when"].endswith("+00:00")
    assert (row["data.topic"], row["data.n"]) == ("'=1+1", "-5")
    other = next(row for row in rows if row["label"] == "both_bad")
    assert (other["side"], other["chosen_model"]) == ("", "")


@given(st.text())
def test_no_cell_is_a_formula_and_every_text_comes_back(text):
    cell = guarded(text)
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert unguarded(cell) == text


@pytest.mark.parametrize(
    "text", ['[{"role": "user"}]', "=1", "'=1", "  -x", "a\r\nb", '"', "سلام", "\t"]
)
def test_texts_come_back_from_a_table_as_they_were(study, tmp_path, text):
    study.compare(text, [f"{text}good", f"{text}bad"])
    judge(study, person(study))
    (before,) = study.comparisons()
    data = exported(study, tmp_path / "out", "csv")
    (pair,) = pairs_of(read(data))
    assert pair.a.messages[:-1] == before.prompt
    assert {pair.a.messages[1:], pair.b.messages[1:]} == {before.response_a, before.response_b}


# ---------------------------------------------------------------------------------- names


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("flag", ["without", "only", "keep"])
def test_a_wrong_name_is_an_error_that_lists_the_names(study, tmp_path, form, flag):
    fill(study, 1, columns={"topic": "x"})
    who = person(study)
    judge(study, who)
    if (flag, form) == ("keep", "raw"):
        with pytest.raises(UsageError, match="raw has everything"):
            ExportConfig(format="raw", keep=("topic",))
        return
    known = "topic" if flag == "keep" else who.pseudonym
    with pytest.raises(UsageError, match=f"--{flag} happy-finchx: no .* there are: {known}"):
        study.export(tmp_path / "out", format=form, **{flag: ("happy-finchx",)})
    study.export(tmp_path / "out", format=form, **{flag: (known,)} if flag != "without" else {})


def test_only_and_without_choose_annotators(study, tmp_path):
    study.change(overlap=2)
    fill(study, 4)
    one, two = person(study), person(study)
    judge(study, one, prefers_good, 4)
    judge(study, two, "left", 4)
    assert study.export(tmp_path / "a", only=(one.pseudonym,)).judgments == 4
    assert study.export(tmp_path / "b", format="raw", without=(one.pseudonym,)).judgments == 4
    assert (
        study.export(
            tmp_path / "c", format="csv", only=(f"{one.pseudonym},{two.pseudonym}",)
        ).judgments
        == 8
    )


def test_a_data_set_drops_columns_unless_they_are_kept(study, tmp_path):
    fill(study, 2, columns={"topic": "x", "mail": "jo@x.org"})
    judge(study, person(study), count=2)
    done = study.export(tmp_path / "out", format="dataset")
    assert done.columns == {"topic": 2, "mail": 2}
    assert b"jo@x.org" not in (tmp_path / "out" / "data" / "train.parquet").read_bytes()
    kept = study.export(tmp_path / "kept", format="dataset", keep=("topic",))
    assert kept.columns == {"mail": 2}
    (slate, _) = read(str(tmp_path / "kept" / "data" / "train.parquet"))
    assert dict(slate.columns) == {"topic": "x"}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["columns_left_out"] == {"topic": 2, "mail": 2}
