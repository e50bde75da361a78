"""A sweep of all cached layers, ten ridges and five folds, on made features of HH's size.

python benchmarks/solver.py
"""

import json
import time

import numpy as np

from plaudit.statistics.bradley_terry import basis, prior_ridge, sigmoid, solve, sweep
from plaudit.training.frozen.head import PRIOR_STDS


def main(pairs: int = 1840, width: int = 576, layers: int = 12) -> None:
    rng = np.random.default_rng(0)
    folds = np.arange(pairs) % 5
    seconds, newton = 0.0, 0.0
    for _ in range(layers):
        x = rng.normal(size=(pairs, width)) * np.exp(-np.arange(width) / 80)
        p = (rng.random(pairs) < sigmoid(x @ rng.normal(size=width) * 0.1)).astype(float)
        ridges = [prior_ridge(x, std) for std in PRIOR_STDS]
        started = time.perf_counter()
        sweep(basis(x), p, np.ones(pairs), ridges, folds)
        seconds += time.perf_counter() - started
        started = time.perf_counter()
        kept = folds != 0
        solve(x[kept], p[kept], np.ones(int(kept.sum())), ridges[5])
        newton += (time.perf_counter() - started) * len(ridges) * 5
    result = {
        "layers": layers,
        "sweep_seconds": seconds,
        "one_newton_solve_a_problem_seconds": newton,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
