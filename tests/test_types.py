import numpy as np
import pytest

from plaudit.errors import DataError
from plaudit.types import Conversation, Message, Pair, Scores, Slate, Source, as_conversation

from .conftest import talk


def test_a_conversation_is_known_by_its_content():
    assert talk("a", "b").id == as_conversation("a", "b").id
    assert talk("a", "b").id != talk("ab", "").id


def test_a_conversation_ends_with_the_assistant():
    with pytest.raises(DataError, match="must end with an assistant message"):
        Conversation((Message("user", "a"),))


def test_messages_are_checked_where_they_enter():
    with pytest.raises(
        DataError, match=r"message 1: role 'bot' is not one of system, developer, user"
    ):
        as_conversation([{"role": "bot", "content": "x"}], "y")
    with pytest.raises(DataError, match="message 1: content must be text or parts, found int"):
        as_conversation([{"role": "user", "content": 5}], "y")
    with pytest.raises(DataError, match="expected messages, found NoneType"):
        as_conversation(None, "y")


def test_slates_and_pairs_refuse_what_they_cannot_hold():
    responses = ((Message("assistant", "x"),), (Message("assistant", "y"),))
    with pytest.raises(DataError, match="3 ranks for 2 responses"):
        Slate((), responses, Source("f", 1), ranks=(1, 2, 3))
    with pytest.raises(DataError, match=r"f:1: p must lie in \[0, 1\], found 1.5"):
        Pair(talk("a", "b"), talk("a", "c"), 1.5, 1.0, "g", Source("f", 1))


def test_a_nan_score_needs_its_reason():
    with pytest.raises(ValueError, match="score 1 is NaN without a reason"):
        Scores(np.array([0.0, np.nan]))


def test_a_difference_counts_the_covariance():
    factors = np.array([[1.0, 2.0], [1.0, 1.0]])
    difference = Scores(np.array([2.0, 1.0]), factors=factors).difference(0, 1)
    assert difference.mean == 1.0
    assert difference.std == pytest.approx(1.0)  # not sqrt(5 + 2): they move together
    assert difference.probability == pytest.approx(1 / (1 + np.exp(-1)))
