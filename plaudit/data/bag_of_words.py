"""The bag-of-words floor: what words alone, without a language model, can tell.

Hashed word counts, a Bradley-Terry model on their difference, held out by prompt. A reward
model that does not beat it has learned nothing beyond words.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from plaudit.data.split import folds
from plaudit.statistics.bradley_terry import log_loss, sigmoid
from plaudit.statistics.intervals import Interval, cluster_bootstrap
from plaudit.types import Pair

__all__ = ["BagOfWords"]

BUCKETS = 1 << 16
LIMIT = 20_000  # pairs kept: the floor is steady long before
FEW = 100
WORD = re.compile(r"\w+|[^\w\s]")
RIDGES = (1.0, 5.0)


class BagOfWords:
    """Collects pairs, and measures the floor by five-fold cross-validation over prompts."""

    def __init__(self) -> None:
        self._rows: list[dict[int, float]] = []
        self._p: list[float] = []
        self._group: list[str] = []

    def add(self, pair: Pair) -> None:
        """Note a pair's words, up to the limit."""
        if len(self._rows) < LIMIT:
            row = self._counts(pair.a.messages[-1].text)
            for word, value in self._counts(pair.b.messages[-1].text).items():
                row[word] = row.get(word, 0.0) - value
            self._rows.append({word: value for word, value in row.items() if value})
            self._p.append(pair.p)
            self._group.append(pair.group)

    def floor(self) -> Interval | None:
        """Held-out accuracy with its interval; None under 100 pairs or 20 prompts."""
        if len(self._rows) < FEW or len(set(self._group)) < 20:
            return None
        x, p = self._matrix(), np.array(self._p)
        fold = folds(self._group, 5)
        best: tuple[float, np.ndarray] | None = None
        for ridge in RIDGES:
            margin = np.zeros(len(p))
            for number in range(5):
                train, test = fold != number, fold == number
                if train.any() and test.any():
                    margin[test] = x[test] @ _fit(x[train], p[train], ridge)
            loss = float(log_loss(margin, p).mean())
            if best is None or loss < best[0]:
                best = (loss, margin)
        assert best is not None
        margin = best[1]
        credit = np.where(margin == 0, 0.5, (margin > 0) == (p > 0.5))
        return cluster_bootstrap(credit.astype(np.float64), np.array(self._group))

    def _counts(self, text: str) -> dict[int, float]:
        counts = Counter(zlib.crc32(word.encode()) % BUCKETS for word in WORD.findall(text.lower()))
        return {word: 1.0 + float(np.log(count)) for word, count in counts.items()}

    def _matrix(self) -> csr_matrix:
        lengths = [len(row) for row in self._rows]
        seen, columns = np.unique([word for row in self._rows for word in row], return_inverse=True)
        values = [value for row in self._rows for value in row.values()]
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        return csr_matrix((values, columns, pointers), shape=(len(self._rows), len(seen)))


def _fit(x: csr_matrix, p: np.ndarray, ridge: float) -> np.ndarray:
    def objective(v: np.ndarray) -> tuple[float, np.ndarray]:
        margin = x @ v
        value = float(log_loss(margin, p).sum() + 0.5 * ridge * v @ v)
        return value, x.T @ (sigmoid(margin) - p) + ridge * v

    found = minimize(
        objective, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 30}
    )
    result: np.ndarray = found.x
    return result
