"""Games against the judge's loops over iterations."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._errors import InputError
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame
from carbjax._games.table import TableGame
from tests.reference import games
from tests.reference.shapley import coalitions
from tests.reference.workloads import cases
from tests.systems import judged

CASES = [
    case
    for case in cases(5, 60, max_requests=5, max_answer=60)
    if len(case.requests) == 4 and not all(request.is_null for request in case.requests)
]


@eqx.filter_jit
def _all_components(game, table):
    return jax.vmap(game.components)(table)


def _values(game, subsets):
    table = np.zeros((len(subsets), game.num_players), bool)
    for row, subset in zip(table, subsets, strict=True):
        row[list(subset)] = True
    return _all_components(game, jnp.asarray(table))


@pytest.mark.parametrize("provisioning", ["always_on", "on_demand"])
@pytest.mark.parametrize(
    "make, judge",
    [
        (ServingGame, games.reschedule_components),
        (ReplayGame, games.replay_components),
    ],
)
def test_values_are_the_judge_s(make, judge, provisioning):
    rng = np.random.default_rng(2)
    for case in CASES[:9]:
        served, workload, system = judged(case, rng, provisioning)
        subsets = coalitions(len(case.requests))
        ours = _values(make(workload, system), subsets)
        theirs = [judge(served, subset) for subset in subsets]
        scale = max(value.total for value in theirs)
        for name in ("prefill", "decode", "idle", "embodied"):
            np.testing.assert_allclose(
                getattr(ours, name),
                [getattr(value, name) for value in theirs],
                rtol=1e-6,
                atol=1e-7 * scale,
            )


def test_a_tenant_brings_all_its_requests():
    rng = np.random.default_rng(3)
    for case in CASES[:6]:
        player = np.arange(len(case.requests)) % 2
        served, workload, system = judged(case, rng, "always_on", player.tolist())
        subsets = coalitions(2)
        ours = _values(ServingGame(workload, system), subsets).total
        theirs = [games.reschedule_value(served, subset) for subset in subsets]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_replay_of_everybody_is_the_run():
    rng = np.random.default_rng(4)
    for case in CASES[:12]:
        _, workload, system = judged(case, rng, "always_on")
        everybody = jnp.ones(len(case.requests), bool)
        replayed = ReplayGame(workload, system)(everybody)
        served = ServingGame(workload, system)(everybody)
        assert float(replayed) == pytest.approx(float(served), rel=1e-12)


def test_a_table_is_read_by_bits():
    game = TableGame([0.0, 1.0, 20.0, 21.0, 300.0, 301.0, 320.0, 321.0])
    assert game.num_players == 3
    assert game(jnp.array([True, False, True])) == 301.0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 3.0], [0.0, np.nan]])
def test_a_table_of_another_size_is_refused(values):
    with pytest.raises(InputError):
        TableGame(values)
