"""The verdict and what else a Report says obey their intervals."""

import numpy as np
import pytest

from plaudit.data.bag_of_words import BagOfWords
from plaudit.evaluation import evaluate
from plaudit.evaluation.metrics import judged, measure
from plaudit.evaluation.verdict import comparison, learning_curve, more_labels, verdict
from plaudit.statistics.intervals import Interval
from plaudit.types import Message, Pair, Scores, Slate, Source, messages_id

from ..conftest import talk

WORDS = [f"word{i}" for i in range(300)]


def text(random, count):
    return " ".join(random.choice(WORDS, count))


def pairs_of(n=200, seed=0, longer=0.5, better_says=""):
    """Pairs of random words: the longer is better with probability `longer`."""
    random = np.random.default_rng(seed)
    pairs = []
    for i in range(n):
        long, short = text(random, 20), text(random, 10)
        better, worse = (long, short) if random.random() < longer else (short, long)
        prompt = f"question {i}"
        a, b = talk(prompt, f"{better}{better_says}"), talk(prompt, worse)
        flip = random.random() < 0.5
        pairs.append(
            Pair(b if flip else a, a if flip else b, float(not flip), 1.0, prompt, Source("f", i))
        )
    return pairs


def of(pairs, margin):
    return judged(pairs, margin, BagOfWords(pairs).cross_fitted())


def better(pairs):
    return np.array([2 * pair.p - 1 for pair in pairs])


@pytest.mark.parametrize("seed", range(8))
def test_a_random_model_never_reads_as_success(seed):
    pairs = pairs_of(seed=seed, longer=0.75)
    margin = np.random.default_rng(seed).normal(size=len(pairs))
    assert verdict(of(pairs, margin)).startswith("Does not beat the length baseline")


def test_the_length_baseline_is_no_success():
    pairs = pairs_of(longer=0.9)
    data = of(
        pairs, np.array([len(p.a.messages[-1].text) - len(p.b.messages[-1].text) for p in pairs])
    )
    assert measure(data, "accuracy").value > 0.85
    assert verdict(data).startswith("Does not beat the length baseline")
    shorter = pairs_of(longer=0.1)  # where the shorter wins, so does the baseline
    data = of(
        shorter,
        np.array([len(p.b.messages[-1].text) - len(p.a.messages[-1].text) for p in shorter]),
    )
    assert measure(data, "length baseline").value > 0.85
    assert verdict(data).startswith("Does not beat the length baseline")


def test_a_model_that_knows_a_word_has_learned_nothing_beyond_words():
    pairs = pairs_of(better_says=" indeed")
    data = of(pairs, better(pairs))
    assert measure(data, "accuracy").value == 1.0
    said = verdict(data)
    assert said.startswith("Does not beat bag of words: nothing learned beyond words.")
    assert "Accuracy 1.000: " in said


def test_a_model_that_knows_more_beats_both():
    pairs = pairs_of()
    random = np.random.default_rng(1)
    said = verdict(of(pairs, better(pairs) + random.normal(size=len(pairs))))
    assert said.startswith("Beats the length baseline and bag of words. Accuracy 0.")


def test_where_the_interval_holds_0_it_cannot_be_told():
    pairs = pairs_of(n=120, longer=0.6)
    random = np.random.default_rng(0)
    margin = better(pairs) * np.where(random.random(len(pairs)) < 0.66, 1, -1)
    said = verdict(of(pairs, margin))
    assert said.startswith("Can't tell whether the model beats")
    assert "pairs would" in said


def test_few_prompts_give_no_verdict():
    pairs = pairs_of(n=8)
    assert verdict(judged(pairs, better(pairs))).startswith(
        "Can't tell whether the model is any good"
    )
    few = pairs_of(n=60)
    assert "bag of words not fitted" in verdict(judged(few, better(few)))


def test_soft_labels_are_measured_against_their_own_entropy():
    pairs = [Pair(p.a, p.b, 0.62, 1.0, p.group, p.source) for p in pairs_of(40)]
    data = judged(pairs, np.full(40, np.log(0.62 / 0.38)))
    assert measure(data, "accuracy").value == 1.0
    assert measure(data, "log-loss").value == pytest.approx(0.6640, abs=1e-4)
    assert measure(data, "label entropy").value == pytest.approx(0.6640, abs=1e-4)
    assert measure(data, "excess log-loss").value == pytest.approx(0.0, abs=1e-9)


def test_the_learning_curve_sentence_obeys_its_interval():
    pairs = pairs_of(24)
    random = np.random.default_rng(0)
    before = judged(pairs, random.normal(size=24))
    after = judged(pairs, before.margin + 0.2 * random.normal(size=24))
    assert "can't be told with 24 held-out pairs" in learning_curve([before, after])
    good = judged(pairs, better(pairs) * 3)
    assert "another may lower it by about" in learning_curve([before, good])
    assert "did not help" in learning_curve([good, before])
    assert learning_curve([before]) == ""


