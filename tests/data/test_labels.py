"""The shared table of labels, through read and pairs_of."""

import json

import pytest

from plaudit.data import Tally, pairs_of, read

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
