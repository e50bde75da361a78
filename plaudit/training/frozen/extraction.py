"""The pass over the training material: features of every sequence, fewer layers as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.config import TrainConfig
from plaudit.errors import ModelError
from plaudit.model.reward_model import RewardModel
from plaudit.training.dataset import Material
from plaudit.training.frozen.features import FeatureCache, Features, row_tokens
from plaudit.training.frozen.head import Choice, choose
from plaudit.training.frozen.layer_search import (
    candidate_layers,
    earlier_verdict,
    highest_contender,
    keep_verdict,
    portions,
)

__all__ = ["Extraction", "extract"]

Floats = NDArray[np.float64]
Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class Extraction(NamedTuple):
    """Features, the choice made on the training pairs, and the share of layer-tokens saved."""

    features: Features
    choice: Choice
    saved_share: float


def extract(
    material: Material,
    model: RewardModel,
    cache: FeatureCache,
    config: TrainConfig,
    say: Say,
    progress: Progress | None,
) -> Extraction:
    """Run the backbone over what the cache lacks, giving up layers that cannot win."""
    full = model.engine.depth
    layers = _layers(config, full)
    order = material.shuffled()
    keys = material.keys(order)
    ends = list(portions(len(order)))
    highest = earlier_verdict(cache.folder, keys)
    if len(layers) == 1:
        ends = ends[-1:]
    elif highest is not None:
        ends = ends[-1:]
        layers = [layer for layer in layers if layer <= highest]
        say(f"a pilot on nearly these pairs left the layers up to {highest}; they are computed")
    pilot = set(material.used(order[: ends[0]])) if len(ends) > 1 else set()
    say(_estimate(material, model, cache, layers, pilot))
    spent = whole = 0.0
    start = 0
    for end in ends:
        wanted = material.used(order[start:end])
        last = end == ends[-1]
        if last:  # the rest: what is in no training pair as well
            wanted = sorted(set(range(len(material.sequences))) - set(material.used(order[:start])))
        part = [material.sequences[index] for index in wanted]
        cache.features(model.engine, part, layers, progress)
        tokens = sum(map(len, part))
        spent, whole = spent + tokens * max(layers), whole + tokens * full
        start = end
        if not last:
            layers = _contenders(material, model, cache, layers, order[:end], say)
    if len(ends) > 1:
        keep_verdict(cache.folder, keys, max(layers))
    features = cache.features(model.engine, material.sequences, layers)
    given = material.labels(material.train)
    choice = choose(
        lambda layer: material.differences(features.layer(layer), material.train), layers, given
    )
    return Extraction(features, choice, 1 - spent / max(whole, 1.0))


def _layers(config: TrainConfig, full: int) -> list[int]:
    if config.layer == "auto":
        return candidate_layers(full)
    layer = full if config.layer == "last" else int(config.layer)
    if not 1 <= layer <= full:
        raise ModelError(f"--layer {layer}: the base has {full} layers")
    return [layer]


def _contenders(
    material: Material,
    model: RewardModel,
    cache: FeatureCache,
    layers: list[int],
    index: NDArray[np.int64],
    say: Say,
) -> list[int]:
    """The layers that may still win, judged on the training pairs run so far."""
    used = material.used(index)
    part = cache.features(model.engine, [material.sequences[i] for i in used], layers)
    position = np.zeros(len(material.sequences), dtype=np.int64)
    position[used] = np.arange(len(used))

    def differences(layer: int) -> Floats:
        values = part.layer(layer)
        a, b = position[material.side[index]].T
        result: Floats = values[a].astype(np.float64) - values[b]
        return result

    given = material.labels(index)
    top = highest_contender(choose(differences, layers, given), given)
    if top < max(layers):
        say(f"after {len(index):,} pairs: nothing above layer {top} can still win; it stops there")
    return [layer for layer in layers if layer <= top]


def _estimate(
    material: Material,
    model: RewardModel,
    cache: FeatureCache,
    layers: list[int],
    pilot: set[int],
) -> str:
    """About how long the pass takes, from one timed row of it.

    A pilot's conversations are needed at every candidate layer, the others at fewer.
    """
    missing = [
        ids
        for index, ids in enumerate(material.sequences)
        if not cache.holds(ids, layers if index in pilot or not pilot else layers[:1])
    ]
    if not missing:
        return "all features are cached; the backbone does not run"
    tokens = row_tokens(missing) if model.engine.packing.packed else sum(map(len, missing))
    sample = missing[: max(1, min(len(missing), 6))]
    started = time.perf_counter()
    cache.features(model.engine, sample, layers)
    rate = (row_tokens(sample) if model.engine.packing.packed else sum(map(len, sample))) / (
        time.perf_counter() - started
    )
    minutes = tokens / rate / 60
    cached = len(material.sequences) - len(missing)
    return (
        f"{len(missing):,} conversations to run ({cached:,} cached), {tokens:,} tokens: "
        f"at most about {minutes:.1f} minutes"
    )
