"""Dawid and Skene's model, to which the annotator models are compared."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.statistics.test_aggregation import simulated
from tests.statistics.test_agreement import some_votes, swapped

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def fit_dawid_skene(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from dawid_skene import fit_dawid_skene

    return fit_dawid_skene


@pytest.mark.parametrize("classes", [2, 3])
def test_skilled_annotators_are_recovered_and_naming_does_not_matter(fit_dawid_skene, classes):
    skill = np.exp(np.linspace(-1.5, 1, 20))
    votes, _ = simulated(skill, np.tile([0.0, 0.0, 1.2, -1.2, 0.0], 4), items=1500)
    assert spearmanr(fit_dawid_skene(votes, classes).reliability, skill).statistic > 0.9
    votes = some_votes()
    items = np.random.default_rng(1).random(votes.items) < 0.5
    before, after = fit_dawid_skene(votes, classes), fit_dawid_skene(swapped(votes, items), classes)
    assert np.allclose(after.p, np.where(items, 1 - before.p, before.p), atol=1e-6)
    assert np.allclose(after.reliability, before.reliability, atol=1e-6)
    chances = before.predict(votes.item, votes.annotator, votes.side)
    assert np.allclose(chances.sum(axis=1), 1)


def test_another_number_of_classes_is_refused(fit_dawid_skene):
    with pytest.raises(ValueError, match="classes must be 2 or 3, found 4"):
        fit_dawid_skene(some_votes(), 4)
