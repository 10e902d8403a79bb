"""What a game is: the carbon of serving only some of the players."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError


class AbstractGame(eqx.Module):
    """v: coalition -> gCO2e. One coalition in, one number out; `vmap` outside."""

    @property
    @abc.abstractmethod
    def num_players(self) -> int:
        """Number of players, at least 1."""

    @abc.abstractmethod
    def components(self, coalition: Bool[Array, " players"]) -> Emissions:
        """v by component, and the electricity, of serving only `coalition`."""

    def __call__(self, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
        """Emissions, in gCO2e, of serving only the players in `coalition`.

        Raises `InputError` unless `coalition` has one entry a player.
        """
        members = jnp.asarray(coalition).astype(bool)
        if members.shape != (self.num_players,):
            raise InputError(
                f"`coalition` has shape {members.shape}; the game has "
                f"{self.num_players} players.",
                hint="Give one true or false for each player; use `jax.vmap` for many.",
            )
        return _value(self, members)

    def padded(self) -> "AbstractGame":
        """The same values of a game of at least as many players; more are never members.

        Its arrays have one of few sizes, and nothing that is static tells games of one
        size apart, so that they share compiled programs. A game that knows no such sizes
        is given back as it is.
        """
        return self

    @property
    @abc.abstractmethod
    def kinds(self) -> tuple[int, ...]:
        """For each player, the number of its kind.

        Players of one kind are interchangeable: v depends only on how many of each kind
        take part. All different where nothing is known.
        """


@eqx.filter_jit
def _value(game: AbstractGame, coalition: Bool[Array, " players"]) -> Float[Array, ""]:
    return game.components(coalition).total
