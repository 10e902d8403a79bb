"""How many values of v a method asks for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from carbjax._carbon.emissions import Emissions
from carbjax._games.base import AbstractGame


class Tally:
    """The distinct coalitions that were asked for."""

    def __init__(self):
        self._seen: set[bytes] = set()

    def note(self, coalitions: Bool[np.ndarray, "*batch players"]) -> np.ndarray:
        """Zeros, one for each coalition, which is now known."""
        rows = np.asarray(coalitions, bool)
        packed = np.packbits(rows.reshape(-1, rows.shape[-1]), axis=1)
        self._seen.update(row.tobytes() for row in packed)
        return np.zeros(rows.shape[:-1], np.float32)

    @property
    def num_evaluations(self) -> int:
        return len(self._seen)


class CountedGame(AbstractGame):
    """The same game, with a tally of whose values are taken.

    The tally is told from within compiled programs. Coalitions that only fill up a chunk
    repeat others, or are nobody, and count once.
    """

    game: AbstractGame
    tally: Tally = eqx.field(static=True)

    @property
    def num_players(self) -> int:
        return self.game.num_players

    @property
    def kinds(self) -> tuple[int, ...]:
        return self.game.kinds

    def padded(self) -> "CountedGame":
        """The same game, padded; a coalition is then known by as many bits more."""
        return CountedGame(self.game.padded(), self.tally)

    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        """v by component of the counted game."""
        zero = jax.pure_callback(
            self.tally.note,
            jax.ShapeDtypeStruct((), jnp.float32),
            coalition,
            vmap_method="broadcast_all",
        )
        values = self.game.components(coalition)
        return jax.tree.map(lambda x: x + zero.astype(x.dtype), values)
