"""The shared table of labels, through read and pairs_of."""

import io
import json
import re

import pytest

from plaudit.data import Tally, pairs_of, read
from plaudit.errors import DataError, UsageError

from ..labels import LABELLED


@pytest.mark.parametrize(
    ("row", "expected"), [row[1:] for row in LABELLED], ids=[r[0] for r in LABELLED]
)
def test_the_first_response_is_better_with_this_probability(tmp_path, row, expected):
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(row) + "\n")
    tally = Tally()
    reading = read(str(path))
    pairs = pairs_of(reading, tally)
    first_two = [p for p in pairs if [c.messages[-1].text for c in (p.a, p.b)] == ["one", "two"]]
    if isinstance(expected, str):
        assert (pairs, reading.bad) == ([], 1)
        assert str(reading.problems[0]).startswith(f"{path}:1: ")
        assert expected in str(reading.problems[0])
    elif expected is None:
        assert (first_two, reading.bad) == ([], 0)
        assert pairs or sum(tally.dropped.values()) == 1
    else:
        assert [pair.p for pair in first_two] == [expected]
        assert sum(pair.weight for pair in pairs) == pytest.approx(1)


def values(*labels, names=("response_a", "response_b"), column="label", **more):
    return [
        {"prompt": f"q{i}", names[0]: f"one {i}", names[1]: f"two {i}", column: label, **more}
        for i, label in enumerate(labels * 8)
    ]


def answers(rows, **settings):
    """The first three p (None: no label), and what the column was said to mean."""
    reading = read(rows, **settings)
    found = [slate.preference(0, 1) for slate in reading]
    assert reading.bad == 0
    return [None if each is None else each.p for each in found[:3]], str(reading.label)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("a", "b"), [1.0, 0.0, 1.0]),
        (("A", "B"), [1.0, 0.0, 1.0]),
        (("left", "right", "tie"), [1.0, 0.0, 0.5]),
        (("[[A]]", "[[B]]", "[[C]]"), None),  # C is not said anywhere to be a tie
        (("A>B", "B>>A", "A=B"), [1.0, 0.0, 0.5]),
        (("model_a", "model_b", "tie (bothbad)"), [1.0, 0.0, None]),
        (("Response 1", "Response 2"), [1.0, 0.0, 1.0]),
        (("response_a", "response_b"), [1.0, 0.0, 1.0]),
        ((1, 2), [1.0, 0.0, 1.0]),
        ((1.0, 2.0), [1.0, 0.0, 1.0]),
        (("1", "2", "tie"), [1.0, 0.0, 0.5]),
        (("1.0", None, "2.0"), [1.0, None, 0.0]),
        ((float("nan"), "a", ""), [None, 1.0, None]),
    ],
)
def test_values_that_say_it_themselves(labels, expected):
    if expected is None:
        assert read(values(*labels)).label is not None
        reading = read(values(*labels))
        list(reading)
        assert reading.bad == 8
        assert "label '[[C]]' is not one of" in reading.problems[0].reason
    else:
        assert answers(values(*labels))[0] == expected


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ((0, 1), "0 (in 8), 1 (in 8)"),
        ((1, 1), "1 (in 16)"),
        ((0.0, 1.0, 0.5), "0 (in 8), 0.5 (in 8), 1 (in 8)"),
        ((-1, 1), "-1 (in 8), 1 (in 8)"),
        ((-1, 0, 1), "-1 (in 8), 0 (in 8), 1 (in 8)"),
        ((1, 2, 3), "1 (in 8), 2 (in 8), 3 (in 8)"),
        (("1", "2", "3", "4", "5"), "5 (in 8)"),
        ((1, 2, 3, 4, 5, 6, 7), "7 (in 8)"),
        ((True, False), "false (in 8), true (in 8)"),
        ((0.31, 0.72), "0.31 (in 8), 0.72 (in 8)"),
        (("gut", "schlecht"), "gut (in 8), schlecht (in 8)"),
    ],
)
def test_values_in_doubt_are_refused_with_the_flag(labels, shown):
    with pytest.raises(DataError, match=re.escape(shown)) as caught:
        read(values(*labels))
    assert "--label-values" in str(caught.value)
    assert "a is response_a, b is response_b" in str(caught.value)


