"""Latency and energy of an operator whose cost depends on one count."""

import dataclasses as dc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from carbjax._surrogate.cost import Cost
from carbjax._surrogate.smooth import smooth_max, smooth_min


class Roofline(eqx.Module):
    """The cost of an operator over x items (tokens, or rows of the LM head).

        latency(x) = launch + item x + sqrt(floor^2 + (rate x)^2)            [s]
        energy(x)  = smooth_min(static latency + fixed + item_energy x, cap latency)  [J]

    `floor` is the time to read the weights, `rate` the time of one item's FLOPs. Energy
    is per GPU. Every coefficient is non-negative, so both are increasing in x, positive
    at 0 and linear far away. Fields broadcast, which is how a fit evaluates many shapes.
    """

    launch: Float[ArrayLike, "*shapes"]  # s
    item: Float[ArrayLike, "*shapes"]  # s an item
    floor: Float[ArrayLike, "*shapes"]  # s
    rate: Float[ArrayLike, "*shapes"]  # s an item
    fixed_energy: Float[ArrayLike, "*shapes"]  # J
    item_energy: Float[ArrayLike, "*shapes"]  # J an item
    static_power: Float[ArrayLike, "*shapes"]  # W
    max_power: Float[ArrayLike, "*shapes"]  # W

    def __call__(self, items: Float[Array, "*batch"]) -> Cost:
        """Latency (s) and energy (J, one GPU) of `items` items."""
        c = {f.name: _cast(getattr(self, f.name), items) for f in dc.fields(self)}
        bend = smooth_max(c["floor"], c["rate"] * items)
        latency = c["launch"] + c["item"] * items + bend
        free = c["static_power"] * latency + c["fixed_energy"] + c["item_energy"] * items
        return latency, smooth_min(free, c["max_power"] * latency)


def _cast(value: Float[ArrayLike, "*shapes"], like: Float[Array, "*batch"]) -> Array:
    # The engine chooses float32 or float64; parameters follow.
    return jnp.asarray(value).astype(jnp.asarray(like).dtype)
