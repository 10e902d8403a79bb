"""Random games with known Shapley values, for the laws."""

import numpy as np

from carbjax._games.known import (
    AbstractKnownGame,
    AdditiveGame,
    AirportGame,
    ShoesGame,
    SymmetricGame,
    UnanimitySum,
    VotingGame,
)
from carbjax._games.table import TableGame
from tests.reference.shapley import shapley_by_subsets


def random_sum(rng: np.random.Generator, num_players: int) -> UnanimitySum:
    """Teams of one to four players, no two of them equal in worth."""
    teams = np.zeros((4 * num_players, num_players), bool)
    for team in teams:
        team[rng.permutation(num_players)[: rng.integers(1, 5)]] = True
    return UnanimitySum(teams, rng.normal(0.3, 1.0, len(teams)))


def known_games() -> dict[str, AbstractKnownGame]:
    rng = np.random.default_rng(7)
    return {
        "additive": AdditiveGame(rng.uniform(-1, 3, 8)),
        "unanimity": random_sum(rng, 8),
        "airport": AirportGame([1.0, 2.0, 2.0, 5.0, 8.0, 8.5, 0.0]),
        "voting": VotingGame([4, 3, 2, 1, 1, 1], 7),
        "symmetric": SymmetricGame(np.sqrt(np.arange(10.0))),
        "shoes": ShoesGame(3, 4),
    }


def random_table(seed: int, num_players: int) -> tuple[TableGame, np.ndarray]:
    """Values without any structure, and their Shapley value by definition."""
    values = np.random.default_rng(seed).normal(size=2**num_players)
    members = shapley_by_subsets(
        lambda s: float(values[sum(1 << i for i in s)]), num_players
    )
    return TableGame(values), np.array(members)
