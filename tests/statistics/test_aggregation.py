"""The contract of all annotator models, and recovery of simulated annotators."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from plaudit.statistics.aggregation import BEST, MODELS, fit, probabilities
from plaudit.statistics.bradley_terry import sigmoid
from plaudit.statistics.comparison_graph import ComparisonGraph
from plaudit.statistics.ordinal_bradley_terry import EFFECTS, fit_ordinal_bradley_terry
from plaudit.statistics.vote_share import concentration
from plaudit.statistics.votes import Votes
from tests.statistics.test_agreement import some_votes, swapped

every_model = pytest.mark.parametrize("name", MODELS)


def simulated(skill, bias=0.0, items=600, overlap=5, cut=0.6, seed=0, responses=None):
    """Votes of annotators with these skills and side biases, and the true θ of the items."""
    rng = np.random.default_rng(seed)
    count = len(skill)
    if responses is None:
        theta = rng.normal(size=items) * 1.5
    else:
        theta = np.subtract(*(rng.normal(size=responses.max() + 1) * 1.1)[responses].T)
    item = np.repeat(np.arange(items), overlap)
    annotator = np.argsort(rng.random((items, count)), axis=1)[:, :overlap].ravel()
    side = rng.choice([-1, 1], len(item))
    eta = (
        np.asarray(skill)[annotator] * theta[item] + np.broadcast_to(bias, count)[annotator] * side
    )
    draw = rng.logistic(size=len(item)) + eta
    value = np.where(draw > cut, 1, np.where(draw < -cut, -1, 0))
    return Votes(item, annotator, value, side, np.arange(items), count, None, responses), theta


@every_model
def test_swapping_a_and_b_swaps_the_probability_and_nothing_else(name):
    votes = some_votes()
    items = np.random.default_rng(1).random(votes.items) < 0.5
    before, after = fit(votes, name), fit(swapped(votes, items), name)
    assert np.allclose(after.p, np.where(items, 1 - before.p, before.p), atol=1e-6)
    assert np.allclose(after.reliability, before.reliability, atol=1e-6)


@every_model
def test_order_and_names_do_not_matter(name):
    votes = some_votes()
    rng = np.random.default_rng(2)
    shuffled = votes.select(rng.permutation(len(votes)))
    renamed = rng.permutation(votes.annotators)
    other = replace(shuffled, annotator=renamed[shuffled.annotator])
    before, after = fit(votes, name), fit(other, name)
    assert np.allclose(after.p, before.p, atol=1e-6)
    assert np.allclose(after.reliability[renamed], before.reliability, atol=1e-6)


@every_model
def test_probabilities_are_within_bounds_and_predictions_sum_to_one(name):
    votes = some_votes()
    fitted = fit(votes, name)
    assert fitted.p.shape == (votes.items,)
    assert fitted.reliability.shape == (votes.annotators,)
    for values in (fitted.p, fitted.reliability):
        assert ((values > 0) & (values < 1)).all()
    for annotator in (None, votes.annotator):
        chances = fitted.predict(votes.item, annotator, votes.side)
        assert ((chances > 0) & (chances < 1)).all()
        assert np.allclose(chances.sum(axis=1), 1)
    average = fitted.predict(np.arange(votes.items), None, np.zeros(votes.items))
    assert np.allclose(average[:, 0] + average[:, 2] / 2, fitted.p)


@every_model
def test_without_overlap_it_is_a_smoothed_vote_share(name):
    value = np.repeat([1, -1, 0], [40, 40, 20])
    item = np.arange(100)
    votes = Votes(item, item % 4, value, np.zeros(100), item, 4)
    for one in (votes, replace(votes, annotator=0 * item, annotators=1)):
        fitted = fit(one, name)
        assert np.allclose(fitted.p[value == 0], 0.5)
        liked = fitted.p[value == 1]
        assert liked.max() - liked.min() < 0.01
        assert 0.55 < liked.min() <= liked.max() < 0.9
        assert np.allclose(np.sort(fitted.p[value == -1]), np.sort(1 - liked), atol=0.01)


@every_model
def test_no_votes_know_nothing(name):
    none = some_votes().select(np.zeros(150, dtype=bool))
    assert np.allclose(fit(none, name).p, 0.5)
    empty = np.empty(0, dtype=np.int64)
    nothing = Votes(empty, empty, empty, empty, empty, 0, np.empty(0), np.empty((0, 2), dtype=int))
    assert fit(nothing, name).p.shape == fit(nothing, name).reliability.shape == (0,)


@every_model
def test_the_more_reliable_annotator_weighs_no_less(name):
    votes, _ = simulated([3.0, 3.0, 3.0, 3.0, 0.05, 0.05], overlap=5, items=300)
    alone = [300, 301]  # one more item for a good annotator, one for a poor one
    votes = replace(
        votes,
        item=np.append(votes.item, alone),
        annotator=np.append(votes.annotator, [0, 5]),
        value=np.append(votes.value, [1, 1]),
        side=np.append(votes.side, [0, 0]),
        group=np.arange(302),
    )
    fitted = fit(votes, name)
    assert fitted.reliability[:4].min() > fitted.reliability[4:].max()
    assert fitted.p[300] >= fitted.p[301]
    if name not in ("majority", "vote_share"):
        assert fitted.p[300] > fitted.p[301] + 0.1


def test_twenty_annotators_are_recovered():
    skill = np.exp(np.linspace(-1.5, 1, 20))
    bias = np.tile([0.0, 0.0, 1.2, -1.2, 0.0], 4)
    votes, theta = simulated(skill, bias, items=1500)
    found = fit_ordinal_bradley_terry(votes)
    assert spearmanr(found.effects[:, 0], skill).statistic > 0.95
    large = bias != 0
    assert (np.sign(found.effects[large, 1]) == np.sign(bias[large])).all()
    assert np.abs(found.effects[~large, 1]).max() < 0.6
    assert spearmanr(found.mean, theta).statistic > 0.8


def test_length_bias_and_use_of_ties_are_recovered():
    votes, theta = simulated(np.ones(20), items=1500)
    rng = np.random.default_rng(3)
    length = rng.normal(size=1500)
    eta = theta[votes.item] + np.where(votes.annotator < 5, 1.5, 0.0) * length[votes.item]
    cut = np.where(votes.annotator % 5 == 0, 1.8, 0.4)
    draw = rng.logistic(size=len(votes)) + eta
    value = np.where(draw > cut, 1, np.where(draw < -cut, -1, 0))
    found = fit_ordinal_bradley_terry(replace(votes, value=value, log_length=length))
    effects = dict(zip(EFFECTS, found.effects.T, strict=True))
    assert effects["length"][:5].min() > 0.7 > 0.5 > effects["length"][5:].max()
    assert effects["ties"][::5].min() > effects["ties"][np.arange(20) % 5 > 0].max()


def test_scores_of_responses_inform_comparisons_without_votes():
    responses = np.stack(np.triu_indices(8, 1), axis=1)  # eight responses a prompt, forty prompts
    responses = np.concatenate([responses + 8 * prompt for prompt in range(40)])
    votes, theta = simulated(np.ones(10), items=len(responses), overlap=2, responses=responses)
    seen = votes.select(votes.item % 2 == 0)
    linked, alone = (
        fit_ordinal_bradley_terry(seen),
        fit_ordinal_bradley_terry(seen, responses=False),
    )
    unseen = np.arange(votes.items) % 2 == 1
    assert np.allclose(alone.p[unseen], 0.5)
    assert spearmanr(linked.p[unseen], theta[unseen]).statistic > 0.7
    assert linked.item_std < linked.response_std


def test_responses_that_are_never_shared_change_nothing():
    votes, _ = simulated(np.ones(10), items=400, responses=np.arange(800).reshape(400, 2))
    linked, alone = (
        fit_ordinal_bradley_terry(votes),
        fit_ordinal_bradley_terry(votes, responses=False),
    )
    assert np.allclose(linked.p, alone.p, atol=0.01)


def test_the_comparison_graph_is_the_dense_posterior():
    rng = np.random.default_rng(0)
    responses = np.array([[0, 1], [1, 2], [3, 4], [2, 0], [9, 7]])
    precision, pull = rng.uniform(0.1, 2, 5), rng.normal(size=5)
    found = ComparisonGraph(responses).solve(precision, pull, variance=1.5)
    d = np.eye(10)[responses[:, 0]] - np.eye(10)[responses[:, 1]]
    covariance = np.linalg.inv(d.T @ (precision[:, None] * d) + np.eye(10) / 1.5)
    score = covariance @ d.T @ pull
    assert np.allclose(found.mean, d @ score)
    assert np.allclose(found.variance, np.einsum("ni,ij,nj->n", d, covariance, d))
    used = np.unique(responses)
    assert np.allclose(np.sort(found.squares), np.sort((score**2 + np.diagonal(covariance))[used]))
    chain = np.stack([np.arange(10_001), np.arange(1, 10_002)], axis=1)
    with pytest.raises(ValueError, match="10002 responses are connected, more than 10000"):
        ComparisonGraph(chain)


def test_graded_votes_know_more_than_their_sign():
    rng = np.random.default_rng(4)
    votes, theta = simulated(np.ones(12), items=800, overlap=3)
    draw = rng.logistic(size=len(votes)) + theta[votes.item]
    value = np.digitize(draw, [-2.5, -1.2, -0.4, 0.4, 1.2, 2.5]) - 3
    graded = fit_ordinal_bradley_terry(replace(votes, value=value))
    signs = fit_ordinal_bradley_terry(replace(votes, value=np.sign(value)))
    assert graded.thresholds == pytest.approx([0.4, 1.2, 2.5], abs=0.25)
    assert spearmanr(graded.mean, theta).statistic > spearmanr(signs.mean, theta).statistic


def test_probabilities_are_calibrated_on_their_own_model():
    votes, theta = simulated(np.ones(10), items=4000, overlap=3, cut=0.0)
    found = fit_ordinal_bradley_terry(votes, effects=())
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9)):
        inside = (found.p >= low) & (found.p < high)
        assert sigmoid(theta[inside]).mean() == pytest.approx(found.p[inside].mean(), abs=0.02)


def test_the_concentration_is_the_one_that_made_the_counts():
    rng = np.random.default_rng(0)
    mean = np.array([0.4, 0.4, 0.2])
    counts = np.stack([rng.multinomial(5, rng.dirichlet(3 * mean)) for _ in range(5000)])
    assert concentration(counts.astype(float), mean) == pytest.approx(3, rel=0.1)


def test_the_default_is_the_best_and_unknown_names_list_the_known():
    votes = some_votes()
    assert np.array_equal(probabilities(votes).p, fit(votes, BEST).p)
    with pytest.raises(ValueError, match="one of majority, vote_share, .* found 'glad'"):
        probabilities(votes, "glad")
