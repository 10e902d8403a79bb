"""Exact Shapley values against enumeration in plain Python, and games solved on paper."""

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool

from carbjax._attribution.exact import shapley
from carbjax._attribution.methods import find_method
from carbjax._carbon.emissions import Emissions
from carbjax._games.base import AbstractGame
from carbjax._games.lattice import Lattice
from carbjax._games.table import TableGame
from carbjax._progress import listening
from tests.reference.shapley import shapley_by_orders


def _table(num_players, value):
    subsets = range(2**num_players)
    members = [[i for i in range(num_players) if s >> i & 1] for s in subsets]
    return TableGame([float(value(frozenset(m))) for m in members])


class CountGame(AbstractGame):
    """v depends on how many of three kinds take part, in no simple way."""

    kind: tuple[int, ...]

    @property
    def num_players(self) -> int:
        return len(self.kind)

    @property
    def kinds(self) -> tuple[int, ...]:
        return self.kind

    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        kinds = jnp.asarray(self.kind)
        counts = [jnp.sum(coalition & (kinds == k), dtype=float) for k in range(3)]
        value = jnp.sqrt(1 + counts[0]) * jnp.exp(0.3 * counts[1]) + counts[2] ** 2
        zero = jnp.zeros_like(value)
        return Emissions(value, -0.5 * value, zero, counts[0] * counts[2], 7 * value)


@pytest.mark.parametrize("num_players", [1, 2, 5, 7])
def test_is_the_mean_over_orders(num_players):
    table = np.random.default_rng(num_players).normal(size=2**num_players)

    def value(coalition):
        return table[sum(1 << i for i in coalition)]

    expected = shapley_by_orders(value, num_players)
    np.testing.assert_allclose(shapley(TableGame(table)), expected, atol=1e-12)


def test_kinds_compress_without_changing_the_shares():
    kind = (0, 1, 1, 2, 0, 1, 2)
    compressed, plain = CountGame(kind), CountGame(kind)
    assert Lattice(compressed.kinds).num_coalitions == 3 * 4 * 3
    values = [plain(jnp.asarray([s >> i & 1 for i in range(7)], bool)) for s in range(2**7)]
    np.testing.assert_allclose(shapley(compressed), shapley(TableGame(values)), rtol=1e-12)


@pytest.mark.parametrize(
    "game, expected",
    [
        (TableGame([0, 4, 3, 9, 2, 8, 7, 15]), [6, 5, 4]),
        (TableGame([10, 4, 3, 9, 2, 8, 7, 15]), [8 / 3, 5 / 3, 2 / 3]),
        (_table(11, lambda s: len(s) - 0.05 * len(s) * (len(s) - 1)), [0.5] * 11),
        (_table(5, lambda s: len(s) / 5 + ({1, 2} <= s)), [0.2, 0.7, 0.7, 0.2, 0.2]),
        (_table(3, lambda s: 100 * (len(s) >= 2)), [100 / 3] * 3),
        (
            _table(4, lambda s: max([0, *(i + 1 for i in s)])),
            [1 / 4, 7 / 12, 13 / 12, 25 / 12],
        ),
    ],
    ids=["cooking", "cooking with v(none)", "paper", "dummy pair", "majority", "airport"],
)
def test_games_solved_on_paper(game, expected):
    np.testing.assert_allclose(shapley(game), expected, atol=1e-12)


def test_two_identical_requests_of_the_paper():
    """Section 4.2: v(none) = 30, v(one) = 40, v(both) = 42."""
    game = TableGame([30.0, 40.0, 40.0, 42.0])
    exact = find_method("shapley")(game)
    np.testing.assert_allclose(exact.shares, [6.0, 6.0], rtol=1e-12)
    assert exact.unattributed == 30.0
    marginal = find_method("leave_one_out")(game)
    np.testing.assert_allclose(marginal.shares, [2.0, 2.0], rtol=1e-12)
    assert marginal.unattributed == 38.0


def test_chunks_report_their_progress():
    seen = []
    with listening(lambda *done: seen.append(done)):
        shapley(TableGame(np.arange(2.0**13)))
    assert seen == [("coalitions", 4096, 8192), ("coalitions", 8192, 8192)]
