"""The schedules whose iterations a closed-form control adds up."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from carbjax._carbon.emissions import Emissions
from carbjax._serving.serve import record_steps
from carbjax._serving.steps import Steps
from carbjax._serving.system import System
from carbjax._serving.whole import WholeRun, run_whole
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
    """Records runs of one workload under other circumstances."""

    workload: Workload
    system: System
    whole: WholeRun

    @classmethod
    def of(cls, workload: Workload, system: System) -> "Recorder":
        """Raises what `run_whole` does where the workload cannot be served."""
        return cls(workload, system, run_whole(workload, system, (), pad=True))

    @property
    def standing(self) -> Emissions:
        """v of nobody."""
        return self.whole.standing

    def real(self) -> Steps:
        """The run as it is."""
        return self._record(self.system, 1.0)

    def without(self, player: int) -> Steps | None:
        """The run had `player` not come; None where nobody else asks for anything."""
        arrangement = self.whole.arrangement
        asks = np.asarray((arrangement.prefill > 0) | (arrangement.decode > 0))
        present = np.asarray(arrangement.player) != player
        if not (asks & present).any():
            return None
        return self._record(self.system, 1.0, jnp.asarray(present))

    def uncrowded(self) -> Steps:
        """The run in which each player is almost alone: everybody counts as one n-th.

        The caps hold n times as much. But a prompt beyond the token budget is read in
        chunks of it even alone, so where there is one, that cap stays.
        """
        players, system = self.workload.num_players, self.system
        names = ["max_num_seqs", "kv_capacity_tokens"]
        longest = self.workload.num_prefill_tokens.max()
        chunked = system.policy == "chunked_prefill"
        if not chunked or longest <= system.max_num_batched_tokens:
            names.append("max_num_batched_tokens")
        roomy = {k: min(INT32_MAX, getattr(system, k) * players) for k in names}
        return self._record(dataclasses.replace(system, **roomy), 1 / players)

    def _record(
        self, system: System, presence: float, present: Bool[Array, " slots"] | None = None
    ) -> Steps:
        # The real run is recorded as a faint one too, so that one program serves all.
        cost = FaintCost(system.cost, jnp.asarray(presence, float))
        server = eqx.tree_at(
            lambda s: (s.cost, s.caps), self.whole.server, (cost, system.caps)
        )
        return record_steps(self.whole.arrangement.queue(present), server)


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
