"""The part of a serving game that a block of its requests plays."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from carbjax._carbon.emissions import Emissions, no_emissions
from carbjax._carbon.footprint import Footprint
from carbjax._games.lattice import AnyArray
from carbjax._games.serving import ServingGame
from carbjax._serving.engine import Server
from carbjax._serving.observers import TotalsObserver
from carbjax._serving.queue import make_queue
from carbjax._serving.run import run


class Block(NamedTuple):
    """Requests that come one after another in the queue, and whose they are."""

    requests: Int[np.ndarray, " requests"]  # slots of the game
    players: Int[np.ndarray, " players"]  # sorted


class Requests(NamedTuple):
    """The requests of a block, `"*blocks requests"`, and the block's players."""

    arrival: Float[AnyArray, "*blocks requests"]  # s, on the whole game's clock
    prefill: Int[AnyArray, "*blocks requests"]
    decode: Int[AnyArray, "*blocks requests"]
    player: Int[AnyArray, "*blocks requests"]  # number among the block's

    @staticmethod
    def of(game: ServingGame, block: Block) -> "Requests":
        slots = block.requests
        player = np.searchsorted(block.players, np.asarray(game.player)[slots])
        columns = [np.asarray(x) for x in (game.arrival, game.prefill, game.decode)]
        arrival, prefill, decode = (x[slots] for x in columns)
        return Requests(arrival, prefill, decode, player)


def play(
    server: Server,
    footprint: Footprint,
    requests: Requests,
    coalition: Bool[Array, " players"],
) -> tuple[Emissions, Float[Array, ""]]:
    """v by component above that of nobody, and when the last request is served, s."""
    arrival, prefill, decode, player = map(jnp.asarray, requests)
    queue = make_queue(coalition[player], arrival, prefill, decode)
    progress, (account,) = run(queue, server, (TotalsObserver(footprint),))
    return account.totals.emissions, progress.time


class BlockGame(ServingGame):
    """v(S) - v(nobody) of serving only those requests of a block that belong to S.

    Its players are those of the block. Times are those of the whole game.
    """

    def __init__(self, game: ServingGame, block: Block):
        arrival, prefill, decode, player = map(jax.device_put, Requests.of(game, block))
        self.arrival, self.prefill, self.decode = arrival, prefill, decode
        self.player = player
        self.server, self.footprint = game.server, game.footprint
        self.window = game.window
        self.size, self.kind = len(block.players), kinds_of(game, block)

    @property
    def standing(self) -> Emissions:
        """v of the empty coalition: 0, for the machine as such is in no block."""
        return no_emissions()


def kinds_of(game: ServingGame, block: Block) -> tuple[int, ...]:
    """For each player of the block the number of its kind."""
    labels = np.asarray(game.kinds)[block.players]
    return tuple(np.unique(labels, return_inverse=True)[1].tolist())
