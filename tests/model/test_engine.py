"""The engine: packed is plain, threads do not meet, gradients, devices; for every family."""

import pickle
import threading

import numpy as np
import pytest
import torch

from plaudit.errors import ModelError, UsageError
from plaudit.model.backbone import depth, keep_layers, set_dtype
from plaudit.model.engine import Engine, branching_ids, choose_device
from plaudit.model.packed_attention import FlexLayout, Kind, SegmentLayout
from plaudit.model.prefix_tree import pack

from ..conftest import FAMILIES, tiny_backbone, tiny_config


def gathered(engine, sequences, layers=None, **how):
    """[S, L, d] features in the order of the sequences."""
    found = {}
    for indices, values in engine.features(sequences, layers, **how):
        found.update(zip(indices, values, strict=True))
    return torch.stack([found[index] for index in range(len(sequences))])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("budget", "length"), [(64, 60), (1024, 60), (1024, 200)])
def test_packed_is_plain(family, budget, length):
    engine = Engine(tiny_backbone(family))
    sequences = branching_ids(250, length)
    layers = [1, 2, engine.depth]
    plain = gathered(engine, sequences, layers, packed=False)
    packed = gathered(engine, sequences, layers, packed=True, row_tokens=budget)
    assert (packed - plain).abs().max() < 2e-5 * plain.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_features_of_a_layer_are_what_the_cut_model_gives(family):
    backbone = tiny_backbone(family)
    sequences = branching_ids(250, length=40)
    second = gathered(Engine(backbone), sequences, [2, 4])[:, 0]
    keep_layers(backbone, 2)
    for index, ids in enumerate(sequences):
        last = backbone(torch.from_numpy(ids)[None]).last_hidden_state[0, -1]
        assert torch.allclose(last, second[index], atol=2e-5)


def test_the_self_check_passes_here_and_catches_mixing(monkeypatch):
    backbone = tiny_backbone()
    assert Engine(backbone).packing.packed
    # A model that ignores position ids: the second response would see other positions.
    forward = type(backbone).forward

    def deaf(self, *args, position_ids=None, **kwargs):
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(backbone), "forward", deaf)
    engine = Engine(backbone)
    assert not engine.packing.packed
    assert "plain pass" in str(engine.packing)
    indices = [i for members, _ in engine.features(branching_ids(250, 30)) for i in members]
    assert indices == list(range(6))


def test_bfloat16_rows_are_close():
    check = Engine(tiny_backbone().to(torch.bfloat16)).packing
    assert check.packed
    assert 0 < check.error < 0.08


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_do_not_depend_on_the_batch(family):
    backbone = tiny_backbone(family)
    sequences = branching_ids(250, 50)
    engine = Engine(backbone)
    exact = gathered(engine, sequences)
    alone = torch.cat([gathered(engine, [ids]) for ids in sequences])
    assert (exact - alone).abs().max() < 1e-4
    set_dtype(backbone, torch.bfloat16)
    engine = Engine(backbone)
    rounded = gathered(engine, sequences)
    alone = torch.cat([gathered(engine, [ids]) for ids in sequences])
    # How much bfloat16 depends on the batch differs from processor to processor.
    assert (rounded - alone).abs().max() < 0.3 * alone.std()
    assert (rounded - exact).norm() < 0.02 * exact.norm()


def test_frequencies_that_depend_on_the_length_run_alone():
    config = tiny_config("llama")
    config.max_position_embeddings = 40
    config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
    from transformers import AutoModel

    torch.manual_seed(0)
    engine = Engine(AutoModel.from_config(config, dtype=torch.float32).eval())
    sequences = branching_ids(250, 60)
    together = gathered(engine, sequences, packed=True)
    alone = torch.cat([gathered(engine, [ids], packed=False) for ids in sequences])
    assert (together - alone).abs().max() < 2e-5


# ------------------------------------------------------------------------------- threads


def test_the_backbone_is_left_as_it_was():
    backbone = tiny_backbone()
    backbone.train()
    backbone.layers[1].eval()
    before = dict(vars(backbone.config))
    modes = [module.training for module in backbone.modules()]
    gathered(Engine(backbone), branching_ids(250, 40), [2])
    assert vars(backbone.config) == before
    assert len(backbone.layers) == 4
    assert [module.training for module in backbone.modules()] == modes
    assert not any(module._forward_hooks for module in backbone.modules())


