import numpy as np
import pytest

from plaudit.data.score_rows import request, scored
from plaudit.errors import DataError
from plaudit.types import Scores


def test_rows_of_one_and_of_several_responses():
    one = request({"prompt": "q", "response": "a"})
    several = request({"prompt": "q", "responses": ["a", "b", "c"]})
    pair = request({"prompt": "q", "chosen": "a", "rejected": "b"})
    chat = request(
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    )
    assert [len(r.conversations) for r in (one, several, pair, chat)] == [1, 3, 2, 1]
    assert [r.several for r in (one, several, pair, chat)] == [False, True, True, False]
    scores = Scores(np.array([1.0, 3.0, 3.0]), np.array([0.1, 0.2, 0.3]))
    result = scored(several, scores, 0, 3)
    assert result == {"score": [1, 3, 3], "std": [0.1, 0.2, 0.3], "rank": [3, 1, 1], "best": 1}


def test_what_has_no_score_is_null_with_its_reason():
    scores = Scores(np.array([np.nan]), None, {0: "too odd"})
    result = scored(request({"prompt": "q", "response": "a"}), scores, 0, 1)
    assert result == {"score": None, "std": None, "error": "too odd"}


def test_nothing_to_score_names_the_columns():
    with pytest.raises(DataError, match="columns id, text; expected prompt and response"):
        request({"id": 1, "text": "x"})
    assert (
        request({"q": "x", "a": "y"}, "prompt=q,response=a").conversations[0].messages[0].content
        == "x"
    )


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"instruction": "q", "input": "more", "output": "a"}, ["q\nmore"]),
        ({"system": "s", "question": "q", "answer": "a"}, ["s", "q"]),
        ({"prompt": "\n\nHuman: q\n\nAssistant:", "response": "a"}, ["q"]),
        (
            {
                "messages": '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]'
            },
            ["q"],
        ),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            ["q"],
        ),
        (
            {
                "prompt": "q",
                "response": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "a"},
                ],
            },
            ["q"],
        ),
    ],
)
def test_all_of_the_conversation_is_scored(row, prompt):
    (conversation,) = request(row).conversations
    assert [message.text for message in conversation.messages] == [*prompt, "a"]


def test_an_unread_part_of_the_conversation_is_no_score():
    row = {"prompt": "q", "context": "c", "response": "a"}
    with pytest.raises(DataError, match="column 'context' looks like a part of the conversation"):
        request(row)
    (given,) = request(row, "input=context").conversations
    assert given.messages[0].text == "q\nc"
    assert request(row, "ignore=context").conversations[0].messages[0].text == "q"


def test_tool_calls_and_tools_are_scored():
    call = [{"type": "function", "function": {"name": "f", "arguments": {}}}]
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": None}]
    row = {"messages": [messages[0], {**messages[1], "tool_calls": call}], "tools": call}
    (conversation,) = request(row).conversations
    assert conversation.messages[1].fields["tool_calls"] == call
    assert conversation.tools == tuple(call)
