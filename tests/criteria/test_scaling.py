"""Growth fitted to costs that are known, through a clock that the method moves."""

import math

import numpy as np
import pytest

from carbjax._criteria import memory
from carbjax._criteria.power_law import fit_growth
from carbjax._criteria.scaling import scaling
from carbjax._criteria.scaling_workloads import AXES, DEFAULT_POINTS, sized
from carbjax._errors import InputError
from carbjax._serving.serve import serve
from tests.criteria.sinners import divide, raises, tiny_system

SYSTEM = tiny_system()
POINTS = {axis: (4, 16, 64, 512) for axis in AXES}
POINTS |= {"players": (1, 4, 16, 128), "tokens": (256, 1024, 4096, 65536)}


class Timed:
    """A method that takes as long as it is told, and the clock that shows it."""

    def __init__(self, cost):
        self.cost, self.now, self.calls = cost, 0.0, 0

    def clock(self):
        return self.now

    def __call__(self, game, *, workload, system, timeline=None, key=None):
        self.calls += 1
        self.now += self.cost(workload, system) + (5.0 if self.calls == 1 else 0.0)
        return _attribution(workload)


def _attribution(workload):
    from types import SimpleNamespace

    from carbjax._carbon.emissions import Emissions

    one = Emissions(*(np.asarray(1.0),) * 5)
    none = Emissions(*(np.asarray(0.0),) * 5)
    run = SimpleNamespace(standing=none, emissions=one)
    return divide(np.ones(workload.num_players), run)


def _scaled(cost, axis, **more):
    timed = Timed(cost)
    found = scaling(
        timed,
        system=SYSTEM,
        axes=(axis,),
        points=more.pop("points", POINTS),
        with_game=False,
        clock=timed.clock,
        **more,
    )
    return found, found.axes[axis]