def test_eight_threads_and_a_second_engine_give_the_serial_bits():
    backbone = tiny_backbone()
    engine, other = Engine(backbone), Engine(backbone)
    random = np.random.default_rng(0)
    batches = [
        [random.integers(0, 250, size) for size in random.integers(5, 300, count)]
        for count in (1, 2, 7, 20, 3, 1, 40, 12)
    ]
    serial = [gathered(engine, batch, [2, 4]) for batch in batches]
    found = [None] * len(batches)
    stop = threading.Event()

    def meanwhile():
        while not stop.is_set():
            gathered(other, batches[3], [1, 3], packed=False)

    def work(number):
        for _ in range(3):
            found[number] = gathered(engine, batches[number], [2, 4])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(batches))]
    beside = threading.Thread(target=meanwhile)
    for thread in [beside, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    beside.join()
    for one, expected in zip(found, serial, strict=True):
        assert torch.equal(one, expected)


def test_an_engine_is_pickled_without_its_views():
    engine = Engine(tiny_backbone())
    sequences = branching_ids(250, 40)
    before = gathered(engine, sequences)
    assert torch.equal(gathered(pickle.loads(pickle.dumps(engine)), sequences), before)


def test_weights_that_change_are_seen():
    backbone = tiny_backbone()
    engine = Engine(backbone)
    sequences = branching_ids(250, 40)
    before = gathered(engine, sequences)
    with torch.no_grad():
        backbone.layers[0].mlp.up_proj.weight.mul_(2)
    assert not torch.allclose(gathered(engine, sequences), before)
    backbone.double().float()  # new storage, and new buffers
    assert gathered(engine, sequences).shape == before.shape


# ----------------------------------------------------------------------------- gradients

SHAPES = ("pairs", "four responses", "depth 4")
GRADIENT_FAMILIES = (*FAMILIES, "qwen2")


def trees(shape):
    """Sequences of one prompt and two or four responses, or of a tree of depth 4."""
    random = np.random.default_rng(1)

    def new(size):
        return random.integers(0, 250, size)

    if shape == "depth 4":
        found = [new(20)]
        for size in (18, 17, 19):
            found = [np.concatenate([ids, new(size)]) for ids in found for _ in range(2)]
        return found
    count = 2 if shape == "pairs" else 4
    prompts = [new(30), new(21)]
    return [np.concatenate([p, new(6 + 3 * k)]) for p in prompts for k in range(count)]


@pytest.mark.parametrize("family", GRADIENT_FAMILIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_the_padded_forward(family, shape):
    backbone = tiny_backbone(family)
    sequences = trees(shape)
    torch.manual_seed(2)
    head = torch.randn(32)
    sign = torch.tensor([1.0, -1.0] * (len(sequences) // 2))
    (gathered(Engine(backbone), sequences, gradients=True)[:, 0] @ head @ sign).backward()
    packed = {name: p.grad.clone() for name, p in backbone.named_parameters()}
    backbone.zero_grad()
    width = max(map(len, sequences))
    ids = torch.stack([torch.from_numpy(np.pad(s, (0, width - len(s)))) for s in sequences])
    lengths = torch.tensor([len(s) for s in sequences])
    mask = (torch.arange(width) < lengths[:, None]).long()
    hidden = backbone(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    (hidden[torch.arange(len(ids)), lengths - 1] @ head @ sign).backward()
    for name, parameter in backbone.named_parameters():
        scale = max(1.0, float(parameter.grad.abs().max()))
        assert (packed[name] - parameter.grad).abs().max() < 1e-5 * scale, name
    assert sum(float(grad.abs().sum()) for grad in packed.values()) > 0


def test_without_gradients_asked_for_nothing_is_recorded():
    values = gathered(Engine(tiny_backbone()), branching_ids(250, 30))
    assert not values.requires_grad


# ------------------------------------------------------------------------------- devices


@pytest.mark.parametrize("window", [None, 24])
@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_flex_attention_equals_the_segment_wise_function(window, softcap, shape):
    row = next(pack(trees(shape), 1 << 20))
    torch.manual_seed(0)
    query, (key, value) = torch.randn(1, 4, len(row.ids), 8), torch.randn(2, 1, 2, len(row.ids), 8)
    how = Kind(0.3, window, softcap)
    segments = SegmentLayout(row, torch.float32, torch.device("cpu"))
    flex = FlexLayout(row, torch.device("cpu"))
    found, expected = (layout.attend(query, key, value, how) for layout in (flex, segments))
    assert (found - expected).abs().max() < 2e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_engine_with_flex_attention_equals_the_segment_wise_one(family, monkeypatch):
    engine = Engine(tiny_backbone(family))
    sequences = trees("depth 4")
    expected = gathered(engine, sequences, packed=True)
    monkeypatch.setattr(
        "plaudit.model.engine.SegmentLayout", lambda row, _, device: FlexLayout(row, device)
    )
    found = gathered(engine, sequences, packed=True)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_engine_runs_on_the_meta_device(family):
    """meta refuses `.numpy()`, `.item()` and operands of another device."""
    engine = Engine(tiny_backbone(family).to("meta"))
    values = gathered(engine, branching_ids(250, 60), [2, 4], packed=True)
    assert values.shape == (6, 2, 32)
    assert values.device.type == "meta"


def test_a_device_that_is_not_here_is_refused():
    assert choose_device("cpu").type == "cpu"
    for name in ("cuda:99", "mps:7", "gpu", "cuda:x"):
        with pytest.raises(UsageError, match="--device"):
            choose_device(name)


def test_rows_shrink_when_an_accelerator_runs_out_of_memory(monkeypatch, caplog):
    engine = Engine(tiny_backbone())
    sequences = trees("four responses")
    expected = gathered(engine, sequences, packed=True)
    whole_row = Engine._packed_row

    def small_memory(self, row, *rest):
        if len(row.ids) > 70:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole_row(self, row, *rest)

    monkeypatch.setattr(Engine, "_packed_row", small_memory)
    with pytest.raises(ModelError, match=r"out of memory with rows of 1,024 tokens; shorten"):
        gathered(engine, sequences, packed=True)
    monkeypatch.setattr("plaudit.model.engine.ROW_TOKENS", 16)
    found = gathered(engine, sequences, packed=True, row_tokens=256)
    assert (found - expected).abs().max() < 1e-5
    assert "rows shrink to 64 tokens" in caplog.text
    assert engine.row_budget <= 64


def test_an_encoder_is_refused_by_name():
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(ModelError, match="BertModel has no list of layers"):
        Engine(BertModel(config))
    assert depth(tiny_backbone()) == 4
