"""The shared table of labels through check, train, evaluate, add and export: one preference.

Each row is asked of `COPIES` prompts, so that the data is enough to train on; a contradiction is
named by every one of the five with its line, and imported by none.
"""

import json

import numpy as np
import pytest

from plaudit.config import TrainConfig
from plaudit.data import pairs_of, read
from plaudit.data.check import DataCheck
from plaudit.errors import DataError
from plaudit.evaluation import evaluate
from plaudit.study import Study
from plaudit.training.dataset import read_data
from plaudit.types import Scores

from .labels import LABELLED

COPIES = 20
FIRST, SECOND = "one, and longer", "two"


class ByName:
    """Scores `one` above `two`, and every other response below both."""

    def score(self, conversations):
        order = (SECOND, FIRST)
        return Scores(
            np.array(
                [
                    order.index(text) + 1.0 if text in order else 0.0
                    for text in map(last, conversations)
                ]
            )
        )


def last(conversation):
    return conversation.messages[-1].text


def copies(row):
    """The row with prompts that differ and a first response that is the longer one."""
    text = json.dumps(row).replace('"one"', json.dumps(FIRST))
    names = "amber birch cedar delta ember flint grape hazel ivory jade".split()
    for number in range(COPIES):
        name = f"{names[number % 10]} {names[-number // 10]} {number}: what is it?"
        yield json.loads(text) | {"prompt": name}


def of_one(pairs):
    """p that `one` is better than `two`, of the pairs of these two, and of no others."""
    found = []
    for pair in pairs:
        texts = [last(pair.a), last(pair.b)]
        if set(texts) == {FIRST, SECOND}:
            found.append(pair.p if texts[0] == FIRST else 1.0 - pair.p)
    return found


@pytest.fixture
def data(tmp_path, row):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in copies(row)))
    return str(path)


IDS = [name for name, _, _ in LABELLED]
ROWS = pytest.mark.parametrize(("row", "expected"), [row[1:] for row in LABELLED], ids=IDS)


@ROWS
def test_all_five_agree(data, tmp_path, expected):
    if isinstance(expected, str):
        return named_everywhere_and_imported_nowhere(data, tmp_path, expected)
    pairs = pairs_of(read(data))
    wanted = [] if expected is None else [expected] * COPIES
    assert of_one(pairs) == pytest.approx(wanted)
    assert checked(data)["pairs"] == len(pairs)
    assert checked(data)["ties"] == sum(pair.p == 0.5 for pair in pairs)
    if not pairs:
        with pytest.raises(DataError, match="no comparison has a label"):
            read_data(data, TrainConfig(), lambda line: None)
        with pytest.raises(DataError, match="no usable comparison"):
            evaluate(ByName(), data)
    else:
        longer = checked(data).get("the longer response wins")
        if len(pairs) == COPIES and expected != 0.5:
            assert (longer.n, longer.value) == (COPIES, expected > 0.5)
        assert of_one(read_data(data, TrainConfig(), lambda line: None).pairs) == of_one(pairs)
        judged = evaluate(ByName(), data).judged
        assert judged.p.tolist() == [pair.p for pair in pairs]
        credited = (judged.margin > 0) == (judged.p > 0.5)
        if wanted and len(pairs) == COPIES and expected != 0.5:
            assert set(credited.tolist()) == {expected > 0.5}
    added_and_exported(data, tmp_path, pairs)


def checked(data):
    check = DataCheck()
    for _ in check.watch(read(data)):
        pass
    return check.findings().facts


def added_and_exported(data, tmp_path, pairs):
    """What `add` imports comes out of both exports with the same preference."""
    with Study(tmp_path / "s.db") as study:
        added = study.add(data)
        assert not added.problems
        study.export(tmp_path / "raw", format="raw")
        raw = of_one(pairs_of(read(str(tmp_path / "raw" / "raw.jsonl"))))
        assert raw == pytest.approx(of_one(pairs))
        if not pairs:
            with pytest.raises(DataError, match="nothing to export"):
                study.export(tmp_path / "pairs")
            return
        study.export(tmp_path / "pairs", aggregate="vote_share")
        again = of_one(pairs_of(read(str(tmp_path / "pairs" / "train.jsonl"))))
        assert np.sign(np.array(again) - 0.5).tolist() == np.sign(np.array(raw) - 0.5).tolist()


def named_everywhere_and_imported_nowhere(data, tmp_path, word):
    check = DataCheck()
    assert list(check.watch(read(data))) == []
    report = check.findings()
    assert (report.ok, report.unreadable) == (False, COPIES)
    assert f"{data}:1: " in report.found[0].examples[0]
    assert word in report.found[0].examples[0]
    with pytest.raises(DataError, match=f"{COPIES} of {COPIES} rows"):
        read_data(data, TrainConfig(), lambda line: None)
    with pytest.raises(DataError, match=f"{COPIES} of {COPIES} rows") as caught:
        evaluate(ByName(), data)
    assert word in str(caught.value)
    with Study(tmp_path / "s.db") as study:
        added = study.add(data)
        assert (added.comparisons, added.labels) == (0, 0)
        assert word in added.problems[0]
        assert f"{data}:1" in added.problems[0]
        with pytest.raises(DataError, match="nothing to export"):
            study.export(tmp_path / "pairs")
