"""Lanes against the engine and the streaming method, which serve a whole trace at once."""

import itertools
import os

import jax
import numpy as np
import pytest

import carbjax as cj
from carbjax._carbon.footprint import PROVISIONING
from carbjax._fleet.fleet import Arrivals, Fleet, Served
from carbjax._serving.policies import POLICIES
from tests.fleets import EPOCH, changing_intensity, random_requests, small_system

LANES = 3
QUICK = ("prefill_first", "on_demand")  # others compile for as long again
COLUMNS = {"prefill_g": "prefill", "decode_g": "decode", "embodied_g": "embodied"}


NOBODY = Arrivals(np.zeros(0), np.zeros(0, int), np.zeros(0, int))


def _arrivals(seed: int) -> Arrivals:
    return Arrivals(*random_requests(seed))


def _fleet(system: cj.System, num_rows: int = 16) -> Fleet:
    intensity = system.carbon_intensity.relative(EPOCH)
    return Fleet(system, intensity, LANES, num_rows=num_rows)


def _in_parts(fleet: Fleet, requests: list[Arrivals], size: int) -> list[Served]:
    """What is served while the requests come `size` at a time."""
    most = max(len(x) for x in requests)
    starts = range(0, most, size)
    return [
        fleet.serve(
            [x[i : i + size] for x in requests], [i + size < len(x) for x in requests]
        )
        for i in starts
    ]


def _joined(parts: list[Served]) -> dict[str, np.ndarray]:
    """Columns of all that was served, by lane and row."""
    lane = np.concatenate([part.lane for part in parts])
    row = np.concatenate([part.row for part in parts])
    order = np.lexsort((row, lane))
    spent = {k: np.concatenate([p.spent[k] for p in parts])[order] for k in parts[0].spent}
    return {"lane": lane[order], "row": row[order], **spent}


@pytest.fixture(scope="module")
def system() -> cj.System:
    return small_system(changing_intensity(), policy=QUICK[0], provisioning=QUICK[1])


@pytest.fixture(scope="module")
def requests() -> list[Arrivals]:
    """Of three lanes: a full one, a shorter one, and one to which nobody comes."""
    return [_arrivals(0), _arrivals(1)[:13], NOBODY]


@pytest.fixture(scope="module")
def whole(system, requests) -> dict[str, np.ndarray]:
    return _joined([_fleet(system).serve(requests, [False] * LANES)])


SYSTEMS = [QUICK, pytest.param("static", "always_on", marks=pytest.mark.slow)]
if os.environ.get("CARBJAX_ALL_POLICIES"):  # the third is served by tests of ledgers
    SYSTEMS = list(itertools.product(POLICIES, PROVISIONING))


@pytest.mark.parametrize("policy, provisioning", SYSTEMS)
def test_lanes_serve_and_charge_as_the_whole_trace_at_once(policy, provisioning):
    system = small_system(changing_intensity(), policy=policy, provisioning=provisioning)
    requests = [_arrivals(seed) for seed in range(LANES)]
    fleet = _fleet(system)
    served = fleet.serve(requests, [False] * LANES)
    for lane, x in enumerate(requests):
        workload = cj.Workload(x.arrival_s, x.prefill, x.decode, epoch=EPOCH)
        expected = cj.attribute(workload, system, method="streaming")
        timeline = cj.serve(workload, system)
        of = {name: values[served.lane == lane] for name, values in served.spent.items()}
        assert (served.row[served.lane == lane] == np.arange(len(x))).all()
        for name, times in (
            ("finish_s", timeline.finish_s),
            ("first_token_s", timeline.ttft_s + x.arrival_s),
            ("start_s", timeline.scheduled_s),
        ):
            np.testing.assert_allclose(of[name], times, rtol=0, atol=1e-9)
        for name, component in COLUMNS.items():
            shares = expected.components[component]
            far = np.abs(of[name] - shares).max()
            assert far <= 1e-3 * np.abs(shares).mean(), (name, far)
        grams = sum(of[name].sum() for name in COLUMNS)
        emitted = served.totals["operational_g"] + served.totals["embodied_g"]
        assert grams == pytest.approx(emitted[lane], rel=1e-12)
        assert grams == pytest.approx(expected.shares.sum(), rel=1e-10)
        joules = of["prefill_j"].sum() + of["decode_j"].sum()
        assert joules == pytest.approx(served.totals["electricity_j"][lane], rel=1e-12)
        energy = served.totals["gpu_energy_j"][lane]
        assert energy == pytest.approx(timeline.energy_j, rel=1e-12)
        assert fleet.time_s[lane] == pytest.approx(timeline.end_s, abs=1e-9)
        assert served.totals["busy_s"][lane] == pytest.approx(timeline.busy_s, rel=1e-12)


