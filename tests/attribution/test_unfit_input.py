"""Games and methods that cannot work say so, and samples always know their error."""

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float

from carbjax._attribution.attribute import attribute
from carbjax._attribution.methods import find_entry, find_method, methods, needs_game
from carbjax._errors import InputError, WorkloadError
from carbjax._estimators.estimate import estimate_shapley
from carbjax._games.known import AbstractKnownGame
from carbjax._games.table import TableGame
from carbjax._serving.system import System
from carbjax._workload import Workload

OF_GAMES = [name for name in methods() if needs_game(name)]
OF_RUNS = [name for name in methods() if not needs_game(name)]
SAMPLED = [name for name in methods() if not find_entry(name).exact]


class Nobody(AbstractKnownGame):
    """A game without players."""

    @property
    def num_players(self) -> int:
        return 0

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        return jnp.zeros(())

    def shapley(self):
        return np.zeros(0)


class Undefined(AbstractKnownGame):
    """No number where everybody meets."""

    @property
    def num_players(self) -> int:
        return 4

    def value(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        return jnp.where(jnp.all(coalition), jnp.nan, 1.0)

    def shapley(self):
        return np.full(4, np.nan)


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_method_of_runs_refuses_a_table(name):
    with pytest.raises(InputError, match="`workload` and `system`"):
        find_method(name)(TableGame([0.0, 1.0, 2.0, 4.0]))


@pytest.mark.parametrize("name", OF_GAMES)
def test_a_method_of_games_refuses_none(name):
    with pytest.raises(InputError, match="`game`"):
        find_method(name)(None)


@pytest.mark.parametrize("name", OF_GAMES)
def test_a_value_that_is_no_number_is_refused(name):
    with pytest.raises(InputError, match="finite"):
        find_method(name)(Undefined())


@pytest.mark.parametrize("name", OF_GAMES)
def test_a_single_player_gets_all(name):
    result = find_method(name)(TableGame([1.0, 3.0]))
    assert result.shares.tolist() == [2.0] and result.unattributed == 1.0


@pytest.mark.parametrize("name", OF_GAMES)
def test_a_game_without_players_is_refused(name):
    with pytest.raises(InputError, match="no players"):
        find_method(name)(Nobody())


def test_an_estimate_of_a_game_without_players_is_refused():
    with pytest.raises(InputError, match="no players"):
        estimate_shapley(Nobody(), budget=10)


def test_a_player_without_requests_is_refused():
    with pytest.raises(WorkloadError, match="player"):
        Workload([0.0, 1.0], [10, 20], [1, 2], player=[0, 2])


def test_a_run_in_which_nobody_asks_is_refused():
    nothing = Workload([0.0, 1.0], [0, 0], [0, 0])
    system = System.load("h200-sxm", "llama-3.1-8b")
    with pytest.raises(WorkloadError, match="every request"):
        attribute(nothing, system, "tokens")


@pytest.mark.parametrize("name", SAMPLED)
@pytest.mark.parametrize("num_players", [1, 3, 10])
def test_a_sample_never_lacks_its_standard_error(name, num_players):
    values = np.random.default_rng(51).random(2**num_players)
    stderr = find_method(name)(TableGame(values)).stderr
    assert stderr is not None and stderr.shape == (num_players,)
    assert np.isfinite(stderr).all() and stderr.any() == (num_players == 10)