def test_the_flag_says_what_the_values_mean_and_examples_are_shown():
    found, said = answers(values(0, 1, 2), label_values="0=a,1=b,2=tie")
    assert found == [1.0, 0.0, 0.5]
    assert said == (
        "label: 0 = a, 1 = b, 2 = tie, as given (line 1: 0 is a; line 2: 1 is b; line 3: 2 is tie)"
    )
    assert answers(values(True, False), label_values={True: "b", False: "a"})[0] == [0.0, 1.0, 0.0]
    with pytest.raises(UsageError, match="an answer of a, b, tie, both_bad, skip, found 'first'"):
        read(values(0, 1), label_values="0=first")
    with pytest.raises(UsageError, match="expected VALUE=ANSWER, found '0'"):
        read(values(0, 1), label_values="0")
    with pytest.raises(UsageError, match="trl has no label column"):
        read([{"prompt": "q", "chosen": "x", "rejected": "y"}], label_values="0=a")


def test_a_scale_keeps_how_far_its_values_lie_from_the_middle():
    given = "1=a,2=a,3=a,4=tie,5=b,6=b,7=b"
    slates = list(read(values(1, 3, 4, 6, 7), label_values=given))[:5]
    assert [slate.strength for slate in slates] == [3, 1, 0, 2, 3]
    assert [slate.preference(0, 1).p for slate in slates] == [1, 1, 0.5, 0, 0]


def test_a_value_that_the_flag_does_not_name_costs_its_row():
    reading = read(values(0, 1, 5), label_values="0=a,1=b")
    assert len(list(reading)) == 16
    assert reading.bad == 8
    assert "label 5 is not one of 0, 1, a, b, tie, both_bad, skip" in reading.problems[0].reason


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (("response_0", "response_1"), (0, 1), [1.0, 0.0, 1.0]),
        (("response_0", "response_1"), ("1", "0"), [0.0, 1.0, 0.0]),
        (("response_1", "response_2"), (2, 1), [0.0, 1.0, 0.0]),
        (("answer_2", "answer_1"), ("answer_1", "answer_2"), [0.0, 1.0, 0.0]),
        (("answer_2", "answer_1"), (1, 2), [0.0, 1.0, 0.0]),  # the name decides, not the order
        (("old", "new"), ("new", "old"), [0.0, 1.0, 0.0]),
        (("answer_b", "answer_a"), ("answer_a", "answer_b"), [0.0, 1.0, 0.0]),
        (("answer_b", "answer_a"), ("a", "b", "tie"), [0.0, 1.0, 0.5]),
        (("right", "left"), ("left", "right"), [0.0, 1.0, 0.0]),
    ],
)
def test_the_names_of_the_columns_decide(names, labels, expected):
    columns = {"prompt": "prompt", "response_a": names[0], "response_b": names[1], "label": "best"}
    found, said = answers(values(*labels, names=names, column="best"), columns=columns)
    assert found == expected
    assert said.startswith("best: ")


def test_numbers_that_the_columns_do_not_have_are_in_doubt():
    for names, labels in (
        (("response_1", "response_2"), (0, 1)),
        (("response_0", "response_1"), (1, 2)),
    ):
        with pytest.raises(DataError, match="--label-values"):
            read(values(*labels, names=names))


def test_a_probability_is_read_where_it_is_said_to_be_one():
    with pytest.raises(DataError, match="probability that a is better: --columns p=label"):
        read(values(0.3, 0.8))
    assert answers(values(0.3, 0.8), columns="p=label")[0] == [0.3, 0.8, 0.3]


def test_names_of_models_and_texts_are_labels():
    rows = values("m2", "m1", "tie", model_a="m1", model_b="m2")
    assert answers(rows)[0] == [0.0, 1.0, 0.5]
    rows = [{**row, "label": row["response_b"]} for row in values("x")]
    assert answers(rows)[0] == [0.0, 0.0, 0.0]
    reading = read(values("m", model_a="m", model_b="m") + values("a"))
    list(reading)
    assert "label 'm' names both responses" in reading.problems[0].reason


@pytest.mark.parametrize("column", ["winner", "chosen", "better", "preferred", "verdict"])
def test_a_label_by_another_name_is_read_or_asked_for(column):
    assert answers(values("b", "a", column=column))[0] == [0.0, 1.0, 0.0]
    with pytest.raises(DataError, match="--label-values 0=a,1=b"):
        read(values(0, 1, column=column))


def test_the_whole_column_decides_not_its_beginning():
    rows = values(1) * 10 + values(2)
    for data in (rows, iter(rows)):
        reading = read(data)
        assert [slate.preference(0, 1).p for slate in reading] == [1.0] * 80 + [0.0] * 8
    assert read(values(None) * 5 + values(1, 2)).label.answers["2"] == "b"


def test_standard_input_is_looked_at_twice_too(monkeypatch):
    text = "".join(json.dumps(row) + "\n" for row in values(1) * 10 + values(2))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    reading = read("-")
    assert [slate.preference(0, 1).p for slate in reading] == [1.0] * 80 + [0.0] * 8
    assert reading.rows == 88
