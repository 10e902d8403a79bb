"""All values of a game, so that criteria can ask for them again and again."""

import copy

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._estimators.columns import Columns, to_columns, to_emissions
from carbjax._estimators.enumeration import player_weights
from carbjax._games.base import AbstractGame
from carbjax._games.padding import fill_table, num_seats, widen
from carbjax._games.table import TableGame

_MOST_PLAYERS = 20
_CHUNK = 1024
_FEW = 64  # coalitions, with which a smaller game is filled up


class Tabulated(AbstractGame):
    """A game by its values: a row of columns for each coalition, bit i is player i."""

    columns: Float[Array, "coalitions 5"]
    kind: tuple[int, ...] = eqx.field(static=True)

    @property
    def num_players(self) -> int:
        return len(self.kind)

    @property
    def kinds(self) -> tuple[int, ...]:
        return self.kind

    def padded(self) -> "Tabulated":
        """The same game with values that nobody looks up."""
        game = copy.copy(self)
        object.__setattr__(game, "columns", fill_table(self.columns))
        object.__setattr__(game, "kind", tuple(range(num_seats(len(self.kind)))))
        return game

    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        """v by component, as it was tabulated."""
        bits = jnp.left_shift(1, jnp.arange(self.num_players))
        row = self.columns[jnp.sum(jnp.where(coalition, bits, 0))]
        return to_emissions(row)  # pyright: ignore[reportArgumentType]


def tabulate(game: AbstractGame) -> Tabulated:
    """The same game, read from a table of its 2^n values.

    Chunks of coalitions of nearly one size, all of one length, so that equally large
    games share a compiled program. Raises `InputError` beyond 20 players, or where a
    value is not finite.
    """
    if isinstance(game, Tabulated):
        return game
    players = game.num_players
    if players > _MOST_PLAYERS:
        raise InputError(
            f"{players} players have 2^{players} coalitions, too many to tabulate.",
            hint=f"Use at most {_MOST_PLAYERS} players, or tenants as players.",
        )
    if isinstance(game, TableGame):
        return from_values(np.asarray(game.values))
    rows, wide = all_coalitions(players), game.padded()
    order = np.argsort(rows.sum(axis=1), kind="stable")
    chunk = _FEW if len(rows) <= _FEW else _CHUNK
    columns = np.empty((len(rows), 5))
    for start in range(0, len(rows), chunk):
        part = order[start : start + chunk]
        filled = np.resize(widen(rows[part], wide.num_players), (chunk, wide.num_players))
        found = to_columns(_components(wide, jnp.asarray(filled)))
        columns[part] = found[: len(part)]
    if not np.isfinite(columns).all():
        raise InputError(
            "the value of some coalition is not a finite number.",
            hint="Does the carbon intensity cover the hours after the run too?",
        )
    return Tabulated(jnp.asarray(columns), game.kinds)


def from_values(values: Float[np.ndarray, " coalitions"]) -> Tabulated:
    """A game of these values, in gCO2e, all of them operational carbon of decode."""
    columns = np.zeros((len(values), 5))
    columns[:, 1] = values
    players = len(values).bit_length() - 1
    return Tabulated(jnp.asarray(columns), tuple(range(players)))


def all_coalitions(num_players: int) -> Bool[np.ndarray, "coalitions players"]:
    """Every coalition once; bit i of its index is player i."""
    index = np.arange(2**num_players)[:, None]
    return ((index >> np.arange(num_players)) & 1).astype(bool)


def totals(game: Tabulated) -> Float[np.ndarray, " coalitions"]:
    """v of every coalition, gCO2e."""
    return np.asarray(game.columns)[:, :4].sum(axis=1)


def table_shapley(game: Tabulated) -> Float[np.ndarray, " players"]:
    """The exact Shapley value, gCO2e."""
    return column_shapley(game)[:, :4].sum(axis=1)


def column_shapley(game: Tabulated) -> Columns:
    """The exact Shapley value by column, `"players 5"`."""
    players = game.num_players
    rows = all_coalitions(players)
    of_size = np.bincount(rows.sum(axis=1))
    weights = player_weights(rows) / of_size[rows.sum(axis=1)][:, None]
    return weights.T @ np.asarray(game.columns)


@eqx.filter_jit
def _components(
    game: AbstractGame, coalitions: Bool[Array, "coalitions players"]
) -> Emissions:
    return jax.vmap(game.components)(coalitions)
