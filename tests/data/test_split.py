"""Splits by prompt: nothing shared, the share asked for approached."""

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


@given(st.lists(prompts, min_size=2, max_size=60), prompts, st.sampled_from([0.1, 0.2, 0.5]))
@settings(max_examples=40, deadline=None)
def test_rows_added_later_move_the_border_one_way(texts, new, share):
    before = split([pair(text) for text in texts], share)
    after = split([pair(text) for text in [*texts, new]], share)
    old, now = set(before.test), set(after.test) - {len(texts)}
    assert old <= now or now <= old


@given(st.lists(prompts, min_size=2, max_size=60))
@settings(max_examples=40, deadline=None)
def test_every_pair_is_on_one_side_and_no_prompt_on_both(texts):
    sides = split([pair(text) for text in texts], 0.5)
    assert not {texts[i] for i in sides.train} & {texts[i] for i in sides.test}
    assert sorted([*sides.train, *sides.test]) == list(range(len(texts)))


@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=40), st.sampled_from([0.05, 0.2, 0.35, 0.5])
)
@settings(max_examples=60, deadline=None)
def test_the_share_is_as_near_as_whole_groups_allow(sizes, share):
    pairs = [
        pair(f"number{i} stands{i} alone{i}", f"g{i}")
        for i, n in enumerate(sizes)
        for _ in range(n)
    ]
    sides = split(pairs, share)
    assert len(sides.train)
    assert len(sides.test)
    assert abs(len(sides.test) - share * len(pairs)) <= max(sizes)
    assert f"held out: {len(sides.test)} of {len(pairs)} pairs" in sides.said
    assert f"{share:.0%} was asked for" in sides.said


def test_the_order_of_rows_does_not_matter():
    texts = [f"number{i} stands{i} alone{i} here{i}" for i in range(50)]
    one = split([pair(text) for text in texts], 0.3)
    other = split([pair(text) for text in texts[::-1]], 0.3)
    assert {texts[i] for i in one.test} == {texts[::-1][i] for i in other.test}


def test_near_duplicates_and_groups_stay_together():
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
    assert len(sides.test) == 60
    by_group = split([pair("one thing here", "g"), pair("quite another one", "g")], 0.5)
    assert len(by_group.train) == 2  # one cluster cannot be split


def test_texts_that_share_one_phrase_are_not_near():
    long = "what do you need to find are you looking for it " + " ".join(f"a{i}" for i in range(60))
    other = "some terms or so are you looking for it too " + " ".join(f"b{i}" for i in range(60))
    signatures = np.stack([signature(long), signature(other), signature(long + " end")])
    assert near_pairs(signatures).tolist() == [[0, 2]]


def test_normalised_ignores_case_and_marks():
    assert normalised([Message("user", "Hi,  THERE!")]) == "hi there"
    assert normalised([Message("user", "?!")]) == "?!"
