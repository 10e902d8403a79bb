"""The engine against the per-iteration simulator, on random workloads."""

import equinox as eqx
import jax
import numpy as np
import pytest

from carbjax._carbon.intensity import Intensity
from carbjax._serving.engine import Server
from carbjax._serving.observers import TimesObserver, TotalsObserver
from carbjax._serving.policies import POLICIES
from carbjax._serving.run import run
from carbjax._serving.serve import serve
from carbjax._serving.slots import run_slots
from tests.engine_cases import ReferenceCost, case_caps, case_queue, pad_queue
from tests.reference.carbon import served_carbon
from tests.reference.workloads import cases
from tests.systems import judged

CASES = list(cases(0, 300))
CONSTANT = Intensity.constant(400.0).relative(None)


@eqx.filter_jit
def _run(queue, server, footprint):
    return run(queue, server, (TotalsObserver(footprint), TimesObserver()))


@eqx.filter_jit
def _run_slots(queue, server, footprint, num_slots):
    observers = (TotalsObserver(footprint), TimesObserver())
    return run_slots(queue, server, observers, num_slots=num_slots)


@pytest.fixture(scope="module")
def footprint():
    case = CASES[0]
    _, _, system = judged(case, np.random.default_rng(0), "always_on")
    return system.footprint


def _server(case):
    return Server(ReferenceCost(case.cost), case_caps(case), CONSTANT, case.policy)


def _in_case_order(values, order):
    result = np.empty(len(order))
    result[order] = np.asarray(values)[: len(order)]
    return result


@pytest.mark.parametrize("policy", POLICIES)
def test_agrees_with_the_simulator(policy, footprint):
    for case in CASES:
        if case.policy != policy:
            continue
        expected = case.simulate()
        queue, order = case_queue(case)
        progress, accounts = _run(pad_queue(queue, 12), _server(case), footprint)
        totals, times = accounts[0].totals, accounts[1].slots
        if expected.num_iterations == 0:
            assert totals.num_iterations == 0
            continue
        assert totals.num_iterations == expected.num_iterations
        assert float(totals.gpu_energy_j) == pytest.approx(expected.energy_j, rel=1e-6)
        assert float(totals.busy_s) == pytest.approx(expected.busy_s, rel=1e-6)
        assert float(progress.time) == pytest.approx(expected.end_s, rel=1e-6)
        finish = _in_case_order(times.finish_s, order)
        np.testing.assert_allclose(finish, expected.finish_s, rtol=1e-6)
        arrival = np.array([request.arrival_s for request in case.requests])
        first = _in_case_order(times.first_token_s, order)
        np.testing.assert_allclose(first, arrival + expected.ttft_s, rtol=1e-6)
        start = _in_case_order(times.start_s, order)
        np.testing.assert_allclose(start, expected.start_s, rtol=1e-6, atol=1e-9)


def test_few_slots_change_nothing(footprint):
    for case in CASES[:60]:
        kept = [request for request in case.requests if not request.is_null]
        if not kept:
            continue
        queue = pad_queue(case_queue(case._replace(requests=kept))[0], 12)
        progress, accounts = _run(queue, _server(case), footprint)
        assert case.caps.max_num_seqs <= 8
        few, slotted = _run_slots(queue, _server(case), footprint, num_slots=8)
        assert few.time == pytest.approx(float(progress.time), rel=1e-12)
        assert eqx.tree_equal(slotted[0], accounts[0], rtol=1e-9, atol=1e-12)
        for ours, theirs in zip(
            jax.tree.leaves(slotted[1]), jax.tree.leaves(accounts[1]), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("provisioning", ["always_on", "on_demand"])
def test_serve_reports_what_the_simulator_saw(provisioning):
    rng = np.random.default_rng(1)
    for case in CASES[:40]:
        if all(request.is_null for request in case.requests):
            continue
        served, workload, system = judged(case, rng, provisioning)
        timeline = serve(workload, system)
        carbon = served_carbon(served.result, served.machine, case.cost_fn)
        for name in ("prefill", "decode", "idle", "embodied"):
            ours = float(getattr(timeline.emissions, name))
            assert ours == pytest.approx(getattr(carbon, name), rel=1e-6, abs=1e-12)
        np.testing.assert_allclose(timeline.ttft_s, served.result.ttft_s, rtol=1e-6)
        np.testing.assert_allclose(timeline.finish_s, served.result.finish_s, rtol=1e-6)
        assert timeline.end_s == pytest.approx(served.result.end_s, rel=1e-9)
        assert timeline.busy_s == pytest.approx(served.result.busy_s, rel=1e-6)
        assert timeline.num_iterations == served.result.num_iterations
