import pytest

from plaudit import reward_function
from plaudit.errors import DataError


def test_plain_and_conversational_and_none_where_unscorable(fake_scorer):
    reward = reward_function(fake_scorer, name="desk")
    assert reward.__name__ == "desk"
    message = [{"role": "user", "content": "q"}]
    responses = [
        [{"role": "assistant", "content": text}]
        for text in ("short", "a longer response", "UNSCORABLE")
    ]
    chat = reward(prompts=[message] * 3, completions=responses, completion_ids=[[1]] * 3, extra=1)
    plain = reward(["q"] * 3, ["short", "a longer response", "UNSCORABLE"])
    assert chat == plain
    assert chat[2] is None
    assert chat[1] > chat[0]
    broken = [{"role": "oracle", "content": "q"}]
    assert reward([message, broken], responses[:2])[1] is None
    assert reward([], []) == []
    with pytest.raises(DataError, match="1 prompts for 2 completions"):
        reward(["q"], ["a", "b"])
