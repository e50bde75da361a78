"""Exports: formats, splits, manifests, hashes, and the way back."""

import json
import uuid
from itertools import pairwise

import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from plaudit.config import ExportConfig
from plaudit.data import Tally, pairs_of, read, split
from plaudit.data.near_duplicates import near_pairs, normalised, signature
from plaudit.errors import DataError, UsageError
from plaudit.statistics.aggregation import MODELS
from plaudit.study import Study, schema
from plaudit.study.answers import Answer, edit, resolve
from tests.study.conftest import fill, judge, person, prefers_good


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def judged(study):
    """Twelve comparisons: two votes for the good response on nine; a tie, a skip, both bad."""
    fill(study, 12)
    study.change(overlap=2)
    others = {"Question 9?": "tie", "Question 10?": "skip", "Question 11?": "both_bad"}
    for who in (person(study), person(study)):
        judge(study, who, lambda i: others.get(i.prompt[0].content) or prefers_good(i), 12)
    return study


def test_pairs_carry_votes_and_are_read_back_as_they_are(judged, tmp_path):
    done = judged.export(tmp_path / "out", aggregate="vote_share")
    found = lines(tmp_path / "out" / "train.jsonl")
    assert done.files == {"train.jsonl": len(found), "models.json": 1}
    assert sum(done.dropped.values()) + len(found) == 12
    assert done.dropped == {"both_bad": 1, "skip": 1}
    strict = [row for row in found if row["votes_a"] + row["votes_b"] == 2]
    for row in strict:
        good = "a" if "good" in row["response_a"][0]["content"] else "b"
        assert row[f"votes_{good}"] == 2
        assert (row["p"] > 0.5) == (good == "a")
        assert row["model_a"] == ("gpt" if good == "a" else "llama")
    pairs = pairs_of(read(str(tmp_path / "out" / "train.jsonl")))
    assert [pair.p for pair in pairs] == [row["p"] for row in found]


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_annotator_model_can_give_the_probabilities(judged, tmp_path, model):
    judged.export(tmp_path / "out", aggregate=model)
    for row in lines(tmp_path / "out" / "train.jsonl"):
        assert 0 <= row["p"] <= 1
        if row["votes_a"] == 2:
            assert row["p"] > 0.5
        if row["votes_b"] == 2:
            assert row["p"] < 0.5


def test_trl_rows_are_conversational_and_ties_go_beside(judged, tmp_path):
    judged.export(tmp_path / "out", format="trl", aggregate="vote_share")
    rows = lines(tmp_path / "out" / "train.jsonl")
    assert all("good" in row["chosen"][0]["content"] for row in rows)
    assert all(row["prompt"][0]["role"] == "user" and row["margin"] > 0 for row in rows)
    ties = lines(tmp_path / "out" / "ties.jsonl")
    assert all(row["votes_tie"] >= 1 for row in ties)
    assert ties
    reading = read(str(tmp_path / "out" / "train.jsonl"))
    assert reading.format == "trl"
    assert all(pair.p == 1.0 for pair in pairs_of(reading))


def test_a_data_set_folder_loads_as_the_hub_lays_it_out(judged, tmp_path):
    done = judged.export(tmp_path / "out", format="dataset", test_share=0.3)
    card = (tmp_path / "out" / "README.md").read_text()
    assert done.sha256 in card
    total = 0
    for name in set(done.files) - {"models.json"}:
        table = parquet.read_table(tmp_path / "out" / name)
        assert {"prompt", "response_a", "response_b", "p"} <= set(table.column_names)
        total += table.num_rows
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert sum(len(split) for split in loaded.values()) == total
    assert len(pairs_of(read(str(tmp_path / "out"), split="train"))) == len(loaded["train"])


def test_the_split_is_the_one_of_train(sqlite_study, tmp_path, rows):
    """Near-duplicates of a prompt fall to one side, so that `train --test` takes the files."""
    near = "Please tell me step by step how I can reset the password of my account number"
    data = [
        {"prompt": f"{near} {n}{' now' * (n % 2)}", "response_a": "yes", "response_b": "no"}
        for n in range(12)
    ]
    words = "refund order link invoice parcel voucher receipt address".split()
    data += [
        {"prompt": f"Where is my {a} and {b}?", "response_a": "here", "response_b": "there"}
        for a in words
        for b in words
        if a != b
    ]
    sqlite_study.add(rows([row | {"label": "a"} for row in data]))
    done = sqlite_study.export(tmp_path / "out", test_share=0.3)
    sides = {side: lines(tmp_path / "out" / f"{side}.jsonl") for side in ("train", "test")}
    held = {side: {row["prompt"][0]["content"] for row in found} for side, found in sides.items()}
    assert not held["train"] & held["test"]
    assert len({side for side in held if any(text.startswith(near) for text in held[side])}) == 1
    assert sum(map(len, sides.values())) + sum(done.dropped.values()) == len(data)
    everything = pairs_of(read(str(rows([row for side in sides.values() for row in side]))))
    again = split(everything, 0.3)
    assert len(again.train) + len(again.test) == len(everything)
    train, test = (pairs_of(read(str(tmp_path / "out" / f"{s}.jsonl"))) for s in sides)
    assert not leaks(train, test)


