"""What the layer search saves, and that it does not change the selection for the worse.

python benchmarks/layer_search.py DATA [--group-column subset] [--shuffles 5] [--json FILE]

Needs the features of all candidate layers (`cross_validation.py DATA` leaves them in the cache),
so this is the solver's time only. Each shuffle splits the prompts anew, a fifth held out, and
orders the search anew; the same head is then fitted on the layer chosen with and without it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from cross_validation import material_of

from plaudit.evaluation.metrics import judged, measure
from plaudit.training.frozen.head import Selection, labels, select, weights
from plaudit.training.frozen.layer_search import highest_contender, portions, shuffled

SHARE = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--group-column")
    parser.add_argument("--shuffles", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    pairs, side, lengths, features, layers = material_of(options.data, options.group_column)
    table = {layer: features.layer(layer) for layer in layers}
    rows = [shuffle(seed, pairs, side, lengths, table, layers) for seed in range(options.shuffles)]
    print(json.dumps(rows, indent=2))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=2)


def shuffle(
    seed: int, pairs: Any, side: Any, lengths: Any, table: dict[int, Any], layers: list[int]
) -> dict[str, Any]:
    groups = np.array([pair.group for pair in pairs])
    every = np.unique(groups)
    held = every[shuffled(every.tolist(), f"held out {seed}")[: max(1, len(every) // SHARE)]]
    is_test = np.isin(groups, held)
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    train = train[shuffled(groups[train].tolist(), str(seed))]

    def given(index: Any) -> Any:
        chosen = [pairs[i] for i in index]
        return labels(
            np.array([pair.p for pair in chosen]),
            np.array([pair.weight for pair in chosen]),
            np.array([pair.group for pair in chosen]),
        )

    def differences(index: Any) -> Callable[[int], Any]:
        a, b = side[index].T
        return lambda layer: table[layer][a].astype(np.float64) - table[layer][b]

    left, saved = with_search(train, side, lengths, layers, given, differences)
    result: dict[str, Any] = {
        "seed": seed,
        "train_pairs": len(train),
        "held_out_pairs": len(test),
        "layers_left": left,
        "layer_tokens_saved": saved,
    }
    for name, some in (("with", left), ("without", layers)):
        selection = select(differences(train), some, given(train))
        head = weights(differences(train)(selection.layer), given(train), selection)
        margin = differences(test)(selection.layer) @ head
        values = judged([pairs[i] for i in test], margin)
        result[name] = {
            "layer": selection.layer,
            "log-loss": measure(values, "log-loss").value,
            "accuracy": measure(values, "accuracy").value,
        }
    return result


def with_search(
    train: Any, side: Any, lengths: Any, layers: list[int], given: Any, differences: Any
) -> tuple[list[int], float]:
    """The layers that the search leaves on `train`, and the share of layer-tokens it saves."""
    full, start, spent = max(layers), 0, 0.0
    seen: set[int] = set()
    everything = set(np.unique(side).tolist())
    for end in portions(len(train)):
        last = end == len(train)
        new = (everything if last else set(side[train[start:end]].ravel().tolist())) - seen
        spent += lengths[list(new)].sum() * max(layers)
        seen |= new
        start = end
        if not last:
            some: Selection = select(differences(train[:end]), layers, given(train[:end]))
            top = highest_contender(some, given(train[:end]))
            layers = [layer for layer in layers if layer <= top]
    return layers, 1 - spent / (lengths.sum() * full)


if __name__ == "__main__":
    main()
