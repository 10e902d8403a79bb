"""What single baselines say of themselves, beyond the judge's numbers."""

import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._attribution.demand import peak_prices
from carbjax._attribution.methods import find_method
from carbjax._attribution.standalone import standalone
from carbjax._attribution.utilization import utilization
from carbjax._errors import InputError
from carbjax._games.table import TableGame
from tests.attribution.test_shares import CASES
from tests.reference.shapley import shapley_by_subsets
from tests.systems import judged


@pytest.fixture
def served():
    """A workload and a system."""
    return judged(CASES[0], np.random.default_rng(21), "always_on")[1:]


def test_peak_prices_are_shapley_values_of_equal_periods():
    demand = np.random.default_rng(22).integers(0, 4, 7).astype(float)

    def peak(periods):
        return max((demand[t] for t in periods), default=0.0)

    prices = peak_prices(demand, np.full(7, 0.5))
    np.testing.assert_allclose(0.5 * prices, shapley_by_subsets(peak, 7), rtol=1e-12)


def test_cutting_a_period_changes_no_price_of_demand():
    rng = np.random.default_rng(23)
    demand, duration_s = rng.random(5), rng.random(5)
    halved = duration_s.copy()
    halved[2] /= 2
    cut = peak_prices(np.insert(demand, 2, demand[2]), np.insert(halved, 2, halved[2]))
    np.testing.assert_allclose(np.delete(cut, 2), peak_prices(demand, duration_s))


def test_energy_per_token_lets_prompts_off_and_needs_an_answer(served):
    workload = served[0].with_tokens([30, 2, 5, 9], [0, 3, 0, 1])
    shares = attribute(workload, served[1], method="energy_per_token").shares
    np.testing.assert_allclose(shares, shares.sum() * np.array([0, 3, 0, 1]) / 4)
    prompts = workload.with_tokens([30, 2, 5, 9], [0, 0, 0, 0])
    with pytest.raises(InputError, match="no request has an answer"):
        attribute(prompts, served[1], method="energy_per_token")


def test_standalone_shares_the_saving_in_proportion():
    game = TableGame([1.0, 3.0, 5.0, 4.0])
    result = standalone(game)
    np.testing.assert_allclose(result.shares, [1.0, 2.0])
    assert result.unattributed == 1.0
    with pytest.raises(InputError, match="alone"):
        find_method("standalone")(TableGame([1.0, 1.0, 1.0, 4.0]))


def test_utilization_mixes_its_two_parts_linearly(served):
    workload, system = served
    flop, mixed, memory = (
        utilization(None, workload=workload, system=system, compute_part=part).shares
        for part in (1.0, 0.25, 0.0)
    )
    np.testing.assert_allclose(mixed, 0.25 * flop + 0.75 * memory, rtol=1e-12)
    assert not np.allclose(flop, memory)