@pytest.mark.parametrize("size", [1, 7, 16])
def test_slices_of_any_size_serve_and_charge_the_same(size, system, requests, whole):
    fleet = _fleet(system)
    found = _joined(_in_parts(fleet, requests, size))
    for name, values in whole.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-10, atol=1e-14)
    assert sum(fleet.seated().values()) == 0


def test_a_slice_closes_over_those_that_left_and_those_that_stay(system, requests):
    fleet, before = _fleet(system), 0.0
    for part in _in_parts(fleet, requests, 5):
        left = part.spent["prefill_j"].sum() + part.spent["decode_j"].sum()
        stay = part.seated["prefill_j"] + part.seated["decode_j"]
        emitted = part.totals["electricity_j"].sum()
        assert left + stay - before == pytest.approx(emitted, rel=1e-11, abs=1e-9)
        before = stay
    assert before == 0


def test_a_series_may_end_with_the_last_token(system, requests, whole):
    """What was proposed and taken back would have run beyond it."""
    end_s = np.nanmax(whole["finish_s"]) + 1e-4
    edges_s = np.linspace(-1.0, end_s, len(system.carbon_intensity.edges_s))
    series = system.carbon_intensity.values
    short = cj.Intensity(EPOCH.timestamp() + edges_s, series)
    fleet = Fleet(system, short.relative(EPOCH), LANES, num_rows=16)
    served = fleet.serve(requests, [False] * LANES)
    charged = served.spent["prefill_g"].sum() + served.spent["decode_g"].sum()
    emitted = served.totals["operational_g"].sum()
    assert charged == pytest.approx(emitted, rel=1e-12) and emitted > 0


def test_a_fleet_goes_on_from_its_state_bit_by_bit(system, requests):
    first = [x[:9] for x in requests]
    rest = [x[9:] for x in requests]
    fleet = _fleet(system)
    fleet.serve(first, [True, True, False])
    state = fleet.state()
    expected = fleet.serve(rest, [False] * LANES)
    other = _fleet(system)
    other.restore(state)
    found = other.serve(rest, [False] * LANES)
    for name, values in expected.spent.items():
        np.testing.assert_array_equal(found.spent[name], values, strict=True)
    for a, b in zip(fleet.state(), other.state(), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_a_lane_may_end_with_no_further_requests(system, requests, whole):
    fleet = _fleet(system)
    parts = [fleet.serve([x[:16] for x in requests], [True] * LANES)]
    parts.append(fleet.serve([x[16:] for x in requests], [True] * LANES))
    parts.append(fleet.serve([NOBODY] * LANES, [False] * LANES))
    np.testing.assert_allclose(_joined(parts)["finish_s"], whole["finish_s"], rtol=1e-12)


def test_seats_are_added_where_more_run_than_there_are(
    monkeypatch, system, requests, whole
):
    monkeypatch.setattr("carbjax._fleet.fleet._FEW_SEATS", 0)
    fleet = _fleet(system)
    few = len(fleet.state()[1])
    found = _joined([fleet.serve(requests, [False] * LANES)])
    assert len(fleet.state()[1]) > few
    for name, values in whole.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-10, atol=1e-14)


def test_a_second_slice_compiles_nothing(system, requests):
    """What is compiled goes by the types of the seats, weak ones told apart."""
    fleet = _fleet(system)
    before = [jax.typeof(x) for x in jax.tree.leaves(fleet._seats)]
    fleet.serve(requests, [True] * LANES)
    assert [jax.typeof(x) for x in jax.tree.leaves(fleet._seats)] == before


def test_32_bit_floats_are_refused(system):
    with jax.enable_x64(False), pytest.raises(cj.ConfigError, match="jax_enable_x64"):
        _fleet(system)
