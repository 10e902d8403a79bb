"""Which part of an iteration's fixed price each recorded participant bears.

The players present bear equal parts; the part of a player is divided among its requests
in the iteration, so that it counts as the phase which they are in.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from carbjax._attribution.recorded_schedule import RecordedSchedule
from carbjax._attribution.recorded_sums import DecodePrices, sum_over_runs
from carbjax._attribution.recorded_tables import Chunks


class FixedParts:
    """Players of each iteration. Cost: O(iterations + (chunks + runs) log of these)."""

    def __init__(self, schedule: RecordedSchedule):
        player, self._chunks = schedule.workload.player, schedule.chunks
        number, runs = schedule.num_iterations, schedule.runs
        self._of_run, self._of_chunk = player[runs.request], player[self._chunks.request]
        self._num_players = schedule.workload.num_players
        # Runs of one player that touch or overlap are one span.
        self._span_player, self._first, self._end = _merge(
            self._of_run, runs.first, runs.first + runs.length
        )
        key = number + 1
        begun, ended = (
            np.sort(self._of_run * key + x) for x in (runs.first, runs.first + runs.length)
        )
        at = self._of_chunk * key + self._chunks.iteration
        # All runs of players before are both begun and ended.
        decoding = np.searchsorted(begun, at, "right") - np.searchsorted(ended, at, "right")
        _, cell, size = np.unique(at, return_inverse=True, return_counts=True)
        self._requests = decoding + size[cell]
        self._also_decodes: Bool[np.ndarray, " chunks"] = decoding > 0
        self.num_players = self._count_players(number)

    def _count_players(self, number: int) -> Int[np.ndarray, " iterations"]:
        """How many players each iteration has."""
        change = np.bincount(self._first, minlength=number + 1)
        change = change - np.bincount(self._end, minlength=number + 1)
        count = np.cumsum(change)[:number].astype(float)
        chunks: Chunks = self._chunks
        alone = ~self._also_decodes / self._requests
        count += np.bincount(chunks.iteration, alone, number)
        return np.rint(count).astype(np.int64)

    def shares(
        self, fixed: Float[np.ndarray, " iterations"]
    ) -> tuple[Float[np.ndarray, " players"], Float[np.ndarray, " players"]]:
        """What each player bears of `fixed`, the iterations' prices, by phase."""
        part = fixed / np.maximum(self.num_players, 1)
        of_chunk = part[self._chunks.iteration] / self._requests
        prefill = np.bincount(self._of_chunk, of_chunk, self._num_players)
        none, length = np.zeros_like(part), self._end - self._first
        of_span = sum_over_runs(
            DecodePrices(part, none, none), self._first, length, np.zeros_like(length)
        )
        decode = np.bincount(self._span_player, of_span, self._num_players)
        # Where the player reads a prompt too, its decodes bear the rest of its part.
        both = of_chunk * self._also_decodes
        return prefill, decode - np.bincount(self._of_chunk, both, self._num_players)


def _merge(
    player: Int[np.ndarray, " runs"],
    first: Int[np.ndarray, " runs"],
    end: Int[np.ndarray, " runs"],
) -> tuple[Int[np.ndarray, " spans"], ...]:
    """The unions of each player's runs: player, first, and end (excluded)."""
    if not len(player):
        return player, first, end
    order = np.lexsort((first, player))
    player, first, end = player[order], first[order], end[order]
    stride = int(end.max()) + 1
    # Players lie apart, so that one running maximum serves all.
    reached = np.maximum.accumulate(player * stride + end)
    begins = np.concatenate([[True], (player * stride + first)[1:] > reached[:-1]])
    last = np.concatenate([np.flatnonzero(begins)[1:] - 1, [len(player) - 1]])
    kept = player[begins]
    return kept, first[begins], reached[last] - kept * stride
