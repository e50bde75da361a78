"""The cache: only what is new is computed, an interruption resumes, no wrong number."""

from pathlib import Path

import numpy as np
import pytest
import torch

from plaudit.errors import CacheError
from plaudit.model.engine import Engine, branching_ids
from plaudit.training.frozen import features as module
from plaudit.training.frozen.features import FeatureCache

from ..conftest import tiny_backbone

LAYERS = [2, 4]


@pytest.fixture
def engine():
    return Engine(tiny_backbone())


def sequences():
    rng = np.random.default_rng(5)
    stem = rng.integers(0, 250, 30)
    return branching_ids(250, 40) + [
        np.concatenate([stem, rng.integers(0, 250, 5 + i)]) for i in range(40)
    ]


def opened(tmp_path):
    return FeatureCache.open("weights", "float32", True, tmp_path)


def test_only_what_is_new_is_computed(tmp_path, engine):
    every = sequences()
    first = opened(tmp_path).features(engine, every[:30], LAYERS)
    assert first.computed == 30
    second = opened(tmp_path).features(engine, every, LAYERS)
    assert second.computed == len(every) - 30
    assert np.array_equal(second.layer(2)[:30], first.layer(2))
    assert opened(tmp_path).features(engine, every, [4]).computed == 0
    assert opened(tmp_path).features(engine, every, [3]).computed == len(every)
    other = FeatureCache.open("weights", "bfloat16", True, tmp_path)
    assert not any(other.holds(ids, [4]) for ids in every)


def test_features_are_the_models(tmp_path, engine):
    every = sequences()
    found = opened(tmp_path).features(engine, every, LAYERS).layer(4)
    for index in (0, 7, 20):
        last = engine.backbone(torch.from_numpy(every[index])[None]).last_hidden_state[0, -1]
        assert np.abs(found[index] - last.detach().numpy()).max() < 2e-3 * np.abs(found).max()


def test_an_interrupted_pass_keeps_what_it_did(tmp_path, engine, monkeypatch):
    every = sequences()
    monkeypatch.setattr(module, "SHARD", 4)
    whole = Engine.features

    def in_small_rows(engine, sequences, layers):
        return whole(engine, sequences, layers, row_tokens=200)

    monkeypatch.setattr(Engine, "features", in_small_rows)

    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path).features(engine, every, LAYERS, stop)
    resumed = opened(tmp_path).features(engine, every, LAYERS)
    assert 0 < resumed.computed < len(every) / 2


def test_a_corrupt_shard_is_computed_again(tmp_path, engine):
    every = sequences()
    right = opened(tmp_path).features(engine, every, LAYERS).layer(4)
    for path in tmp_path.rglob("*.safetensors"):
        data = bytearray(path.read_bytes())
        data[-40] ^= 0xFF
        path.write_bytes(bytes(data))
    cache = opened(tmp_path)
    assert len(cache.discarded) == 1
    again = cache.features(engine, every, LAYERS)
    assert again.computed == len(every)
    assert np.array_equal(again.layer(4), right)
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    assert len(opened(tmp_path).discarded) == 1


def test_a_full_disk_is_one_clear_error(tmp_path, engine, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(
        CacheError, match="No space left on device. Free some space, or set PLAUDIT_FEATURES"
    ):
        opened(tmp_path).features(engine, sequences(), LAYERS)
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_that_cannot_be_written_is_refused_before_the_backbone_runs(tmp_path, engine):
    (tmp_path / "file").write_text("not a folder")
    for place in (tmp_path / "file" / "features", "/proc/plaudit"):
        cache = FeatureCache.open("weights", "float32", True, Path(place))
        with pytest.raises(CacheError, match="cannot write features to .*set PLAUDIT_FEATURES"):
            cache.features(engine, sequences(), LAYERS)


def test_an_empty_variable_counts_as_not_set(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path))
    monkeypatch.setenv("PLAUDIT_FEATURES", "")
    assert module.features_folder() == tmp_path / "features"
    monkeypatch.setenv("PLAUDIT_FEATURES", "~/here")
    assert module.features_folder() == Path.home() / "here"
