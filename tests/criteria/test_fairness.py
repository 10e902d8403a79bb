"""Distances against their definitions, intervals against a known distribution."""

import itertools
import math

import numpy as np
import pytest

from carbjax._criteria.binomial import clopper_pearson
from carbjax._criteria.bootstrap import bootstrap
from carbjax._criteria.fairness import shapley_distance
from carbjax._criteria.ranking import kendall_tau, top_overlap
from carbjax._criteria.summary import spread_of, summarise_distances
from carbjax._errors import InputError
from carbjax._estimators.estimate import estimate_shapley
from tests.estimators.games import random_table


def tau_by_pairs(a, b):
    """Tau-b by definition, pair by pair."""
    pairs = [
        (np.sign(a[i] - a[j]), np.sign(b[i] - b[j]))
        for i, j in itertools.combinations(range(len(a)), 2)
    ]
    agree = sum(x * y for x, y in pairs)
    return agree / math.sqrt(sum(x != 0 for x, _ in pairs) * sum(y != 0 for _, y in pairs))


def test_tau_is_that_of_the_pairs():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.integers(0, 6, (2, 9)).astype(float)
        assert kendall_tau(a, b) == pytest.approx(tau_by_pairs(a, b), abs=1e-12)


def test_rounding_ranks_nobody():
    truth = np.array([1.0, 1.0, 2.0])
    assert kendall_tau(truth + [1e-15, 0, 0], truth) == pytest.approx(1.0)
    assert math.isnan(kendall_tau(np.ones(3), truth))


def test_who_pays_most():
    truth = np.array([8.0, 7, 1, 1, 1, 1, 1, 1])
    assert top_overlap(truth, truth) == 1.0
    assert top_overlap(truth[::-1], truth) == 0.0
    assert top_overlap(np.array([8.0, 1, 7, 1, 1, 1, 1, 1]), truth) == 0.5


def test_distance_by_definition():
    found = shapley_distance([3.0, 1.0, 0.0], [1.0, 2.0, 0.0])
    assert found.absolute_g == 3.0 and float(found) == found.relative == 1.0
    assert found.max_g == 2.0 and found.max_relative == 2.0
    np.testing.assert_array_equal(found.relative_error, [2.0, -0.5, np.nan])
    assert found.noise_g == 0 and float(shapley_distance([1.0], [1.0])) == 0


def test_no_truth_to_speak_of_is_not_a_number():
    found = shapley_distance([1.0, -1.0], [0.0, 0.0])
    assert math.isnan(float(found)) and found.absolute_g == 2.0


@pytest.mark.parametrize(
    "shares, truth",
    [
        ([1.0], [1.0, 2.0]),
        ([[1.0]], [[1.0]]),
        ([], []),
        ([np.nan], [1.0]),
        ([1.0], [np.inf]),
    ],
)
def test_what_is_no_attribution_is_an_error(shares, truth):
    with pytest.raises(InputError, match="shares|truth"):
        shapley_distance(shares, truth)


def test_an_uncertain_truth_makes_noise():
    """The exact shares are about as far from an estimate as its noise says."""
    game, truth = random_table(5, 8)
    distances = []
    for budget in (60, 120):
        estimate = estimate_shapley(game, budget=budget, estimator="antithetic")
        found = shapley_distance(truth, estimate)
        by_hand = np.sum(estimate.stderr) * math.sqrt(2 / math.pi)
        assert found.noise_g == pytest.approx(by_hand)
        distances.append(found.absolute_g / found.noise_g)
    assert 0.3 < np.mean(distances) < 3


@pytest.mark.parametrize("kind", ["percentile", "bca"])
@pytest.mark.parametrize("statistic, truth", [(np.mean, 2.0), (np.median, 2.0)])
def test_bootstrap_covers_a_normal(kind, statistic, truth):
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        sample = rng.normal(2.0, 3.0, 40)
        found = bootstrap(
            sample, statistic, seed=seed, level=0.9, kind=kind, num_resamples=400
        )
        held += found.low <= truth <= found.high
    assert clopper_pearson(held, 200, 0.999).low <= 0.9
    assert held >= 165  # bootstraps of 40 cover a little less than they say


def test_bca_is_nearer_on_a_skewed_sample():
    """The mean of exponentials: the percentile interval misses it to the left."""
    rng = np.random.default_rng(2)
    held = dict.fromkeys(("percentile", "bca"), 0)
    for seed in range(300):
        sample = rng.exponential(1.0, 20)
        for kind in held:
            found = bootstrap(sample, seed=seed, level=0.9, kind=kind, num_resamples=400)
            held[kind] += found.low <= 1.0 <= found.high
    assert held["bca"] > held["percentile"]


def test_bootstrap_repeats_and_refuses():
    sample = np.arange(7.0)
    assert bootstrap(sample, seed=4) == bootstrap(sample, seed=4)
    assert bootstrap([1.0, 1.0, 1.0])[:2] == (1.0, 1.0)
    assert math.isnan(bootstrap([1.0]).low)
    for wrong in ({"values": [np.nan]}, {"values": sample, "kind": "x"}):
        with pytest.raises(InputError):
            bootstrap(**wrong)


def test_clopper_pearson_by_the_binomial_sum():
    """At the ends of the interval the tails hold half of what is left out."""
    found = clopper_pearson(7, 10, 0.9)
    for chance, counts in ((found.low, range(7, 11)), (found.high, range(8))):
        tail = sum(math.comb(10, k) * chance**k * (1 - chance) ** (10 - k) for k in counts)
        assert tail == pytest.approx(0.05)
    assert clopper_pearson(0, 10).low == 0 and clopper_pearson(10, 10).high == 1


def test_summary_over_workloads():
    rng = np.random.default_rng(3)
    distances = [
        shapley_distance(t + rng.normal(0, 0.1, 5), t) for t in rng.uniform(1, 2, (30, 5))
    ]
    found = summarise_distances(distances, seed=1, num_resamples=300)
    relative = [float(d) for d in distances]
    assert found["relative"].median == np.median(relative)
    low, high, _ = found["relative"].median_interval
    assert low <= np.median(relative) <= high
    assert spread_of([np.nan, 1.0]).num_values == 1
