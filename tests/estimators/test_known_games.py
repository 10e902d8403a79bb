"""Closed forms of known games against the definition."""

import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._errors import InputError
from carbjax._games.known import AdditiveGame, ShoesGame, SymmetricGame, UnanimitySum
from tests.estimators.games import known_games
from tests.reference.shapley import coalitions, shapley_by_subsets


@pytest.mark.parametrize("name", known_games())
def test_closed_form_is_the_shapley_value(name):
    game = known_games()[name]
    table = {
        s: float(game(jnp.asarray([i in s for i in range(game.num_players)])))
        for s in coalitions(game.num_players)
    }
    expected = shapley_by_subsets(table.__getitem__, game.num_players)
    np.testing.assert_allclose(game.shapley(), expected, atol=1e-12)


def test_three_left_and_two_right_shoes():
    """As pyDVL gives them."""
    np.testing.assert_allclose(
        ShoesGame(3, 2).shapley(), [7 / 30] * 3 + [0.65] * 2, rtol=1e-12
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdditiveGame([]),
        lambda: AdditiveGame([1.0, float("nan")]),
        lambda: UnanimitySum([[False, False]], [1.0]),
        lambda: SymmetricGame([1.0]),
    ],
)
def test_no_such_game(make):
    with pytest.raises(InputError):
        make()
