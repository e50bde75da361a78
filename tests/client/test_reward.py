import warnings

import numpy as np
import pytest

from plaudit import Scores, reward_function
from plaudit.errors import DataError, ModelError, UsageError

USER = {"role": "user", "content": "q"}


def answer(text):
    return [{"role": "assistant", "content": text}]


@pytest.mark.filterwarnings("ignore:plaudit")
def test_plain_and_conversational_and_none_where_unscorable(fake_scorer):
    reward = reward_function(fake_scorer, name="desk")
    assert reward.__name__ == "desk"
    responses = [answer(text) for text in ("short", "a longer response", "UNSCORABLE")]
    chat = reward(prompts=[[USER]] * 3, completions=responses, completion_ids=[[1]] * 3, extra=1)
    plain = reward(["q"] * 3, ["short", "a longer response", "UNSCORABLE"])
    assert chat == plain
    assert chat[2] is None
    assert chat[1] > chat[0]
    assert reward([[USER], [{"role": "oracle", "content": "q"}]], responses[:2])[1] is None
    assert reward([], []) == []
    with pytest.raises(DataError, match="1 prompts for 2 completions"):
        reward(["q"], ["a", "b"])
    with pytest.raises(UsageError, match="are lists"):
        reward("q", "a")


class ByLength:
    def score(self, conversations):
        return Scores(np.array([float(len(c.messages[-1].text)) for c in conversations]))


@pytest.mark.parametrize(
    ("prompt", "completion", "expected"),
    [
        ([USER | {"content": [{"type": "text", "text": "q"}]}], answer("Yes."), 4.0),
        ([USER], answer([{"type": "text", "text": "Yes"}, {"type": "text", "text": "."}]), 4.0),
        ([{"role": "developer", "content": "Be short."}, USER], answer("Yes."), 4.0),
        (
            [USER],
            [
                {"role": "assistant", "tool_calls": [{"type": "function"}]},
                {"role": "tool", "content": "3"},
                *answer("It is 3."),
            ],
            8.0,
        ),
        ([USER], answer("Yes.")[0], 4.0),
        ("q", "", 0.0),
        (None, "Yes.", None),
        ("q", None, None),
        (None, None, None),
        (float("nan"), "Yes.", None),
        ([USER], [], None),
        ("q", "Yes \ud83d", None),
        ("q \udc00", "Yes.", None),
        ([USER], [USER], None),
        ([USER], answer([{"type": "image"}, 5]), None),
    ],
)
def test_one_odd_row_is_scored_or_none_and_the_others_are_scored(prompt, completion, expected):
    reward = reward_function(ByLength())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            assert reward(["q", prompt, "q"], ["ab", completion, "abc"]) == [2.0, expected, 3.0]
    assert len(told) == (expected is None)  # the reason is told once, not at every step


def test_many_reasons_are_told_a_few_times():
    reward = reward_function(ByLength())
    rows = [[{"role": f"role {i}", "content": "q"}] for i in range(50)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert reward(rows, ["a"] * 50) == [None] * 50
    assert len(told) == 5
    assert (
        "completion 0 is None, as is every other with this reason: message 1: role 'role 0'"
        in str(told[0].message)
    )


def test_what_it_is_given_is_checked_at_once(tmp_path):
    with pytest.raises(ModelError, match="no folder"):
        reward_function(str(tmp_path / "no-model"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError):
        reward_function(tmp_path / "empty")
    for wrong in (5, None, ByLength, lambda prompts, completions: []):
        with pytest.raises(UsageError, match="takes the folder or hub id of a model, or an object"):
            reward_function(wrong)
