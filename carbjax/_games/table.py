"""A game given by all its values."""

import copy

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._games.padding import fill_table, num_seats


class TableGame(AbstractGame):
    """v read from a table of 2^n values in gCO2e; bit i of the index is player i.

    Raises `InputError` where the number of values is no power of two, or one is not
    finite.
    """

    values: Float[Array, " coalitions"]
    size: int = eqx.field(static=True)

    def __init__(self, values: ArrayLike):
        host = np.asarray(values, dtype=np.float64)
        if host.ndim != 1 or len(host) < 2 or len(host) & (len(host) - 1):
            raise InputError(
                f"`values` has shape {host.shape}.",
                hint="Give 2^n values for n >= 1 players; bit i of the index is player i.",
            )
        bad = np.flatnonzero(~np.isfinite(host))
        if len(bad):
            raise InputError(f"`values[{bad[0]}]` is {host[bad[0]]}.")
        self.values = jnp.asarray(host)
        self.size = len(host).bit_length() - 1

    @property
    def num_players(self) -> int:
        return self.size

    @property
    def kinds(self) -> tuple[int, ...]:
        return tuple(range(self.size))

    def padded(self) -> "TableGame":
        """The same game with values that nobody looks up."""
        game = copy.copy(self)
        object.__setattr__(game, "values", fill_table(self.values))
        object.__setattr__(game, "size", num_seats(self.size))
        return game

    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        """The value as operational carbon of decode; a table knows no components."""
        bits = jnp.left_shift(1, jnp.arange(self.size))
        value = self.values[jnp.sum(jnp.where(coalition, bits, 0))]
        zero = jnp.zeros_like(value)
        return Emissions(zero, value, zero, zero, zero)