def leaks(train, test):
    """Near-duplicate prompts between two sets, as `check --test` looks for them."""
    texts = [normalised(pair.a.messages[:-1]) for pair in (*train, *test)]
    pairs = near_pairs(np.stack([signature(text) for text in texts]))
    return [pair for pair in pairs.tolist() if (pair[0] < len(train)) != (pair[1] < len(train))]


def test_a_side_without_a_prompt_is_an_error(study, tmp_path):
    fill(study, 1)
    judge(study, person(study))
    with pytest.raises(DataError, match="no prompt falls to (train|test) at --test-share 0.01"):
        study.export(tmp_path / "out", test_share=0.01)


def test_an_export_leaves_no_file_of_the_last_one_and_no_one_elses_is_touched(judged, tmp_path):
    out = tmp_path / "out"
    judged.export(out, format="dataset")
    (out / "mine.txt").write_text("mine")
    judged.export(out, format="trl", aggregate="vote_share")
    assert not (out / "data").exists()
    assert not (out / "README.md").exists()
    (out / "README.md").write_text("mine too")
    assert (out / "ties.jsonl").is_file()
    judged.export(out, format="raw")
    assert {path.name for path in out.iterdir()} == {
        *("mine.txt", "README.md", "raw.jsonl", "study.json", "manifest.json", "models.json")
    }
    assert (out / "README.md").read_text() == "mine too"


def test_columns_of_the_data_never_overrule_what_people_said(study, tmp_path, rows):
    row = {"prompt": "Hi", "responses": ["one", "two"], "ranks": [1, 2], "p": 0.1, "votes_a": 9}
    study.add(rows([row | {"label": "b", "topic": "x"}]))
    study.export(tmp_path / "out", aggregate="majority")
    (found,) = lines(tmp_path / "out" / "train.jsonl")
    won = "a" if found["response_a"][0]["content"] == "one" else "b"
    assert (found["p"] > 0.5) == (won == "a")
    assert found["columns"] == {"p": 0.1, "votes_a": 9, "label": "b", "topic": "x"}


def test_a_resolution_outweighs_the_votes(study, tmp_path):
    fill(study, 1)
    judge(study, person(study), prefers_good)
    owner = person(study, "owner")
    with study.database.read() as db:
        comparison = db.scalar(select(schema.comparison.c.id))
    (judgment,) = study.judgments()
    other = "b" if judgment.answer == "a" else "a"
    study.database.transact(lambda db: resolve(db, owner, comparison, other, uuid.uuid4().hex))
    study.export(tmp_path / "out")
    (row,) = lines(tmp_path / "out" / "train.jsonl")
    assert row["p"] == (1.0 if other == "a" else 0.0)
    study.database.transact(lambda db: resolve(db, owner, comparison, "both_bad", uuid.uuid4().hex))
    with pytest.raises(DataError, match="nothing to export of 1 comparisons .*both_bad 1"):
        study.export(tmp_path / "out")
    (row,) = lines(tmp_path / "out" / "train.jsonl")  # the last export is as it was
    assert row["aggregate"] in MODELS


def test_gold_and_few_votes_are_left_out_and_counted(judged, tmp_path, rows):
    gold = {"prompt": "Gold?", "response_a": "yes", "response_b": "no", "label": "a"}
    judged.add(rows([gold]), labels="gold")
    with pytest.raises(DataError, match=r"nothing to export.*fewer than 3 votes \d+, gold 1"):
        judged.export(tmp_path / "out", min_votes=3)
    done = judged.export(tmp_path / "out", min_votes=2)
    assert done.dropped["gold"] == 1
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["left_out"]["gold"] == 1
    assert manifest["filters"]["min_votes"] == 2
    assert len(manifest["annotator_reliability"]) == 2


def test_an_annotator_can_be_left_out(judged, tmp_path):
    who = next(iter(judged.judgments())).annotator
    with_all = judged.export(tmp_path / "all").judgments
    without = judged.export(tmp_path / "some", without=(who,)).judgments
    assert 0 < without < with_all


def test_an_unknown_model_is_refused_with_the_known_ones(study, tmp_path):
    with pytest.raises(UsageError, match="vote_share"):
        study.export(tmp_path / "out", aggregate="oracle")
    with pytest.raises(UsageError, match="pairs, trl, raw, dataset or csv"):
        ExportConfig(format="xml")


