"""The packed pass equals the plain forward, for every family and every layer."""

import pytest
import torch

from plaudit.model.backbone import cut, depth, features, run_in, self_check
from plaudit.model.packed_attention import branching_ids, packed_hidden, plain_hidden

from ..conftest import FAMILIES, tiny_backbone


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("budget", "length"), [(64, 60), (1024, 60), (1024, 200)])
def test_packed_is_plain(family, budget, length):
    backbone = tiny_backbone(family)
    sequences = branching_ids(250, length)
    layers = [1, 2, depth(backbone)]
    plain = {i: hidden[0] for i, hidden in plain_hidden(backbone, sequences, layers)}
    seen = 0
    for row, hidden in packed_hidden(backbone, sequences, layers, budget):
        for index, found in zip(row.sequences, hidden, strict=True):
            scale = plain[index].abs().max()
            assert (found - plain[index]).abs().max() < 2e-5 * scale
            seen += 1
    assert seen == len(sequences)


@pytest.mark.parametrize("family", FAMILIES)
def test_features_of_a_layer_are_what_the_cut_model_gives(family):
    backbone = tiny_backbone(family)
    sequences = branching_ids(250, length=40)
    second = {}
    for indices, values in features(backbone, sequences, [2, 4], True):
        second.update(zip(indices, values[:, 0], strict=True))
    cut(backbone, 2)
    for index, ids in enumerate(sequences):
        last = backbone(torch.from_numpy(ids)[None]).last_hidden_state[0, -1]
        assert torch.allclose(last, second[index], atol=2e-5)


def test_the_self_check_passes_here_and_catches_mixing(monkeypatch):
    backbone = tiny_backbone()
    assert self_check(backbone).packed
    # A model that ignores position ids: the second response would see other positions.
    forward = type(backbone).forward

    def deaf(self, *args, position_ids=None, **kwargs):
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(backbone), "forward", deaf)
    check = self_check(backbone)
    assert not check.packed
    assert "plain pass" in str(check)
    indices = [
        i for ids, _ in features(backbone, branching_ids(250, 30), [4], check.packed) for i in ids
    ]
    assert indices == list(range(6))


def test_bfloat16_rows_are_close(recwarn):
    backbone = tiny_backbone().to(torch.bfloat16)
    check = self_check(backbone)
    assert check.packed
    assert 0 < check.error < 0.08


def test_scores_do_not_depend_on_the_batch():
    backbone = tiny_backbone()
    sequences = branching_ids(250, 50)
    together = _last_layer(backbone, [sequences])
    alone = _last_layer(backbone, [[ids] for ids in sequences])
    assert (together - alone).abs().max() < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_scores_do_not_depend_on_the_batch_and_stay_near_float32(family):
    backbone = tiny_backbone(family)
    sequences = branching_ids(250, 50)
    exact = _last_layer(backbone, [sequences])
    run_in(backbone, torch.bfloat16)
    together = _last_layer(backbone, [sequences])
    alone = _last_layer(backbone, [[ids] for ids in sequences])
    assert (together - alone).abs().max() < 0.05 * alone.std()
    assert (together - exact).norm() < 0.02 * exact.norm()
    assert self_check(backbone).packed


def _last_layer(backbone, parts):
    """[N, d] last-layer features of sequences run in these calls."""
    found = []
    for part in parts:
        values = torch.empty(len(part), 32)
        for indices, hidden in features(backbone, part, [4], True):
            values[indices] = hidden[:, 0]
        found.append(values)
    return torch.cat(found)
