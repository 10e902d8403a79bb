"""Matrix products."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._profiler.loads.load import Load, Normal, spread


def gemm(rows: int, columns: int, depth: int, *, zeros: bool = False) -> Load:
    """A product of `rows` activations with weights, all of about unit variance."""
    activations = Normal((rows, depth), 0.0 if zeros else 1.0)
    weights = Normal((depth, columns), 0.0 if zeros else depth**-0.5)
    return spread(Load(_product, activations, weights, Normal((rows, columns))))


def _product(
    x: Float[Array, "rows depth"],
    weights: Float[Array, "depth columns"],
    _: Float[Array, "rows columns"],
) -> Float[Array, "rows columns"]:
    return jnp.matmul(x, weights)
