"""Which requests the next iteration serves: one function a policy.

See docs/semantics.md. First come, first served: a blocked request blocks all behind it.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

from carbjax._serving.queue import Queue


class Caps(eqx.Module):
    """What the server allows to run at once."""

    max_num_seqs: Num[Array, ""]
    max_num_batched_tokens: Num[Array, ""]
    kv_capacity_tokens: Num[Array, ""]


class Boundary(eqx.Module):
    """What a policy sees between two iterations."""

    queue: Queue
    prefill_left: Float[Array, "slots *lanes"]  # prompt tokens still to read
    active: Bool[Array, "slots *lanes"]  # admitted and not finished
    arrived: Bool[Array, "slots *lanes"]  # waiting, and here
    has_seat: Bool[Array, "slots *lanes"]  # within the caps on requests and KV if admitted
    rank: Num[Array, "slots *lanes"]  # 1 for the first in the queue
    prefill_ahead: Num[Array, "slots *lanes"]  # prompt tokens of the queue up to here
    need_ahead: Num[Array, "slots *lanes"]  # chunk budget that those before it ask for
    idle: Bool[Array, "*lanes"]  # nothing runs


class Plan(eqx.Module):
    """The batch of the next iteration."""

    prefilling: Bool[Array, "slots *lanes"]  # those admitted now are among them
    chunk: Float[Array, "slots *lanes"]  # prompt tokens read
    decoding: Bool[Array, "slots *lanes"]
    open: Bool[Array, "*lanes"]  # a request that arrives during a decode run may join


Policy = Callable[[Boundary, Caps], Plan]


def prefill_first(boundary: Boundary, caps: Caps) -> Plan:
    """Whole prompts of the admitted alone, else one decode of all (Orca, vLLM V0)."""
    return _whole_prompts(boundary, caps, jnp.ones_like(boundary.idle))


def static(boundary: Boundary, caps: Caps) -> Plan:
    """As `prefill_first`, but nobody is admitted until all have finished."""
    return _whole_prompts(boundary, caps, boundary.idle)


def chunked_prefill(boundary: Boundary, caps: Caps) -> Plan:
    """Every decode, and prompts in chunks of what is left (Sarathi, vLLM V1)."""
    begun = boundary.active & (boundary.prefill_left > 0)
    decoding = boundary.active & ~begun
    need_ahead = boundary.need_ahead
    counts, real = need_ahead.dtype, boundary.prefill_left.dtype
    num_decoding = jnp.sum(decoding, dtype=counts, axis=0)
    room = jnp.maximum(caps.max_num_batched_tokens - num_decoding, 0).astype(real)
    # First come, first served: at most one prompt is begun and not yet read.
    rest = jnp.where(begun, jnp.minimum(boundary.prefill_left, room), 0.0)
    room = room - jnp.sum(rest, axis=0)
    ahead = jnp.maximum(need_ahead.astype(real), 0.0)  # real sums may round below 0
    admit = boundary.arrived & boundary.has_seat & (ahead < room)
    first = jnp.where(admit, jnp.minimum(boundary.queue.prefill, room - ahead), 0.0)
    return Plan(
        prefilling=admit | (rest > 0),
        chunk=rest + first,
        decoding=decoding,
        open=room > 0,
    )


def _whole_prompts(
    boundary: Boundary, caps: Caps, may_admit: Bool[Array, "*lanes"]
) -> Plan:
    fits = boundary.prefill_ahead <= caps.max_num_batched_tokens
    fits = fits | (boundary.rank == 1)
    admit = boundary.arrived & boundary.has_seat & fits & may_admit
    return Plan(
        prefilling=admit,
        chunk=jnp.where(admit, boundary.queue.prefill, 0.0),
        decoding=boundary.active & ~jnp.any(admit, axis=0),
        open=may_admit,
    )


POLICIES: dict[str, Policy] = {
    "prefill_first": prefill_first,
    "chunked_prefill": chunked_prefill,
    "static": static,
}
