"""Requests as the scheduler sees them: in order, with running sums."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num


class Queue(eqx.Module):
    """Slots that hold requests, waiting or running, first come first served.

    `order_*` are inclusive sums over the present requests in order of (arrival, index).
    Admission takes a prefix of that order, so comparing these sums with those of the
    requests admitted so far replaces any sum inside the loop.

    Lanes are queues side by side (`run`); what they share may have one lane.
    """

    present: Bool[Array, "slots *lanes"]
    player: Int[Array, "slots *lanes"]
    arrival: Float[Array, "slots *lanes"]  # s
    prefill: Float[Array, "slots *lanes"]  # tokens
    decode: Float[Array, "slots *lanes"]  # tokens
    reservation: Num[Array, "slots *lanes"]  # tokens of KV cache held while running
    need: Num[Array, "slots *lanes"]  # tokens of a chunk budget, at least 1
    order_count: Num[Array, "slots *lanes"]
    order_prefill: Num[Array, "slots *lanes"]
    order_reservation: Num[Array, "slots *lanes"]
    order_need: Num[Array, "slots *lanes"]
    # Seconds that `arrival` has rounded off.
    arrival_rest: Float[Array, "slots *lanes"] | None = None


def make_queue(
    present: Bool[Array, "slots *lanes"],
    arrival: Float[Array, "slots *lanes"],
    prefill: Num[Array, "slots *lanes"],
    decode: Num[Array, "slots *lanes"],
    player: Int[Array, "slots *lanes"] | None = None,
    arrival_rest: Float[Array, "slots *lanes"] | None = None,
) -> Queue:
    """A queue of the `present` requests, given in order of (arrival, index).

    Token counts of an integer type make the integer engine, of a float type the
    continuous one. Each request is its own player by default. Null players are taken
    out here: they are never scheduled.
    """
    if player is None:
        player = jnp.arange(len(prefill)).reshape(prefill.shape)
    present = present & ((prefill > 0) | (decode > 0))
    counts = prefill.dtype
    reservation = prefill + decode
    need = jnp.maximum(prefill, 1)

    def order(values: Num[Array, "slots *lanes"]) -> Num[Array, "slots *lanes"]:
        return jnp.cumsum(jnp.where(present, values, 0), axis=0, dtype=counts)

    real = arrival.dtype
    return Queue(
        present=present,
        player=player,
        arrival=arrival,
        prefill=prefill.astype(real),
        decode=decode.astype(real),
        reservation=reservation,
        need=need,
        order_count=order(jnp.ones_like(prefill)),
        order_prefill=order(prefill),
        order_reservation=order(reservation),
        order_need=order(need),
        arrival_rest=arrival_rest,
    )


def is_continuous(queue: Queue) -> bool:
    """Whether tokens and iterations are real numbers rather than whole ones."""
    return jnp.issubdtype(queue.reservation.dtype, jnp.floating)


def count_dtype() -> jnp.dtype:
    """The integer type of token sums: 64 bits where jax has them."""
    return jax.dtypes.canonicalize_dtype(jnp.int64)
