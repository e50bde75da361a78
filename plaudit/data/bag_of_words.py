"""The bag-of-words baseline: what words alone, without a language model, can tell.

Hashed word counts and a Bradley-Terry model on their difference; a pair's margin always comes
from a model that was fitted on other prompts.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from plaudit.data.split import folds
from plaudit.statistics.bradley_terry import log_loss, sigmoid
from plaudit.statistics.intervals import Interval, cluster_bootstrap
from plaudit.types import Pair

Floats = NDArray[np.float64]
NOTHING_BEYOND_WORDS = "nothing learned beyond words"  # of a model that does not beat it
BUCKETS = 1 << 16
LIMIT = 20_000  # pairs kept: the baseline is steady long before
FEW_PAIRS, FEW_PROMPTS = 100, 20
FOLDS = 5
WORD = re.compile(r"\w+|[^\w\s]")
RIDGES = (1.0, 5.0)


class BagOfWords:
    """Collects the word counts of pairs, and fits them by five folds over prompts."""

    def __init__(self, pairs: Sequence[Pair] = ()) -> None:
        self._rows: list[dict[int, float]] = []
        self._p: list[float] = []
        self._group: list[str] = []
        for pair in pairs:
            self.add(pair)

    def add(self, pair: Pair) -> None:
        """Note a pair's words, up to the limit."""
        if len(self._rows) < LIMIT:
            row = _counts(pair.a.messages[-1].text)
            for word, value in _counts(pair.b.messages[-1].text).items():
                row[word] = row.get(word, 0.0) - value
            self._rows.append({word: value for word, value in row.items() if value})
            self._p.append(pair.p)
            self._group.append(pair.group)

    def accuracy(self) -> Interval | None:
        """Held-out accuracy with its interval; None under 100 pairs or 20 prompts."""
        margin = self.cross_fitted()
        if margin is None:
            return None
        credit = np.where(margin == 0, 0.5, (margin > 0) == (np.array(self._p) > 0.5))
        return cluster_bootstrap(credit.astype(np.float64), np.array(self._group))

    def cross_fitted(self) -> Floats | None:
        """[N] margins, each by a model of the other folds' prompts; None for too few."""
        few = len(self._rows) < FEW_PAIRS or len(set(self._group)) < FEW_PROMPTS
        return None if few else self._chosen()[1]

    def margins(self, pairs: Sequence[Pair]) -> Floats:
        """[N] margins of other pairs by a model of all that was added.

        The ridge is chosen on the pairs added alone, by cross-validation.
        """
        ridge, known = self._chosen()[0], len(self._rows)
        both = BagOfWords()
        both._rows = self._rows + [row for pair in pairs for row in BagOfWords([pair])._rows]
        x = both._matrix()
        result: Floats = x[known:] @ _fit(x[:known], np.array(self._p), ridge)
        return result

    def _chosen(self) -> tuple[float, Floats]:
        """The ridge of the lower held-out log-loss, and its held-out margins."""
        x, p, fold = self._matrix(), np.array(self._p), folds(self._group, FOLDS)
        tried = []
        for ridge in RIDGES:
            margin = np.zeros(len(p))
            for number in range(FOLDS):
                train, test = fold != number, fold == number
                if train.any() and test.any():
                    margin[test] = x[test] @ _fit(x[train], p[train], ridge)
            tried.append((float(log_loss(margin, p).mean()), ridge, margin))
        _, ridge, margin = min(tried, key=lambda one: one[0])
        return ridge, margin

    def _matrix(self) -> csr_matrix:
        lengths = [len(row) for row in self._rows]
        words = [word for row in self._rows for word in row]
        seen, columns = np.unique(np.array(words, dtype=np.int64), return_inverse=True)
        values = [value for row in self._rows for value in row.values()]
        pointers = np.concatenate([[0], np.cumsum(lengths)])
        return csr_matrix((values, columns, pointers), shape=(len(self._rows), len(seen)))


def _counts(text: str) -> dict[int, float]:
    words = WORD.findall(text.lower())
    counts = Counter(zlib.crc32(word.encode("utf-8", "surrogatepass")) % BUCKETS for word in words)
    return {word: 1.0 + math.log(count) for word, count in counts.items()}


def _fit(x: csr_matrix, p: Floats, ridge: float) -> Floats:
    def objective(v: Floats) -> tuple[float, Floats]:
        margin = x @ v
        value = float(log_loss(margin, p).sum() + 0.5 * ridge * v @ v)
        return value, x.T @ (sigmoid(margin) - p) + ridge * v

    found = minimize(
        objective, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 30}
    )
    result: Floats = found.x
    return result
