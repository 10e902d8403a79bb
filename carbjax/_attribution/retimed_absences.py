"""By how much every player's absence re-times the others, at streaming's prices."""

import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from carbjax._attribution.prices import middles
from carbjax._attribution.streaming import presence_of, priced_shares
from carbjax._carbon.emissions import Emissions, no_emissions
from carbjax._carbon.footprint import Footprint
from carbjax._estimators.columns import NUM_COLUMNS, Columns, to_columns
from carbjax._games.serving import ServingGame
from carbjax._progress import report
from carbjax._serving.batch import measure
from carbjax._serving.buckets import num_slots
from carbjax._serving.engine import Step
from carbjax._serving.observers import AbstractObserver, Account
from carbjax._serving.queue import make_queue
from carbjax._serving.run import run
from carbjax._surrogate.cost import AbstractIterationCost

_MOST_ENTRIES = 2**17  # absences times requests that are run at once
_OUTSIDE = 1.0 - middles()  # chance that somebody is not among a part of the players


class AbsenceObserver(AbstractObserver):
    """What each request would bear of a schedule without `absent`, before it comes.

    Players come in random order. The value without `absent` is charged as `streaming`
    does it, but only what is added before `absent` comes: of b players in an iteration
    and `absent` each is the first with chance `1 / (b + 1)`, and of the rest what is
    added at a part t of the batch counts with chance `1 - t`.
    """

    cost: AbstractIterationCost
    footprint: Footprint
    absent: Int[Array, ""]
    num_tenants: int | None = eqx.field(static=True)

    def zero(self, num_slots: int) -> Account:
        return Account((), no_emissions(num_slots))

    def observe(self, account: Account, step: Step) -> Account:
        batch = step.batch.restrict(step.player != self.absent)
        measured = measure(step.num_iterations, batch, self.cost)
        left = eqx.tree_at(lambda s: (s.batch, s.measured), step, (batch, measured))
        shares = priced_shares(
            self.cost, self.footprint, left, self._presence(left), factors=_OUTSIDE
        )
        return Account((), account.slots + shares)

    def _presence(self, step: Step) -> Float[Array, " slots"]:
        """Each request's chance to be of the first player in a batch, before `absent`."""
        parts = presence_of(step, self.num_tenants)
        somebody = step.batch.prefilling | step.batch.decoding
        present = somebody.astype(parts.dtype)
        if self.num_tenants is not None:
            present = jax.ops.segment_max(present, step.player, self.num_tenants)
        players = jnp.sum(jnp.maximum(present, 0.0))
        return parts * players / (players + 1)


def absence_shares(game: ServingGame) -> Columns:
    """What the absences of all players add to each player's share, `"players 5"`.

    `sum over m of the Shapley value of (m not in S) (F_m(S) - F(S without m))`, F the sum
    over the iterations that ran and F_m over those that would have run without m. Adds
    up to 0. Two runs of the engine for each player, side by side in chunks.
    """
    wide = game.padded()
    asks = (np.asarray(wide.prefill) > 0) | (np.asarray(wide.decode) > 0)
    who = np.unique(np.asarray(wide.player)[asks])
    lanes = max(1, min(num_slots(len(who)), _MOST_ENTRIES // len(wide.player)))
    each_its_own = game.num_players == len(game.player)
    num_tenants = None if each_its_own else wide.num_players
    added = np.zeros((wide.num_players, NUM_COLUMNS))
    for start in range(0, len(who), lanes):
        now = who[start : start + lanes]
        # Filled up with nobody's absence, so that few sizes are compiled.
        filled = np.pad(now, (0, lanes - len(now)), constant_values=wide.num_players)
        added += to_columns(_run_absences(wide, jnp.asarray(filled), num_tenants))
        report("absences", start + len(now), len(who))
    return added[: game.num_players]


@eqx.filter_jit
def _run_absences(
    game: ServingGame, absent: Int[Array, " lanes"], num_tenants: int | None
) -> Emissions:
    """What the absences add together, by player."""
    # Without the absent one, and with it: twice as many lanes of one program.
    comes = jnp.arange(2 * len(absent)) >= len(absent)
    charged = ft.partial(_charged, game, num_tenants)
    slots = jax.vmap(charged)(jnp.tile(absent, 2), comes)
    without, with_ = (
        jax.tree.map(lambda x, h=h: jnp.split(x, 2)[h], slots) for h in (0, 1)
    )
    is_one = (absent < game.num_players)[:, None]

    def by_player(change: Float[Array, "lanes slots"]) -> Float[Array, " players"]:
        change = jnp.where(is_one, change, 0.0)
        others = jax.ops.segment_sum(jnp.sum(change, 0), game.player, game.num_players)
        # The absent one bears the opposite of all the others.
        return others.at[absent].add(-jnp.sum(change, 1), mode="drop")

    return jax.tree.map(by_player, without - with_)


def _charged(
    game: ServingGame, num_tenants: int | None, absent: Int[Array, ""], comes: Array
) -> Emissions:
    """What each slot bears without `absent`, of the schedule in which it comes or not."""
    observer = AbsenceObserver(game.server.cost, game.footprint, absent, num_tenants)
    present = comes | (game.player != absent)
    queue = make_queue(present, game.arrival, game.prefill, game.decode, game.player)
    return run(queue, game.server, (observer,))[1][0].slots
