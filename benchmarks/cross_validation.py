"""Accuracy and log-loss on real data, 5-fold by prompt, every choice inside the training folds.

python benchmarks/cross_validation.py DATA [--group-column subset] [--json FILE]

Fold = hash of the group mod 5. Layer, ridge and temperature are chosen on the training folds by
the very functions that `plaudit train` calls; the pass is cached as theirs.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import replace
from typing import Any

import numpy as np

from plaudit.config import TrainConfig
from plaudit.data import Tally, pairs_of, read
from plaudit.data.split import folds
from plaudit.evaluation.metrics import judged, measure
from plaudit.training.base import load_base
from plaudit.training.frozen.features import FeatureCache, Features
from plaudit.training.frozen.head import labels, select, weights
from plaudit.training.frozen.layer_search import candidate_layers
from plaudit.types import Pair


def with_debates(pairs: list[Pair], column: str) -> list[Pair]:
    """Group by a column; a debate's two sides (…_yes, …_no) are one group."""
    return [replace(p, group=re.sub(r"_[^_]*$", "", str(p.columns[column]))) for p in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--group-column")
    parser.add_argument("--json")
    options = parser.parse_args()
    pairs, side, _, features, layers = material_of(options.data, options.group_column)
    result = cross_validate(pairs, side, features, layers)
    print(json.dumps(result, indent=2))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=2)


def material_of(
    data: str, group_column: str | None
) -> tuple[list[Pair], np.ndarray, np.ndarray, Features, list[int]]:
    """Pairs, the sequences of their sides, sequences' lengths, features at candidate layers."""
    tally = Tally()
    pairs = pairs_of(read(data), tally)
    if group_column:
        pairs = with_debates(pairs, group_column)
    base = load_base(TrainConfig(), print)
    conversations = {c.id: c for pair in pairs for c in (pair.a, pair.b)}
    rendered = base.renderer.render(list(conversations.values()))
    number: dict[bytes, int] = {}
    of = {}
    sequences = []
    for key, one in zip(conversations, rendered, strict=True):
        if one.ids.tobytes() not in number:
            number[one.ids.tobytes()] = len(sequences)
            sequences.append(one.ids)
        of[key] = number[one.ids.tobytes()]
    pairs = [p for p in pairs if of[p.a.id] != of[p.b.id]]
    side = np.array([[of[p.a.id], of[p.b.id]] for p in pairs])
    engine = base.engine
    cache = FeatureCache.open(base.weights, str(base.precision.dtype), engine.packing.packed)
    layers = candidate_layers(engine.depth)
    features = cache.features(engine, sequences, layers, _progress())
    print({"dtype": str(base.precision.dtype), "dropped": tally.dropped}, flush=True)
    return pairs, side, np.array([len(ids) for ids in sequences]), features, layers


def _progress() -> Any:
    started, shown = time.perf_counter(), [0.0]

    def report(done: int, total: int) -> None:
        if done / total > shown[0] + 0.1:
            shown[0] = done / total
            print(f"{done / total:.0%} after {time.perf_counter() - started:.0f} s", flush=True)

    return report


def cross_validate(
    pairs: list[Pair], side: np.ndarray, features: Any, layers: list[int]
) -> dict[str, Any]:
    p = np.array([pair.p for pair in pairs])
    weight = np.array([pair.weight for pair in pairs])
    group = np.array([pair.group for pair in pairs])
    table = {layer: features.layer(layer) for layer in layers}

    def differences(layer: int, index: np.ndarray) -> np.ndarray:
        a, b = side[index].T
        return table[layer][a].astype(np.float64) - table[layer][b]

    margin, chosen = np.full(len(pairs), np.nan), []
    outer = folds(group.tolist(), 5)
    for fold in range(5):
        train, test = np.flatnonzero(outer != fold), np.flatnonzero(outer == fold)
        if not len(test):
            continue
        # The inner folds hash a salted group: the plain hash would leave one of them empty.
        salted = np.array([f"inner {g}" for g in group[train]])
        given = labels(p[train], weight[train], salted)
        selection = select(lambda layer, t=train: differences(layer, t), layers, given)
        x = differences(selection.layer, train)
        margin[test] = differences(selection.layer, test) @ weights(x, given, selection)
        chosen.append({"fold": fold, "pairs": len(test), "layer": selection.layer})
        print(chosen[-1], flush=True)
    values = judged(pairs, margin)
    names = ("accuracy", "log-loss", "Brier", "length baseline", "length-matched accuracy")
    return {
        "pairs": len(pairs),
        "folds": chosen,
        **{name: measure(values, name)._asdict() for name in names},
    }


if __name__ == "__main__":
    main()
