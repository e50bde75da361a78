import numpy as np
import pytest

from plaudit.data.score_rows import request, scored, with_scores
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
    result = scored(several, scores, 0)
    assert result == {"score": [1, 3, 3], "std": [0.1, 0.2, 0.3], "rank": [3, 1, 1], "best": 2}


def test_what_has_no_score_is_null_with_its_reason():
    scores = Scores(np.array([np.nan]), None, {0: "too odd"})
    result = scored(request({"prompt": "q", "response": "a"}), scores, 0)
    assert result == {"score": None, "std": None, "error": "too odd"}


def test_nothing_to_score_names_the_columns():
    with pytest.raises(DataError, match="columns id, text; expected prompt and response"):
        request({"id": 1, "text": "x"})
    assert (
        request({"q": "x", "a": "y"}, "prompt=q,response=a").conversations[0].messages[0].content
        == "x"
    )


def test_what_was_cut_and_an_empty_best_response_are_noted():
    scores = Scores(np.array([3.0, 1.0]), notes={1: "2 messages cut"})
    result = scored(request({"prompt": "q", "responses": [" ", "b"]}), scores, 0)
    assert result["note"] == "response 2: 2 messages cut; the best response is empty"


def test_the_probability_that_the_best_is_the_best():
    asked = request({"prompt": "q", "responses": ["a", "b", "c"]})
    sure = Scores(np.array([0.0, 5.0, 0.0]), factors=0.01 * np.eye(3))
    assert scored(asked, sure, 0, best_of=True)["probability"] == 1.0
    # Three equal scores with independent errors: one in three.
    open_ = Scores(np.zeros(3), factors=np.eye(3))
    assert scored(asked, open_, 0, best_of=True)["probability"] == pytest.approx(1 / 3, abs=0.03)
    # By hand: a difference of 1 with standard deviation √2 is above 0 with Φ(1/√2) = 0.7602.
    two = request({"prompt": "q", "responses": ["a", "b"]})
    normal = Scores(np.array([1.0, 0.0]), factors=np.eye(2))
    assert scored(two, normal, 0, best_of=True)["probability"] == pytest.approx(0.7602, abs=0.02)
    # Errors that move together do not make the order doubtful, however wide.
    together = Scores(np.array([0.5, 0.0]), factors=np.array([[9.0, 0.0], [9.0, 0.0]]))
    assert scored(two, together, 0, best_of=True)["probability"] == 1.0
    assert scored(two, Scores(np.zeros(2)), 0, best_of=True)["probability"] is None
    assert scored(two, Scores(np.array([1.0, 0.0])), 0, pairs=True)["probability"] == pytest.approx(
        0.7311, abs=1e-4
    )


def test_own_columns_get_a_free_name():
    row, renamed = with_scores({"score": 1, "input_score": 2, "x": 3}, {"score": 9.0})
    assert row == {"input_input_score": 1, "input_score": 2, "x": 3, "score": 9.0}
    assert renamed == ["score"]


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
