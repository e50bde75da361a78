"""The pass over the training conversations, and the layer at which it may stop.

The pass goes through the pairs in growing portions. After each, the layers are cross-validated
on all pairs so far, and layers above the best one whose loss is worse by more than one standard
error of the paired difference, by prompt group, are given up for the rest. What was found is
kept beside the features: while the pairs stay nearly the same, a refit goes straight to the
layers that were left. Held-out pairs have no part in it: where folds are measured, so that
every pair is held out once, all layers are computed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plaudit.config import TrainConfig
from plaudit.errors import ModelError
from plaudit.model.reward_model import RewardModel
from plaudit.statistics.bradley_terry import log_loss
from plaudit.training.dataset import Integers, TokenizedPairs
from plaudit.training.frozen.features import FeatureCache, Features, tokens_run
from plaudit.training.frozen.head import Labels, Selection, select, smoothed

Floats = NDArray[np.float64]
Say = Callable[[str], None]
Progress = Callable[[int, int], None]
FIRST_PORTION = 400  # pairs
TOGETHER = 8  # pairs of one prompt
WORSE_BY = 1.0  # standard errors
NEARLY_THE_SAME = 0.9  # share of the pairs, labels included, that the search was made on
FILE = "layer-search.json"


class LayerSearch(NamedTuple):
    """Features at the layers that were left, and the share of layer-tokens saved."""

    features: Features
    layers: list[int]
    saved_share: float


def search_layers(
    tokens: TokenizedPairs,
    model: RewardModel,
    cache: FeatureCache,
    config: TrainConfig,
    say: Say,
    progress: Progress | None,
) -> LayerSearch:
    """Run the backbone over what the cache lacks, giving up layers that cannot win."""
    full = model.engine.depth
    layers = asked_layers(config, full)
    order = tokens.train[shuffled([tokens.pairs[i].group for i in tokens.train])]
    keys = tokens.keys(order)
    ends = list(portions(len(order)))
    highest = earlier_search(cache.folder, keys)
    if len(layers) == 1 or len(tokens.rounds) > 1:
        ends = ends[-1:]
    elif highest is not None:
        ends = ends[-1:]
        layers = [layer for layer in layers if layer <= highest]
        say(f"an earlier search on nearly the same pairs kept the layers up to {highest}")
    first = set(tokens.used(order[: ends[0]])) if len(ends) > 1 else set()
    say(_estimate(tokens, model, cache, layers, first))
    spent = whole = 0.0
    start = 0
    for end in ends:
        wanted = tokens.used(order[start:end])
        last = end == ends[-1]
        if last:  # the rest: what is in no training pair as well
            wanted = sorted(set(range(len(tokens.sequences))) - set(tokens.used(order[:start])))
        part = [tokens.sequences[index] for index in wanted]
        cache.features(model.engine, part, layers, progress)
        count = sum(map(len, part))
        spent, whole = spent + count * max(layers), whole + count * full
        start = end
        if not last:
            layers = _contenders(tokens, model, cache, layers, order[:end], say)
    if len(ends) > 1:
        keep_search(cache.folder, keys, max(layers))
    features = cache.features(model.engine, tokens.sequences, layers)
    return LayerSearch(features, layers, 1 - spent / max(whole, 1.0))


def asked_layers(config: TrainConfig, full: int) -> list[int]:
    """The layers that --layer allows; raises ModelError for one that the base has not."""
    if config.layer == "auto":
        return candidate_layers(full)
    layer = full if config.layer == "last" else int(config.layer)
    if not 1 <= layer <= full:
        raise ModelError(f"--layer {layer}: the base has {full} layers")
    return [layer]


def candidate_layers(depth: int) -> list[int]:
    """About a dozen layers from a quarter of the depth up, the last one always among them."""
    step = max(1, round(depth / 15))
    return list(range(depth, max(0, depth // 4 - 1), -step))[::-1]


def shuffled(groups: Sequence[str], salt: str = "") -> Integers:
    """An order of pairs, by a hash of their prompt group, whose portions are fair samples.

    A prompt's pairs stay together, so that their shared tokens are run once, up to `TOGETHER`:
    with a few prompts of hundreds of pairs each, a portion would else be all of one prompt.
    """
    met: Counter[str] = Counter()
    rank = []
    for group in groups:
        rank.append(sha256(f"{salt}{group}{'+' * (met[group] // TOGETHER)}".encode()).digest())
        met[group] += 1
    return np.array(sorted(range(len(rank)), key=rank.__getitem__), dtype=np.int64)


def portions(count: int) -> Iterator[int]:
    """Ends of the portions: 400, 800, 1,600, … and the whole."""
    end = FIRST_PORTION
    while end < count:
        yield end
        end *= 2
    yield count


def _contenders(
    tokens: TokenizedPairs,
    model: RewardModel,
    cache: FeatureCache,
    layers: list[int],
    index: Integers,
    say: Say,
) -> list[int]:
    """The layers that may still win, judged on the training pairs run so far."""
    used = tokens.used(index)
    part = cache.features(model.engine, [tokens.sequences[i] for i in used], layers)
    position = np.zeros(len(tokens.sequences), dtype=np.int64)
    position[used] = np.arange(len(used))

    def differences(layer: int) -> Floats:
        values = part.layer(layer)
        a, b = position[tokens.side[index]].T
        result: Floats = values[a].astype(np.float64) - values[b]
        return result

    given = tokens.labels(index)
    top = highest_contender(select(differences, layers, given), given)
    if top < max(layers):
        say(f"after {len(index):,} pairs no layer above {top} can still win: the pass stops there")
    return [layer for layer in layers if layer <= top]


def highest_contender(selection: Selection, given: Labels) -> int:
    """The highest layer that may still be the best one."""
    results = selection.results
    losses = [log_loss(r.margins[r.best], given.p) * given.weight for r in results]
    best = int(np.argmin(smoothed([result.loss for result in results])))
    top = best
    for index in range(best + 1, len(losses)):
        difference = losses[index] - losses[best]
        if difference.mean() <= WORSE_BY * _standard_error(difference, given.group):
            top = index
    # One candidate above the best stays, so that the smoothed losses see both its sides.
    return results[max(top, min(best + 1, len(losses) - 1))].layer


def _standard_error(values: Floats, group: NDArray[np.str_]) -> float:
    """Of a mean over pairs that are alike within their groups (cluster-robust)."""
    _, member = np.unique(group, return_inverse=True)
    sums = np.bincount(member, values - values.mean())
    if len(sums) < 2:
        return float("inf")
    return float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values))


def earlier_search(folder: Path, pairs: Sequence[str]) -> int | None:
    """The highest layer that an earlier search left, if it saw nearly all of these pairs."""
    try:
        kept = json.loads((folder / FILE).read_text())
        seen = set(kept["pairs"])
        highest = int(kept["highest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    shared = sum(pair in seen for pair in pairs)
    return highest if shared >= NEARLY_THE_SAME * max(len(pairs), len(seen)) else None


def keep_search(folder: Path, pairs: Sequence[str], highest: int) -> None:
    """Write the highest layer that the search left on these pairs."""
    with suppress(OSError):  # one that is not kept costs the next run a search, no more
        (folder / FILE).write_text(json.dumps({"highest": highest, "pairs": list(pairs)}))


def _estimate(
    tokens: TokenizedPairs,
    model: RewardModel,
    cache: FeatureCache,
    layers: list[int],
    first: set[int],
) -> str:
    """About how long the pass takes, from one timed row of it.

    The first portion's conversations are needed at every candidate layer, the others at fewer.
    """
    missing = [
        ids
        for index, ids in enumerate(tokens.sequences)
        if not cache.holds(ids, layers if index in first or not first else layers[:1])
    ]
    if not missing:
        return "all features are cached; the backbone does not run"
    packed = model.engine.packing.packed
    sample = missing[: max(1, min(len(missing), 6))]
    started = time.perf_counter()
    cache.features(model.engine, sample, layers)
    rate = tokens_run(sample, packed) / (time.perf_counter() - started)
    count = tokens_run(missing, packed)
    cached = len(tokens.sequences) - len(missing)
    return (
        f"{len(missing):,} conversations to run ({cached:,} cached), {count:,} tokens: "
        f"at most about {count / rate / 60:.1f} minutes"
    )
