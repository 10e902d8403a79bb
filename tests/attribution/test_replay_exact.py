"""The replay game batch by batch, against enumeration of the whole game."""

import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._attribution.exact import shapley_emissions
from carbjax._attribution.replay_exact import replay_shapley
from carbjax._estimators.closed_form_subsets import subset_weights
from carbjax._estimators.columns import to_columns, total_of
from carbjax._games.replay import ReplayGame
from tests.attribution.test_shares import CASES
from tests.reference.shapley import shapley_by_subsets
from tests.reference.simulator import Caps
from tests.systems import judged


def _served(case, provisioning="always_on", player=None):
    return judged(case, np.random.default_rng(31), provisioning, player)[1:]


def _together(number):
    """Equal requests that are read and answered together."""
    return CASES[0]._replace(
        requests=[CASES[0].requests[0]] * number,
        policy="prefill_first",
        caps=Caps(number, 10**6),
    )


@pytest.mark.parametrize("provisioning", ["always_on", "on_demand"])
@pytest.mark.parametrize("player", [None, [0, 1, 0, 2]])
def test_is_the_replay_game_s_shapley_value_by_component(provisioning, player):
    for case in CASES[:4]:
        workload, system = _served(case, provisioning, player)
        exact = to_columns(shapley_emissions(ReplayGame(workload, system)))
        ours, inexact = replay_shapley(workload, system)
        assert inexact == 0
        np.testing.assert_allclose(ours, exact, rtol=1e-9, atol=1e-11 * exact.max())


def test_equal_participants_need_no_enumeration():
    workload, system = _served(_together(5))
    by_subsets, _ = replay_shapley(workload, system)
    by_counts, inexact = replay_shapley(workload, system, largest_enumerated=0)
    assert inexact == 1
    np.testing.assert_allclose(by_counts, by_subsets, rtol=1e-10, atol=1e-20)


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_mean_participants_are_efficient(largest):
    for case in CASES[:4]:
        workload, system = _served(case)
        exact = total_of(replay_shapley(workload, system)[0])
        ours = total_of(replay_shapley(workload, system, largest_enumerated=largest)[0])
        assert ours.sum() == pytest.approx(exact.sum(), rel=1e-12)
        # The judge's costs bend far more than measured ones.
        assert np.abs(ours - exact).sum() < 0.05 * exact.sum()


def test_large_batches_are_flagged():
    workload, system = _served(CASES[0])
    assert not attribute(workload, system, "replay").flags
    result = attribute(*_served(_together(11)), "replay")
    assert any("mean participants" in flag for flag in result.flags)
    assert abs(result.residual) < 1e-12 * result.total


def test_subset_weights_are_shapley_s():
    values = np.random.default_rng(32).normal(size=2**5)
    expected = shapley_by_subsets(lambda s: values[sum(1 << i for i in s)], 5)
    np.testing.assert_allclose(subset_weights(5) @ values, expected, atol=1e-14)
