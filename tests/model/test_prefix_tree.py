"""The prefix tree: every token once, every path whole."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plaudit.model.prefix_tree import MIN_SHARED, pack, shared_tokens


@st.composite
def trees(draw):
    """Distinct sequences that share prefixes of several depths."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    found = {}
    stems = [rng.integers(0, 5, rng.integers(0, 60)) for _ in range(4)]
    for _ in range(draw(st.integers(1, 25))):
        parts = [
            stems[rng.integers(4)][: rng.integers(0, 60)],
            rng.integers(0, 5, rng.integers(1, 40)),
        ]
        ids = np.concatenate([stems[0], *parts])
        found[ids.tobytes()] = ids
        if rng.random() < 0.3:
            prefix = ids[: rng.integers(1, len(ids) + 1)]
            found[prefix.tobytes()] = prefix
    return list(found.values())


@given(trees(), st.sampled_from([32, 100, 100_000]))
@settings(max_examples=80, deadline=None)
def test_every_sequence_can_be_read_back_from_its_row(sequences, budget):
    seen = []
    for row in pack(sequences, budget):
        assert len(row.ids) <= budget or len(row.sequences) == 1
        assert row.segments[0].context == ()
        for segment, index, scored in zip(row.segments, row.sequences, row.scored, strict=True):
            path = [row.ids[a:b] for a, b in (*segment.context, (segment.start, segment.stop))]
            places = [
                row.positions[a:b] for a, b in (*segment.context, (segment.start, segment.stop))
            ]
            assert np.array_equal(np.concatenate(path), sequences[index])
            assert np.array_equal(np.concatenate(places), np.arange(len(sequences[index])))
            assert scored == segment.stop - 1
            assert segment.depth == 0 or segment.depth >= MIN_SHARED
            seen.append(index)
    assert sorted(seen) == list(range(len(sequences)))


def test_sharing_goes_deeper_than_the_pair():
    system, prompt = np.arange(20), np.arange(100, 140)
    responses = [np.concatenate([system, prompt + k, [900 + j]]) for k in (0, 50) for j in range(3)]
    assert shared_tokens(responses) == 4 * 60 + 20
    assert shared_tokens([]) == 0