def test_more_labels_says_no_more_than_its_interval():
    assert "may lower it by about 0.070" in more_labels(Interval(0.1, 0.05, 0.15, 400, 100))
    assert "did not help" in more_labels(Interval(-0.1, -0.15, -0.05, 400, 100))
    unknown = more_labels(Interval(0.01, -0.09, 0.11, 24, 24))
    assert "can't be told with 24 held-out pairs; about 1,200 would" in unknown
    assert "would bring little" in more_labels(Interval(0.001, -0.003, 0.004, 5000, 900))


def test_two_models_are_told_apart_only_outside_0():
    assert comparison(Interval(0.1, 0.02, 0.2, 90, 90)).startswith("This model is more accurate")
    assert comparison(Interval(-0.1, -0.2, -0.02, 90, 90)).startswith("This model is less")
    unsure = comparison(Interval(0.05, -0.05, 0.15, 100, 100))
    assert unsure == (
        "Can't tell which is more accurate: +0.050 [-0.050, +0.150]; about 820 pairs would tell."
    )
    assert "would" not in comparison(Interval(0.1, 0.02, 0.2, 90, 3))


# ---- what a model was trained on


def slates(n=40):
    return [
        Slate(
            (Message("user", f"question {i}"),),
            (
                (Message("assistant", f"A long and helpful answer {i}"),),
                (Message("assistant", "No"),),
            ),
            Source("data.jsonl", i + 1),
            preferred=(0,),
            verdict="preferred",
        )
        for i in range(n)
    ]


class Trained:
    """Loves length; knows the ids of the prompts it was trained on."""

    def __init__(self, prompts):
        self.contract = {"training_prompts": prompts}

    def score(self, conversations):
        return Scores(np.array([len(c.messages[-1].text) / 9 for c in conversations]))


def prompt_ids(numbers):
    return [messages_id((Message("user", f"question {i}"),)) for i in numbers]


def test_prompts_it_was_trained_on_are_named_and_left_out():
    report = evaluate(Trained(prompt_ids(range(5))), slates())
    assert report.overlaps == {"this model": [f"data.jsonl:{i}" for i in range(1, 6)]}
    assert report.numbers["accuracy"].n == 40
    assert report.numbers["accuracy, unseen prompts"].n == 35
    assert report.verdict.endswith("This is on prompts that it was not trained on.")
    assert "Without the 5 pairs of training prompts" in str(report)
    assert any(
        "trained on the prompts of 5 of these 40 pairs: data.jsonl:1" in w for w in report.warnings
    )


def test_its_own_training_file_gives_no_verdict():
    report = evaluate(Trained(prompt_ids(range(40))), slates())
    assert report.verdict.startswith("Can't tell: the model was trained on the prompts of all 40")
    assert str(report).startswith("Can't tell: the model was trained on")


def test_a_model_without_a_list_of_prompts_is_said_to_be_unknown(constant_scorer):
    report = evaluate(constant_scorer, slates())
    assert report.facts["this model learned from"].startswith("not known")
    assert report.overlaps == {}


def test_the_other_models_prompts_are_left_out_of_the_comparison_too(constant_scorer):
    mine, other = Trained(prompt_ids(range(3))), Trained(prompt_ids(range(3, 10)))
    report = evaluate(mine, slates(), against=other)
    assert len(report.overlaps["the other model"]) == 7
    assert report.numbers["accuracy difference"].n == 40
    assert report.numbers["accuracy difference, unseen prompts"].n == 30
    everything = evaluate(mine, slates(), against=Trained(prompt_ids(range(40))))
    assert "every prompt was trained on by one of the two" in str(everything)


def test_a_response_of_several_messages_keeps_its_prompt():
    rows = slates(12)
    call = Message("assistant", "", {"tool_calls": [{"function": {"name": "look"}}]})
    long = (call, Message("tool", "it is there"), Message("assistant", "It is there, as you see"))
    row = rows[0]
    rows[0] = Slate(
        row.prompt, (long, row.responses[1]), row.source, preferred=(0,), verdict="preferred"
    )
    report = evaluate(Trained(prompt_ids([0])), rows)
    assert report.overlaps == {"this model": ["data.jsonl:1"]}


# ---- empty responses


def test_an_empty_response_that_scores_highest_is_named():
    class LovesNothing:
        def score(self, conversations):
            return Scores(np.array([-float(len(c.messages[-1].text)) for c in conversations]))

    rows = slates()
    empty = Slate(
        rows[0].prompt,
        ((Message("assistant", "Yes"),), (Message("assistant", " "),)),
        Source("data.jsonl", 99),
        preferred=(0,),
        verdict="preferred",
    )
    report = evaluate(LovesNothing(), [*rows, empty])
    assert "an empty response scores highest in 1 rows: data.jsonl:99" in report.warnings
    assert "hacks that win too often: empty" in report.warnings


def test_cuts_are_counted():
    class Cuts:
        def score(self, conversations):
            return Scores(np.zeros(len(conversations)), notes={0: "3 messages cut"})

    report = evaluate(Cuts(), slates(3))
    assert "1 responses were cut to fit, for example: 3 messages cut" in report.warnings
