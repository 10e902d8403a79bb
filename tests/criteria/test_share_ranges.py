"""Ranges of shares: against everything served and attributed anew with other inputs."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import carbjax as cj
from carbjax._criteria.perturbed_cost import Factors, perturbed
from carbjax._criteria.share_ranges import SOURCES, share_ranges
from carbjax._criteria.uncertainties import (
    OperatorError,
    Uncertainties,
    published_uncertainties,
)
from carbjax._errors import InputError
from carbjax._surrogate.features import BatchFeatures
from tests.criteria.sinners import tiny_system

WORKLOAD = cj.Workload([0.0, 0.3, 0.4], [300, 20, 900], [20, 60, 7])
OTHERS = Uncertainties((45.0, 45.0), (2.5, 2.5), (1.19, 1.19), (0.8, 0.8))


def _other(system):
    """The system that OTHERS leaves no doubt about."""
    gpu = dataclasses.replace(
        system.accelerator, embodied_carbon_kg=45.0, lifetime_years=2.5
    )
    intensity = cj.Intensity.constant(0.8 * 400.0)
    return dataclasses.replace(
        system, accelerator=gpu, pue=1.19, carbon_intensity=intensity
    )


@pytest.mark.parametrize(
    ("method", "provisioning", "idle"),
    [
        ("tokens", "always_on", "unattributed"),
        ("tokens", "on_demand", "unattributed"),
        ("tokens", "always_on", "usage"),
        pytest.param("shapley", "on_demand", "unattributed", marks=pytest.mark.slow),
        ("time", "always_on", "equal"),
    ],
)
def test_inputs_are_scaled_as_if_all_were_attributed_anew(method, provisioning, idle):
    system = dataclasses.replace(tiny_system(), provisioning=provisioning)
    found = share_ranges(WORKLOAD, system, method, OTHERS, idle=idle, num_draws=3)
    judge = cj.attribute(WORKLOAD, _other(system), method, idle=idle)
    for quantile in (found.low, found.median, found.high):
        np.testing.assert_allclose(quantile, judge.shares, rtol=1e-9)
    assert found.unattributed_low == pytest.approx(judge.unattributed, rel=1e-9)
    as_given = cj.attribute(WORKLOAD, system, method, idle=idle).shares
    np.testing.assert_allclose(found.shares, as_given, rtol=1e-12)


def test_ends_are_met_and_parts_sum_to_one():
    given = dataclasses.replace(OTHERS, pue=(1.1, 1.3), intensity=(0.5, 2.0))
    given = dataclasses.replace(given, embodied_kg=None, lifetime_years=None)
    system = dataclasses.replace(tiny_system(), provisioning="on_demand")
    found = share_ranges(WORKLOAD, system, "tokens", given, level=0.999)
    operational = cj.attribute(WORKLOAD, system, "tokens").emissions.operational
    embodied = found.shares - operational
    least, most = 0.5 * operational + embodied, 2.0 * operational + embodied
    alone = found.sources["intensity"]
    np.testing.assert_allclose(alone.low, least, rtol=1e-2)
    np.testing.assert_allclose(alone.high, most, rtol=1e-2)
    np.testing.assert_allclose(found.sources["embodied"].part, 0.0, atol=1e-12)
    np.testing.assert_allclose(sum(found.sources[s].part for s in SOURCES), 1.0)
    assert (found.low <= found.median).all() and (found.median <= found.high).all()


def test_what_is_known_has_no_range():
    found = share_ranges(WORKLOAD, tiny_system(), "tokens", Uncertainties())
    np.testing.assert_array_equal(found.low, found.high)
    assert np.isnan(found.sources["pue"].part).all()


@pytest.fixture(scope="module")
def measured():
    return cj.System.load("h200-sxm", "llama-3.1-8b")


def test_an_operator_alone_is_made_slower(measured):
    mixed = BatchFeatures(*map(jnp.asarray, (70.0, 8.0, 2000.0, 64.0, 6.0, 9e3, 2e7)))
    slower = perturbed(measured.cost, {"decode_attention": Factors(1.5, 1.0)})
    before, after = (cost.operator_costs(mixed) for cost in (measured.cost, slower))
    for name, (latency, _) in before.items():
        factor = 1.5 if name == "decode_attention" else 1.0
        np.testing.assert_allclose(after[name][0], factor * latency, rtol=1e-12)
    grown = slower(mixed)[0] - measured.cost(mixed)[0]
    np.testing.assert_allclose(grown, 0.5 * before["decode_attention"][0], rtol=1e-9)


def test_more_power_is_more_energy_and_no_time(measured):
    small = BatchFeatures(*map(jnp.asarray, (4.0, 4.0, 0.0, 0.0, 4.0, 2e3, 1e6)))
    names = measured.cost.operator_costs(small)
    hotter = perturbed(measured.cost, {name: Factors(1.0, 1.01) for name in names})
    (t, e), (hot_t, hot_e) = measured.cost(small), hotter(small)
    np.testing.assert_allclose(hot_t, t, rtol=1e-12)
    np.testing.assert_allclose(hot_e, 1.01 * e, rtol=1e-4)  # far below the power limit


def test_published_ranges_hold_what_ships(measured):
    found = published_uncertainties(measured)
    gpu = measured.accelerator
    for ends, value in (
        (found.embodied_kg, gpu.embodied_carbon_kg),
        (found.lifetime_years, gpu.lifetime_years),
        (found.pue, measured.pue),
        (found.intensity, 1.0),
    ):
        assert ends is not None and ends[0] <= value <= ends[1]
    assert {"qkv_projection", "host", "prefill_attention"} <= found.operators.keys()
    assert all(0 < error.latency < 0.5 for error in found.operators.values())
    own = published_uncertainties(tiny_system())
    assert own.embodied_kg is None and len(own.flags) == 2 and not own.operators


@pytest.mark.slow
def test_errors_of_the_cost_model_reach_the_shares(measured):
    given = Uncertainties(operators={"host": OperatorError(0.2, 0.0)})
    on_demand = dataclasses.replace(measured, provisioning="on_demand")
    alone = cj.Workload([0.0], [50], [40])
    found = share_ranges(alone, on_demand, "tokens", given, num_runs=2)
    assert found.low[0] < found.shares[0] < found.high[0]
    assert found.sources["surrogate"].part[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("bad", "said"),
    [({"pue": (1.2, 1.1)}, "`pue`"), ({"intensity": (0.0, 1.0)}, "`intensity`")],
)
def test_ends_out_of_order_are_refused(bad, said):
    with pytest.raises(InputError, match=said):
        Uncertainties(**bad)
