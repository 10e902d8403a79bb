"""The schedules whose iterations a closed-form control adds up."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

from carbjax._carbon.emissions import Emissions
from carbjax._carbon.footprint import Footprint
from carbjax._games.padding import fill_requests
from carbjax._games.serving import ServingGame
from carbjax._serving.engine import Server
from carbjax._serving.policies import Caps
from carbjax._serving.queue import make_queue
from carbjax._serving.serve import record_steps, timeline_observers
from carbjax._serving.steps import Steps
from carbjax._serving.system import System
from carbjax._serving.whole import run_whole
from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.features import BatchFeatures
from carbjax._units import INT32_MAX
from carbjax._workload import Workload


class FaintCost(AbstractIterationCost):
    """The cost of batches in which everybody counts as `presence` of a request."""

    cost: AbstractIterationCost
    presence: Float[Array, ""]

    def token_part(self, num_tokens: Float[Array, "*batch"]) -> Cost:
        return self.cost.token_part(self.presence * num_tokens)

    def sequence_part(self, num_sequences: Float[Array, "*batch"]) -> Cost:
        return self.cost.sequence_part(self.presence * num_sequences)

    def attention_part(
        self,
        num_tokens: Float[Array, "*batch"],
        prefill_pairs: Float[Array, "*batch"],
        prefill_kv: Float[Array, "*batch"],
        decode_tokens: Float[Array, "*batch"],
        decode_kv: Float[Array, "*batch"],
        decode_kv_sq: Float[Array, "*batch"],
    ) -> Cost:
        x = self.presence
        return self.cost.attention_part(
            x * num_tokens,
            x * prefill_pairs,
            x * prefill_kv,
            x * decode_tokens,
            x * decode_kv,
            x * decode_kv_sq,
        )

    def operator_costs(self, features: BatchFeatures) -> dict[str, Cost]:
        return self.cost.operator_costs(features.scale(self.presence))


@dataclasses.dataclass(frozen=True)
class Recorder:
    """Records runs of the same requests under other circumstances.

    Requests are in the engine's order: by (arrival, index), null players last.
    """

    arrival: Float[Array, " slots"]  # s, the first at 0
    prefill: Int[Array, " slots"]
    decode: Int[Array, " slots"]
    player: Int[Array, " slots"]
    server: Server
    footprint: Footprint
    standing: Emissions  # v of nobody
    num_players: int

    @classmethod
    def of(cls, workload: Workload, system: System) -> "Recorder":
        """Raises what `run_whole` does where the workload cannot be served."""
        whole = run_whole(workload, system, timeline_observers(system), pad=True)
        players = workload.num_players
        return cls(
            *fill_requests(whole.arrangement.requests),
            whole.server,
            system.footprint,
            whole.standing,
            players,
        )

    @classmethod
    def of_game(cls, game: ServingGame) -> "Recorder":
        """Of the requests that `game` serves, as it serves them."""
        return cls(
            *fill_requests((game.arrival, game.prefill, game.decode, game.player)),
            game.server,
            game.footprint,
            game.standing,
            game.num_players,
        )

    def real(self) -> Steps:
        """The run as it is."""
        return self._record(self.server.caps, 1.0)

    def without(self, player: int) -> Steps | None:
        """The run had `player` not come; None where nobody else asks for anything."""
        asks = np.asarray((self.prefill > 0) | (self.decode > 0))
        present = np.asarray(self.player) != player
        if not (asks & present).any():
            return None
        return self._record(self.server.caps, 1.0, jnp.asarray(present))

    def uncrowded(self) -> Steps:
        """The run in which each player is almost alone: everybody counts as one n-th.

        The caps hold n times as much. But a prompt beyond the token budget is read in
        chunks of it even alone, so where there is one, that cap stays.
        """
        caps, players = self.server.caps, self.num_players
        chunked = self.server.policy == "chunked_prefill"
        fits = int(self.prefill.max()) <= int(caps.max_num_batched_tokens)
        roomy = Caps(
            max_num_seqs=_times(caps.max_num_seqs, players),
            max_num_batched_tokens=_times(
                caps.max_num_batched_tokens, players if fits or not chunked else 1
            ),
            kv_capacity_tokens=_times(caps.kv_capacity_tokens, players),
        )
        return self._record(roomy, 1 / players)

    def _record(
        self, caps: Caps, presence: float, present: Bool[Array, " slots"] | None = None
    ) -> Steps:
        # The real run is recorded as a faint one too, so that one program serves all.
        cost = FaintCost(self.server.cost, jnp.asarray(presence, float))
        server = eqx.tree_at(lambda s: (s.cost, s.caps), self.server, (cost, caps))
        if present is None:
            present = jnp.ones(self.arrival.shape, bool)
        queue = make_queue(present, self.arrival, self.prefill, self.decode, self.player)
        return record_steps(queue, server)


def _times(cap: Num[Array, ""], factor: int) -> Num[Array, ""]:
    return jnp.asarray(min(INT32_MAX, int(cap) * factor), cap.dtype)


def participants(steps: Steps) -> Bool[np.ndarray, "steps slots"]:
    """Who takes part in each step."""
    return np.asarray(steps.batch.prefilling | steps.batch.decoding)


def busy_blocks(recorded: list[Steps], num_players: int) -> Int[np.ndarray, " players"]:
    """For each player the number of its block: who shares busy periods with whom.

    In no schedule of `recorded` do players of two blocks meet within a busy period.
    """
    block = np.arange(num_players)
    for steps in recorded:
        taking, player = participants(steps), np.asarray(steps.player)[0]
        gap = np.asarray(steps.start)[1:] > np.asarray(steps.end)[:-1]
        period = np.concatenate([[0], np.cumsum(gap)])
        for number in range(period[-1] + 1):
            present = np.unique(player[taking[period == number].any(axis=0)])
            met = np.unique(block[present])
            block[np.isin(block, met)] = met[0]
    return np.unique(block, return_inverse=True)[1]
