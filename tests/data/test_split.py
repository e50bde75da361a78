"""Splits by prompt: nothing shared, nothing moved by new rows."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.data.near_duplicates import near_pairs, normalised, signature
from plaudit.data.split import split
from plaudit.types import Message, Pair, Source

from ..conftest import talk

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
]


def pair(prompt, group=None):
    return Pair(talk(prompt, "x"), talk(prompt, "y"), 1.0, 1.0, group or prompt, Source("f", 1))


prompts = st.lists(st.sampled_from(WORDS), min_size=4, max_size=12).map(" ".join)


@given(st.lists(prompts, min_size=1, max_size=60), prompts)
@settings(max_examples=40, deadline=None)
def test_rows_added_later_move_none(texts, new):
    before = split([pair(text) for text in texts], 0.3)
    after = split([pair(text) for text in [*texts, new]], 0.3)
    n = len(texts)
    assert set(before.train) == set(after.train) - {n}
    assert set(before.test) == set(after.test) - {n}


@given(st.lists(prompts, min_size=2, max_size=60))
@settings(max_examples=40, deadline=None)
def test_no_prompt_is_on_both_sides(texts):
    sides = split([pair(text) for text in texts], 0.5)
    assert not {texts[i] for i in sides.train} & {texts[i] for i in sides.test}
    assert len(sides.train) + len(sides.test) + len(sides.set_aside) == len(texts)


def test_near_duplicates_stay_together_and_a_bridge_is_set_aside():
    rng = np.random.default_rng(0)
    texts, near = [], []
    for i in range(60):
        words = list(rng.choice(WORDS, 40)) + [f"w{i}x{k}" for k in range(20)]
        texts.append(" ".join(words))
        near.append(" ".join([*words[:-1], "changed"]))
    sides = split([pair(text) for text in texts + near], 0.5)
    side = np.full(120, -1)
    side[sides.train], side[sides.test] = 0, 1
    assert (side[:60] == side[60:]).all()
    by_group = split([pair("one thing here", "g"), pair("quite another one", "g")], 0.5)
    assert len(by_group.train) in (0, 2)


def test_texts_that_share_one_phrase_are_not_near():
    long = "what do you need to find are you looking for it " + " ".join(f"a{i}" for i in range(60))
    other = "some terms or so are you looking for it too " + " ".join(f"b{i}" for i in range(60))
    signatures = np.stack([signature(long), signature(other), signature(long + " end")])
    assert near_pairs(signatures).tolist() == [[0, 2]]


def test_normalised_ignores_case_and_marks():
    assert normalised([Message("user", "Hi,  THERE!")]) == "hi there"
