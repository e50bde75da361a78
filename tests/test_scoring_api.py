"""What a Scorer takes and gives in Python: every form, and a clear word on every other."""

import numpy as np
import pytest

from plaudit import Conversation, Message, Pair, Scores, Scoring, as_conversation
from plaudit.errors import UsageError
from plaudit.scoring_api import describe, probability, rank
from plaudit.types import Source

from .conftest import talk

USER, GOOD = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a longer one"}


class Recorded(Scoring):
    """Longer is better; a response that says NO has no score. Remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def score_conversations(self, conversations):
        self.asked.append(len(conversations))
        texts = [c.messages[-1].text for c in conversations]
        mean = np.array([np.nan if "NO" in text else float(len(text)) for text in texts])
        problems = {i: "it says so" for i, text in enumerate(texts) if "NO" in text}
        factors = np.eye(len(texts), 3)
        return Scores(mean, np.ones(len(texts)), problems, factors)


@pytest.mark.parametrize(
    "given",
    [
        talk("q", "a longer one"),
        ("q", "a longer one"),
        ["q", "a longer one"],
        ([USER], "a longer one"),
        ([USER], [GOOD]),
        ("q", GOOD),
        [USER, GOOD],
        [Message("user", "q"), Message("assistant", "a longer one")],
        [("user", "q"), ("assistant", "a longer one")],
        {"messages": [USER, GOOD]},
        {"prompt": "q", "response": "a longer one"},
        {"prompt": [USER], "completion": [GOOD]},
        [USER, GOOD | {"content": [{"type": "text", "text": "a longer one"}]}],
    ],
)
def test_every_form_of_a_conversation_is_the_same_one(given):
    seen = []

    class Keep(Recorded):
        def score_conversations(self, conversations):
            seen.extend(conversations)
            return super().score_conversations(conversations)

    assert list(Keep().score([given])) == [12.0]
    assert seen == [talk("q", "a longer one")]


def test_a_prompt_with_its_responses():
    scorer = Recorded()
    scores = scorer.score("q", ["ab", [GOOD], "NO", {"role": "assistant", "content": "abc"}])
    assert scores.mean[[0, 1, 3]].tolist() == [2.0, 12.0, 3.0]
    assert scores.problems == {2: "it says so"}
    ranked = scorer.rank([USER], ["ab", "NO", "abcd"])
    assert [one.index for one in ranked] == [2, 0, 1]
    assert (ranked[0].response, ranked[0].score) == ("abcd", 4.0)
    assert ranked[2].problem == "it says so"
    assert scorer.score("q", []).mean.shape == (0,)


def test_one_bad_item_harms_no_other_and_keeps_its_place():
    scores = Recorded().score(
        [("q", "ab"), [{"role": "bot", "content": "x"}], ("q", None), ("q", "NO"), ("q", "abc")]
    )
    assert np.isnan(scores.mean).tolist() == [False, True, True, True, False]
    assert scores.mean[[0, 4]].tolist() == [2.0, 3.0]
    assert "role 'bot'" in scores.problems[1]
    assert "expected messages, found NoneType" in scores.problems[2]
    assert scores.problems[3] == "it says so"
    assert np.array_equal(scores.factors[4], [0, 0, 1])  # the third that was scored
    assert scores.std[[0, 4]].tolist() == [1.0, 1.0]


def test_probability_is_one_call_of_the_model():
    scorer = Recorded()
    pair = Pair(talk("q", "ab"), talk("q", "a"), 1.0, 1.0, "g", Source("f", 1))
    pairs = [
        ("q", "ab", "a"),
        (("q", "ab"), ("q", "a")),
        {"prompt": "q", "response_a": "ab", "response_b": "a"},
        {"prompt": [USER], "chosen": "ab", "rejected": "a"},
        pair,
    ]
    assert scorer.probability(pairs) == pytest.approx(1 / (1 + np.exp(-1)))
    assert scorer.asked == [10]
    with pytest.warns(UserWarning, match="1 of 4 conversations have no score.* pair 1: it says"):
        found = scorer.probability([("q", "a", "b"), ("q", "a", "NO")])
    assert np.isnan(found).tolist() == [False, True]
    assert scorer.probability([]).shape == (0,)


def test_any_scorer_can_rank_and_compare(fake_scorer):
    assert rank(fake_scorer, "q", ["a", "a much longer response"])[0].index == 1
    assert probability(fake_scorer, [("q", "a much longer response", "a")])[0] > 0.5


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.score("only a prompt"), "found str 'only a prompt', not a list; score takes"),
        (lambda s: s.score(["a", "b"]), "item 0 is str 'a'; score takes a prompt"),
        (lambda s: s.score([USER, GOOD]), "single message: a conversation is a list of them"),
        (lambda s: s.score(talk("q", "a")), "found Conversation .* not a list"),
        (lambda s: s.score(5), "found int 5, not a list"),
        (lambda s: s.score([5]), "item 0 is int 5"),
        (lambda s: s.score([(1, 2)]), r"item 0 is tuple \(1, 2\)"),
        (lambda s: s.score([{"text": "a"}]), "item 0 is a mapping of text"),
        (lambda s: s.score("q", "a response"), "responses is a list, found str"),
        (lambda s: s.score(7, ["a"]), "a prompt is text or messages, found int 7"),
        (lambda s: s.probability("ab"), "not a list; probability takes a list of pairs"),
        (lambda s: s.probability([("q", "a", "b", "c")]), "item 0 is tuple .*probability takes"),
        (lambda s: s.probability([{"prompt": "q"}]), "item 0 is a mapping of prompt; probability"),
    ],
)
def test_anything_else_is_an_error_that_says_what_is_taken(call, said):
    with pytest.raises(UsageError, match=said):
        call(Recorded())


def test_scores_behave_as_a_sequence_an_array_and_a_table():
    scores = Scores(
        np.array([1.0, np.nan, 3.0]), np.array([0.1, np.nan, 0.3]), {1: "why"}, np.eye(3)
    )
    assert scores[0] == 1.0
    assert scores[np.int64(2)] == 3.0
    assert scores[-1] == 3.0
    assert list(scores)[::2] == [1.0, 3.0]
    part = scores[1:]
    assert part.problems == {0: "why"}
    assert part.difference(1, 1).std == 0.0
    assert scores[np.array([True, False, True])].mean.tolist() == [1.0, 3.0]
    assert scores[[2, 0]].std.tolist() == [0.3, 0.1]
    assert np.asarray(scores)[2] == 3.0
    assert np.asarray(scores, dtype=np.float32).dtype == np.float32
    np.asarray(scores).sum()
    pytest.importorskip("pandas")
    frame = scores.to_frame()
    assert list(frame.columns) == ["mean", "std", "problem"]
    assert frame["problem"].tolist() == ["", "why", ""]


def test_a_model_says_what_it_is():
    contract = {
        "base": "smollm2",
        "layer": 22,
        "normalisation": {"mean": -8.3, "std": 1.57},
        "held_out": {"accuracy": 0.785, "log-loss": 0.471, "ECE": None},
    }
    assert describe("RewardModel", contract) == (
        "RewardModel(smollm2, 22 layers, scores -8.30 ± 1.57, held-out accuracy 0.785, "
        "held-out log-loss 0.471)"
    )
    assert "not made by plaudit" in repr(Recorded())


def test_the_forms_that_hold_tools_keep_them():
    tools = [{"type": "function", "function": {"name": "f"}}]
    seen = []

    class Keep(Recorded):
        def score_conversations(self, conversations):
            seen.extend(conversations)
            return super().score_conversations(conversations)

    Keep().score(
        [
            {"messages": [USER, GOOD], "tools": tools},
            {"prompt": "q", "response": "a longer one", "tools": tools},
        ]
    )
    assert seen == [Conversation(as_conversation("q", "a longer one").messages, tuple(tools))] * 2
