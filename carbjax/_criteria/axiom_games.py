"""The axioms on random games, for methods that need no more than a game."""

import dataclasses

import numpy as np
from jaxtyping import Float

from carbjax._criteria.axiom_bench import Bench, largest_gap, sum_games
from carbjax._criteria.tabulate import Tabulated, all_coalitions, from_values, totals

_SIZES = (2, 3, 4)
_GAMES_EACH = 5


@dataclasses.dataclass(frozen=True)
class GameViolation:
    """The largest gap on random games, relative to the mean share; the smallest game.

    `values` are those of v, bit i of the index is player i; None where no gap was above
    the tolerance.
    """

    axiom: str
    relative: float
    broken: bool
    values: Float[np.ndarray, " coalitions"] | None


def check_games(bench: Bench, tolerance: float, seed: int) -> dict[str, GameViolation]:
    """Null player, symmetry, efficiency and linearity on random games that grow."""
    found = {}
    for axiom, measure in _MEASURES.items():
        rng = np.random.default_rng(seed)
        worst, shown = 0.0, None
        for players in _SIZES:
            for _ in range(_GAMES_EACH):
                game = _random_game(rng, players)
                relative, judged = measure(bench, game, rng)
                worst = max(worst, relative)
                if shown is None and relative > tolerance:
                    shown = totals(judged)
        found[axiom] = GameViolation(axiom, worst, worst > tolerance, shown)
    return found


def _random_game(rng: np.random.Generator, players: int) -> Tabulated:
    """v(none) of 0 to 1, and each player adds something to any coalition."""
    rows = all_coalitions(players)
    values = np.sqrt(rows @ rng.uniform(0.5, 2.0, players)) + rng.uniform(0, 1)
    return from_values(values + rng.uniform(0, 0.2, len(rows)) * rows.any(axis=1))


def _null_player(bench: Bench, game: Tabulated, rng) -> tuple[float, Tabulated]:
    """The last player adds nothing to any coalition."""
    values = totals(game)
    half = len(values) // 2
    null = from_values(np.r_[values[:half], values[:half]])
    return abs(float(bench.charge_game(null).shares[-1])) / _mean_share(null), null


def _symmetry(bench: Bench, game: Tabulated, rng) -> tuple[float, Tabulated]:
    """The first two players are worth the same to any coalition."""
    index = np.arange(len(totals(game)))
    swapped = (index & ~3) | ((index & 1) << 1) | ((index >> 1) & 1)
    even = from_values((totals(game) + totals(game)[swapped]) / 2)
    shares = bench.charge_game(even).shares
    return abs(float(shares[0] - shares[1])) / _mean_share(even), even


def _efficiency(bench: Bench, game: Tabulated, rng) -> tuple[float, Tabulated]:
    worth = totals(game)[-1] - totals(game)[0]
    gap = abs(float(bench.charge_game(game).shares.sum()) - worth)
    return gap / _mean_share(game), game


def _linearity(bench: Bench, game: Tabulated, rng) -> tuple[float, Tabulated]:
    """Two games apart against their sum."""
    other = _random_game(rng, game.num_players)
    whole = sum_games(game, other)
    apart = bench.charge_game(game).shares + bench.charge_game(other).shares
    gap = largest_gap(bench.charge_game(whole).shares, apart)
    return gap / _mean_share(whole), whole


def _mean_share(game: Tabulated) -> float:
    values = totals(game)
    return abs(float(values[-1] - values[0])) / game.num_players


_MEASURES = {
    "null_player": _null_player,
    "symmetry": _symmetry,
    "efficiency": _efficiency,
    "linearity": _linearity,
}
