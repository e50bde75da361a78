"""The words baseline: a pair's margin never comes from its own prompt."""

import numpy as np

from plaudit.data.bag_of_words import BagOfWords
from plaudit.types import Pair, Source

from ..conftest import talk


def pairs_of(n, better, worse, seed=0):
    random = np.random.default_rng(seed)
    found = []
    for i in range(n):
        a, b = talk(f"q{i}", better(i)), talk(f"q{i}", worse(i))
        flip = random.random() < 0.5
        sides = (b, a) if flip else (a, b)
        found.append(Pair(*sides, float(not flip), 1.0, f"q{i}", Source("f", i)))
    return found


def right(pairs, margin):
    return float(np.mean((margin > 0) == np.array([pair.p > 0.5 for pair in pairs])))


def test_words_that_stand_under_one_prompt_only_teach_nothing():
    """Each pair twice, with words of its own: a model that saw its prompt would know it all."""
    once = pairs_of(150, lambda i: f"yes{i} up{i}", lambda i: f"no{i} down{i}")
    margin = BagOfWords(once + once).cross_fitted()
    assert np.all(margin == 0)


def test_words_that_are_shared_are_learned_and_carry_over():
    train = pairs_of(200, lambda i: f"sure, number {i}", lambda i: f"well {i} hm")
    test = pairs_of(50, lambda i: f"sure it is {i}", lambda i: f"well it was {i}", seed=1)
    words = BagOfWords(train)
    assert right(train, words.cross_fitted()) > 0.95
    assert words.accuracy().value > 0.95
    assert right(test, words.margins(test)) == 1.0


def test_held_out_margins_do_not_depend_on_held_out_labels():
    train = pairs_of(200, lambda i: f"sure, number {i}", lambda i: f"well {i} hm")
    test = pairs_of(40, lambda i: f"sure it is {i}", lambda i: f"well it was {i}", seed=1)
    flipped = [Pair(p.a, p.b, 1 - p.p, p.weight, p.group, p.source) for p in test]
    one, two = BagOfWords(train).margins(test), BagOfWords(train).margins(flipped)
    np.testing.assert_array_equal(one, two)
    alone = np.concatenate([BagOfWords(train).margins([pair]) for pair in test[:3]])
    np.testing.assert_allclose(alone, one[:3], atol=1e-9)


def test_too_few_pairs_or_prompts_are_not_fitted():
    few = pairs_of(99, lambda i: "a", lambda i: "b")
    assert BagOfWords(few).cross_fitted() is None
    one_prompt = [Pair(p.a, p.b, p.p, 1.0, "same", p.source) for p in pairs_of(200, str, repr)]
    assert BagOfWords(one_prompt).accuracy() is None


def test_half_a_surrogate_pair_is_a_word_too():
    odd = pairs_of(120, lambda i: f"\ud83d {i}", lambda i: f"fine {i}")
    assert right(odd, BagOfWords(odd).cross_fitted()) > 0.9