def test_equal_data_gives_an_equal_hash_in_any_order(where, rows, tmp_path):
    data = [
        {"prompt": f"Q{n}", "response_a": "yes", "response_b": "no", "label": "ab"[n % 2]}
        for n in range(20)
    ]
    hashes = set()
    for name, order in (("one", data), ("two", data[::-1])):
        with Study(where()) as study:
            study.add(rows(order, f"{name}.jsonl"))
            hashes.add(study.export(tmp_path / name).sha256)
    assert len(hashes) == 1
    with Study(where()) as study:
        study.add(rows(data[1:]))
        assert study.export(tmp_path / "three").sha256 not in hashes


ANSWERS = st.sampled_from(["left", "right", "tie", "both_bad", "skip"])


@given(
    texts=st.lists(
        st.tuples(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1)),
        min_size=1,
        max_size=4,
    ),
    answers=st.lists(st.tuples(st.integers(0, 2), ANSWERS), max_size=12),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_raw_export_added_to_a_new_study_gives_an_equal_one(tmp_path_factory, texts, answers):
    folder = tmp_path_factory.mktemp("raw")
    with Study(
        folder / "one.db", overlap=3, gold_rate=0, agreement_share=0, question="Which?"
    ) as study:
        study.write_guideline("Be fair.")
        for prompt, a, b in texts:
            if a != b and (a.strip() or b.strip()):
                study.compare(prompt, [a, b], models=["m", "n"], columns={"topic": "x"})
        people = [person(study) for _ in range(3)]
        for who, answer in answers:
            judge(study, people[who], answer, reasons=("clearer",), rationale="so")
        counts = study.counts()
        if not counts["comparisons"]:
            return
        first = study.export(folder / "one", format="raw")
        pairs = exported(study, folder / "pairs1")
    with Study(folder / "two.db") as copy:
        copy.add(folder / "one" / "raw.jsonl")
        assert copy.export(folder / "two", format="raw").sha256 == first.sha256
        assert exported(copy, folder / "pairs2") == pairs
        assert copy.counts() == counts
        again = copy.add(folder / "one" / "raw.jsonl")
        assert (again.comparisons, again.labels) == (0, 0)


def exported(study, folder):
    """The content hash of an export, or why there is nothing to export."""
    try:
        return study.export(folder).sha256
    except DataError as error:
        return str(error)


def test_a_raw_export_trains_as_votes(judged, tmp_path):
    judged.export(tmp_path / "out", format="raw")
    tally = Tally()
    reading = read(str(tmp_path / "out" / "raw.jsonl"))
    pairs = pairs_of(reading, tally)
    assert reading.format == "study"
    assert {pair.p for pair in pairs} <= {0.0, 0.5, 1.0}
    assert len(pairs) + sum(tally.dropped.values()) == 12


def test_rows_come_in_the_order_of_their_hash(judged, tmp_path):
    judged.export(tmp_path / "out", format="raw")
    hashes = [row["hash"] for row in lines(tmp_path / "out" / "raw.jsonl")]
    assert all(one < two for one, two in pairwise(hashes))


def test_no_name_or_address_is_in_any_export(study, tmp_path):
    from plaudit.study.accounts import Newcomer, invite, join

    fill(study, 2)

    def work(db):
        token = invite(db, "annotator", "test")
        jo = Newcomer(name="Jo Secret", email="jo@example.com", password="a hash")
        return join(db, token, jo)[0]

    judge(study, study.database.transact(work), count=2)
    for form in ("pairs", "trl", "raw", "dataset"):
        study.export(tmp_path / form, format=form)
        for path in (tmp_path / form).rglob("*.*"):
            assert b"Secret" not in path.read_bytes()
            assert b"jo@example" not in path.read_bytes()


def test_a_newer_raw_export_adds_what_has_changed_since(tmp_path):
    with Study(tmp_path / "a.db", gold_rate=0, agreement_share=0, retest_rate=0) as first:
        fill(first, 3)
        who = person(first)
        *_, last = judge(first, who, "left", 3)
        first.export(tmp_path / "one", format="raw")
        changed = Answer(key=uuid.uuid4().hex, answer="tie")
        first.database.transact(lambda db: edit(db, who, last, changed))
        judged_again = first.export(tmp_path / "two", format="raw")
    with Study(tmp_path / "b.db") as second:
        second.add(tmp_path / "one" / "raw.jsonl")
        assert second.add(tmp_path / "two" / "raw.jsonl").labels == 1
        assert second.counts()["remaining"] == 0
        assert second.export(tmp_path / "three", format="raw").sha256 == judged_again.sha256
