"""One label, one meaning: what `add` imports is what `Slate.preference` says, and comes out again."""

import json

import pytest

from plaudit.data import pairs_of, read
from plaudit.study import Study

NAN = float("nan")
TWO = {"prompt": "q", "response_a": "one", "response_b": "two"}
LIST = {"prompt": "q", "responses": ["one", "two"]}

# (name, row, p that `one` is better; None: no label; a word of the error that names the row)
ROWS = [
    ("p alone", {**TWO, "p": 0.75, "label": None}, 0.75),
    ("p alone, the other side", {**TWO, "p": 0.1, "label": None}, 0.1),
    ("p of a tie", {**TWO, "p": 0.5, "label": None}, 0.5),
    ("p and a label that agrees", {**TWO, "p": 0.8, "label": "a"}, 0.8),
    ("votes", {**TWO, "votes_a": 3, "votes_b": 1}, 0.75),
    ("votes with ties", {**TWO, "votes_a": 1, "votes_b": 1, "votes_tie": 2}, 0.5),
    ("votes in parts", {**TWO, "votes_a": 0.5, "votes_b": 0.25}, 2 / 3),
    ("votes of a multitude", {**TWO, "votes_a": 30_000, "votes_b": 10_000}, 0.75),
    ("p beside votes", {**TWO, "p": 0.6, "votes_a": 3, "votes_b": 1}, 0.6),
    ("label a", {**TWO, "label": "a"}, 1.0),
    ("label b", {**TWO, "label": "b"}, 0.0),
    ("label tie", {**TWO, "label": "tie"}, 0.5),
    ("label both_bad", {**TWO, "label": "both_bad"}, None),
    ("label skip", {**TWO, "label": "skip"}, None),
    ("label null", {**TWO, "label": None}, None),
    ("ranks", {**LIST, "ranks": [1, 2]}, 1.0),
    ("equal ranks", {**LIST, "ranks": [1, 1]}, 0.5),
    ("ratings", {**LIST, "ratings": [1, 9]}, 0.0),
    ("ranks against ratings", {**LIST, "ranks": [1, 2], "ratings": [1, 9]}, "contradict"),
    ("p against label", {**TWO, "p": 0.2, "label": "a"}, "contradict"),
    ("preferred of trl", {"prompt": "q", "chosen": "one", "rejected": "two"}, 1.0),
]


def of_one(pair):
    """p that `one` is better, whichever way round the pair stands."""
    return pair.p if pair.a.messages[-1].text == "one" else 1.0 - pair.p


@pytest.mark.parametrize(("row", "expected"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_add_imports_what_train_sees_and_export_gives_it_back(tmp_path, rows, row, expected):
    data = str(rows([row]))
    with Study(tmp_path / "s.db") as study:
        added = study.add(data)
        if isinstance(expected, str):
            assert (added.comparisons, added.labels) == (0, 0)
            assert expected in added.problems[0]
            assert "data.jsonl:1" in added.problems[0]
            return
        trained = [of_one(pair) for pair in pairs_of(read(data))]
        assert trained == pytest.approx([] if expected is None else [expected])
        study.export(tmp_path / "raw", format="raw")
        raw = pairs_of(read(str(tmp_path / "raw" / "raw.jsonl")))
        assert [of_one(pair) for pair in raw] == pytest.approx(trained)
        if expected is None:
            return
        study.export(tmp_path / "out", aggregate="vote_share")
        (pair,) = [json.loads(x) for x in (tmp_path / "out" / "train.jsonl").open()]
        one = pair["response_a"][0]["content"] == "one"
        p = pair["p"] if one else 1.0 - pair["p"]
        assert (p > 0.5, p < 0.5) == (expected > 0.5, expected < 0.5)
        if "p" in row or expected in (2 / 3,) or row.get("votes_a", 0) > 1000:
            assert p == pytest.approx(expected, abs=1e-6)
        (again,) = pairs_of(read(str(tmp_path / "out" / "train.jsonl")))
        assert again.p == pair["p"]
        assert study.add(data).labels == 0  # the same row again is no second label


def test_preferred_among_many_gives_each_pair_its_own(tmp_path, rows):
    row = {"prompt": "q", "responses": ["one", "two", "three", "four"], "ranks": [1, 2, 2, 3]}
    with Study(tmp_path / "s.db") as study:
        added = study.add(rows([row]))
        assert (added.comparisons, added.labels) == (6, 6)
        study.export(tmp_path / "raw", format="raw")
        found = pairs_of(read(str(tmp_path / "raw" / "raw.jsonl")))
        assert len(found) == 6
        assert [j.answer for j in study.judgments()].count("tie") == 1


def test_a_label_as_a_probability_weighs_as_one_vote(tmp_path, rows):
    data = [{**TWO, "p": 0.8, "label": None}]
    with Study(tmp_path / "s.db") as study:
        study.add(rows(data))
        study.add(rows([{**TWO, "p": 0.4, "label": None}], "more.jsonl"))
        study.export(tmp_path / "out", aggregate="vote_share")
        (row,) = [json.loads(x) for x in (tmp_path / "out" / "train.jsonl").open()]
        one = row["response_a"][0]["content"] == "one"
        assert row["p"] == pytest.approx(0.6 if one else 0.4)
        assert (row["votes_a"], row["votes_b"], row["votes_tie"]) == (0, 0, 0)


def test_a_soft_label_is_no_gold_and_a_certain_one_is(tmp_path, rows):
    data = [{**TWO, "p": 0.75, "label": None}, {**TWO, "prompt": "r", "p": 1.0, "label": None}]
    with Study(tmp_path / "s.db") as study:
        added = study.add(rows(data), labels="gold")
        assert added.labels == 1
        assert added.dropped == {"no certain answer, not made gold": 1}