def _iterations(workload, system):
    tokens = workload.num_prefill_tokens.sum()
    return -(-tokens // system.max_num_batched_tokens)


COSTS = {
    "players": lambda w, s: 1e-3 * w.num_players**2,
    "requests": lambda w, s: 1e-3 * w.num_requests**1.5,
    "tokens": lambda w, s: 1e-6 * float(w.num_prefill_tokens.sum()),
    "iterations": lambda w, s: 1e-3 * float(_iterations(w, s)),
}


@pytest.mark.parametrize(
    "axis, power", [("players", 2), ("requests", 1.5), ("tokens", 1), ("iterations", 1)]
)
def test_exponents_of_known_costs(axis, power):
    found, scaled = _scaled(COSTS[axis], axis, limit_s=1e9)
    assert scaled.growth.exponent == pytest.approx(power, abs=0.02)
    assert scaled.growth.interval.low - 0.01 <= power <= scaled.growth.interval.high + 0.01
    assert scaled.points[0].compile_s == pytest.approx(5.0)
    assert scaled.points[1].compile_s == pytest.approx(0.0, abs=1e-9)
    assert found.verdict == "polynomial"


def test_an_exponential_is_stopped_and_named():
    points = {"players": (1, 2, 4, 8, 13, 16, 32, 64, 128)}
    found, scaled = _scaled(
        lambda w, s: 0.01 + 1e-5 * 2.0**w.num_players, "players", points=points
    )
    assert [p.size for p in scaled.points] == [1, 2, 4, 8, 13, 16]
    assert "32 would take" in scaled.stopped
    assert found.verdict == "exponential" and scaled.doubt is None


def _enumerates_few(workload, system):
    """All values of up to eight players, some of more, as `sampled` does."""
    players = workload.num_players
    return 0.02 + 1e-4 * 2**players if players <= 8 else 0.055 * players


def test_a_step_between_two_algorithms_is_no_exponential():
    points = {"players": (1, 8, 11, 14, 100)}
    _, stopped = _scaled(_enumerates_few, "players", points=points, limit_s=4.0)
    assert [p.size for p in stopped.points] == [1, 8, 11]
    assert stopped.verdict == "unknown" and "step" in stopped.doubt
    _, whole = _scaled(_enumerates_few, "players", points=points, limit_s=15.0)
    assert len(whole.points) == 5 and whole.verdict == "polynomial"


def test_the_sizes_that_are_tried_tell_an_exponential():
    _, found = _scaled(lambda w, s: 0.04 + 2e-4 * 2.0**w.num_players, "players", points={})
    assert found.verdict == "exponential" and found.stopped is not None


def test_sizes_that_are_known_to_take_too_long_are_not_tried():
    _, found = _scaled(
        COSTS["requests"], "requests", points={"requests": (8, 72, 128)}, known_s=(72, 10)
    )
    assert [p.size for p in found.points] == [8]
    assert "72 would take" in found.stopped


def test_a_floor_and_a_cube_are_no_exponential():
    found, scaled = _scaled(
        lambda w, s: 0.1 + 1e-6 * w.num_players**3,
        "players",
        points={"players": (1, 4, 16, 32, 64, 128)},
        limit_s=1e9,
    )
    assert found.verdict == "polynomial"
    assert scaled.growth.tail_exponent > scaled.growth.exponent


def test_few_points_are_no_verdict():
    found, _ = _scaled(COSTS["players"], "players", points={"players": (2, 4, 8)})
    assert found.verdict == "unknown"


def test_a_method_that_raises_stops_its_axis():
    found = scaling(raises, system=SYSTEM, axes=("tokens",), with_game=False)
    assert "ZeroDivisionError" in found.axes["tokens"].stopped
    assert found.verdict == "unknown" and not found.axes["tokens"].points


@pytest.mark.parametrize(
    "axis, size", [("players", 129), ("tokens", 31), ("requests", 0), ("iterations", 10**6)]
)
def test_sizes_that_do_not_fit_are_refused(axis, size):
    with pytest.raises(InputError, match=axis):
        sized(axis, size, SYSTEM)


@pytest.mark.parametrize("axis", AXES)
def test_one_size_alone_varies(axis):
    sizes = []
    for size in DEFAULT_POINTS[axis]:
        run = sized(axis, size, SYSTEM)
        workload = run.workload
        measured = {
            "players": workload.num_players,
            "requests": workload.num_requests,
            "tokens": int(workload.num_prefill_tokens.sum()),
            "iterations": _iterations(workload, run.system),
        }
        assert measured.pop(axis) == size
        sizes.append(measured)
    assert all(other == sizes[0] for other in sizes)
    assert max(DEFAULT_POINTS[axis]) >= 100 * min(DEFAULT_POINTS[axis])


def test_iterations_are_as_many_as_meant():
    run = sized("iterations", 128, SYSTEM)
    assert serve(run.workload, run.system).num_iterations == 128


def test_noise_widens_the_interval():
    rng = np.random.default_rng(0)
    size = np.geomspace(1, 1000, 7)
    held = 0
    for _ in range(200):
        cost = size**1.3 * np.exp(rng.normal(0, 0.3, 7))
        low, high, _level = fit_growth(size, cost).interval
        held += low <= 1.3 <= high
    assert 180 <= held <= 199
    assert math.isnan(fit_growth([2.0], [1.0]).exponent)


def test_an_unknown_axis_is_refused():
    with pytest.raises(InputError, match="players"):
        scaling("tokens", axes=("watts",))


def test_programs_are_forgotten_once_they_take_much_memory(monkeypatch):
    gib = 2**30
    seen, cleared = iter([1, 3, 6, 2, 5, 7, 2]), []
    monkeypatch.setattr(memory, "resident_bytes", lambda: next(seen) * gib)
    monkeypatch.setattr(memory.jax, "clear_caches", lambda: cleared.append(True))
    programs = memory.Programs()  # at 1 GiB
    counts = []
    for _ in range(4):
        programs.forget_if_many()
        counts.append(len(cleared))
    assert counts == [0, 1, 1, 2]
