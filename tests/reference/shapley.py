"""Shapley values by definition: all orders of arrival, and all subsets."""

import itertools
import math
from collections.abc import Callable
from typing import Any

Game = Callable[[frozenset[int]], Any]
"""v(S) for a frozenset of players; floats, fractions or arrays."""


def coalitions(num_players: int) -> list[frozenset[int]]:
    """All subsets of the players; the index of S is the sum of 2^i over i in S."""
    return [
        frozenset(i for i in range(num_players) if index >> i & 1)
        for index in range(2**num_players)
    ]


def tabulate(game: Game, num_players: int) -> dict[frozenset[int], Any]:
    """The game's value at every coalition."""
    return {coalition: game(coalition) for coalition in coalitions(num_players)}


def shapley_by_orders(game: Game, num_players: int) -> list[Any]:
    """Mean marginal over all n! orders of arrival (n <= 7)."""
    if num_players > 7:
        raise ValueError(f"{num_players} players have too many orders")
    table = tabulate(game, num_players)
    sums: list[Any] = [0] * num_players
    for order in itertools.permutations(range(num_players)):
        present: frozenset[int] = frozenset()
        for player in order:
            joined = present | {player}
            sums[player] = sums[player] + table[joined] - table[present]
            present = joined
    return [s / math.factorial(num_players) for s in sums]


def shapley_by_subsets(game: Game, num_players: int) -> list[Any]:
    """sum over S without i of s! (n - s - 1)! / n! [v(S + i) - v(S)]."""
    table = tabulate(game, num_players)
    shares: list[Any] = [0] * num_players
    for player in range(num_players):
        for present, value in table.items():
            if player in present:
                continue
            s = len(present)
            ways = math.factorial(s) * math.factorial(num_players - s - 1)
            marginal = table[present | {player}] - value
            shares[player] = shares[player] + marginal * ways / math.factorial(num_players)
    return shares


def leave_one_out(game: Game, num_players: int) -> list[Any]:
    """v(all) - v(all but i)."""
    everyone = frozenset(range(num_players))
    return [game(everyone) - game(everyone - {i}) for i in range(num_players)]
