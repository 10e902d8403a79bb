"""What fills a game up to one of few sizes is never counted."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import carbjax as cj
from carbjax._attribution.indices import interaction_index, shapley_index
from carbjax._criteria.tabulate import all_coalitions, from_values
from carbjax._games.lattice import Lattice
from carbjax._games.padding import widen
from carbjax._games.replay import ReplayGame
from carbjax._games.serving import ServingGame
from carbjax._games.table import TableGame
from carbjax._serving.buckets import num_slots
from carbjax._serving.continuous import ContinuousServing, RealTokens
from carbjax._serving.observers import TotalsObserver
from tests.criteria.sinners import tiny_system

PLAYERS = 3
VALUES = np.random.default_rng(0).uniform(0, 1, 2**PLAYERS)


def workload() -> cj.Workload:
    """Three players with four requests, one of which asks for nothing."""
    return cj.Workload([0.0, 0.01, 0.02, 0.02], [30, 0, 50, 9], [4, 0, 7, 20], [0, 1, 2, 0])


MAKE = {
    "serving": lambda: ServingGame(workload(), tiny_system()),
    "replay": lambda: ReplayGame(workload(), tiny_system()),
    "table": lambda: TableGame(VALUES),
    "tabulated": lambda: from_values(VALUES),
}


@eqx.filter_jit
def components(game, coalitions):
    return jax.vmap(game.components)(coalitions)


@pytest.mark.parametrize("kind", MAKE)
def test_a_padded_game_has_the_same_values(kind):
    game = MAKE[kind]()
    wide, rows = game.padded(), all_coalitions(PLAYERS)
    assert wide.num_players > game.num_players
    assert len(set(wide.kinds)) == wide.num_players
    values = components(game, jnp.asarray(rows))
    padded = components(wide, jnp.asarray(widen(rows, wide.num_players)))
    for one, other in zip(jax.tree.leaves(values), jax.tree.leaves(padded), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("index_of", [shapley_index, interaction_index])
def test_a_padded_lattice_gives_the_same_index(index_of):
    kinds = (0, 1, 0, 2, 0)
    small, wide = Lattice(kinds), Lattice(kinds, room=16)
    assert wide.num_coalitions == small.num_coalitions == 4 * 2 * 2
    values = np.random.default_rng(1).uniform(0, 1, small.num_coalitions)

    def of_players(lattice, index):
        counts = lattice.counts(jnp.arange(len(values)))
        outputs = index.weights(lattice, counts).T @ values
        found = index.of_players(lattice, np.asarray(outputs))
        return found[(slice(len(kinds)),) * found.ndim]

    index = index_of(len(kinds))
    np.testing.assert_allclose(
        of_players(wide, index.padded(16)), of_players(small, index), rtol=1e-12
    )


def test_more_slots_change_neither_emissions_nor_derivatives():
    """The continuous engine with and without slots that nobody fills."""
    some = workload().select([0, 2, 3])
    wide = ContinuousServing(some, tiny_system()).requests
    assert wide.num_slots == num_slots(3) > 3
    small = RealTokens(wide.arrival[:3], wide.order[:3], wide.server, wide.footprint)
    tokens = jnp.asarray([some.num_prefill_tokens, some.num_decode_tokens], float)

    def emitted(serving, counts):
        observers = (TotalsObserver(serving.footprint),)
        (account,) = serving.observe(counts[0], counts[1], observers)
        return account.totals.emissions.total

    for of in (emitted, jax.jacfwd(emitted, argnums=1)):
        one, other = (eqx.filter_jit(of)(x, tokens) for x in (small, wide))
        np.testing.assert_allclose(one, other, rtol=1e-12)
