"""A workload as the engine takes it: sorted, from time zero, padded to a bucket."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from carbjax._errors import WorkloadError
from carbjax._serving.buckets import power_of_two
from carbjax._serving.queue import Queue, count_dtype, make_queue
from carbjax._units import INT32_MAX
from carbjax._workload import Workload

_SMALLEST = 16  # slots
_COARSEST_CLOCK = 1e-3  # s; an iteration takes a few milliseconds


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Requests in order of (arrival, index), null players last, the first at time 0.

    `order[k]` is the workload's index of the k-th request. Entries beyond the workload's
    requests are padding: null players, so that sizes share compiled code.
    """

    arrival: Float[Array, " slots"]  # s after `zero_s`
    prefill: Int[Array, " slots"]
    decode: Int[Array, " slots"]
    player: Int[Array, " slots"]
    order: Int[np.ndarray, " requests"]
    zero_s: float
    arrival_rest: Float[Array, " slots"] | None  # s that 32 bits have rounded off

    def queue(self, present: Bool[Array, " slots"] | None = None) -> Queue:
        """The queue of the `present` requests, given in this order."""
        if present is None:
            present = jnp.ones(self.arrival.shape, bool)
        columns = self.arrival, self.prefill, self.decode, self.player
        return make_queue(present, *columns, self.arrival_rest)

    @property
    def requests(self) -> tuple[Array, Array, Array, Array]:
        """Arrival, prompt and decode tokens and player of each request, no padding."""
        number = len(self.order)
        columns = self.arrival, self.prefill, self.decode, self.player
        arrival, prefill, decode, player = (
            jax.device_put(np.asarray(column)[:number]) for column in columns
        )
        return arrival, prefill, decode, player

    def to_workload_order(self, values: Array) -> np.ndarray:
        """Per-slot values as the workload orders its requests."""
        ordered = np.asarray(values)[: len(self.order)]
        result = np.empty_like(ordered)
        result[self.order] = ordered
        return result


def arrange(workload: Workload, *, pad: bool) -> Arrangement:
    """The workload's requests as the engine takes them.

    Raises `WorkloadError` where nothing is asked for, or where the tokens overflow.
    """
    if workload.is_null.all():
        raise WorkloadError(
            "every request has 0 prompt and 0 decode tokens.",
            hint="Give at least one request that asks for something.",
        )
    # Null players are never scheduled: last, and their arrival does not matter.
    order = np.lexsort((workload.arrival_s, workload.is_null))
    zero_s = workload.start_s
    arrival = np.maximum(workload.arrival_s[order] - zero_s, 0.0)
    _require_clock(float(arrival[~workload.is_null[order]].max()))
    prefill = workload.num_prefill_tokens[order]
    decode = workload.num_decode_tokens[order]
    counts = _counts(int(prefill.sum() + decode.sum()) + len(order))
    size = power_of_two(len(order), least=_SMALLEST) if pad else len(order)
    extra = (0, size - len(order))
    seconds, rest = _in_two(np.pad(arrival, extra, mode="edge"))
    return Arrangement(
        arrival=seconds,
        arrival_rest=rest,
        prefill=jnp.asarray(np.pad(prefill, extra), counts),
        decode=jnp.asarray(np.pad(decode, extra), counts),
        player=jnp.asarray(np.pad(workload.player[order], extra)),
        order=order,
        zero_s=zero_s,
    )


def _in_two(
    seconds: Float[np.ndarray, " slots"],
) -> tuple[Float[Array, " slots"], Float[Array, " slots"] | None]:
    """The seconds in JAX's float type, and what 32 bits of it round off."""
    rounded = jnp.asarray(seconds, float)
    if rounded.dtype == seconds.dtype:
        return rounded, None
    return rounded, jnp.asarray(seconds - np.asarray(rounded, seconds.dtype), float)


def _counts(total: int) -> np.dtype:
    """The integers that can hold twice as many tokens: those running and those waiting.

    32 bits where they do: half as many bytes move. Raises `WorkloadError` if none can.
    """
    if total <= INT32_MAX // 2:
        return np.dtype(np.int32)
    widest = count_dtype()
    largest = np.iinfo(widest).max // 2
    if total > largest:
        raise WorkloadError(
            f"the workload has {total} tokens, and {widest.name} sums reach {largest}.",
            hint="Enable 64 bits: `jax.config.update('jax_enable_x64', True)`.",
        )
    return widest


def _require_clock(last_arrival_s: float) -> None:
    """Raises `WorkloadError` where the clock's floats cannot tell iterations apart."""
    spacing = float(jnp.spacing(jnp.asarray(last_arrival_s, float)))
    if spacing > _COARSEST_CLOCK:
        raise WorkloadError(
            f"arrivals span {last_arrival_s:.0f} s, where 32-bit seconds lie "
            f"{spacing:.2g} s apart.",
            hint="Enable 64 bits: `jax.config.update('jax_enable_x64', True)`.",
        )
