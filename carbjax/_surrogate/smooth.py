"""Smooth stand-ins for max and min, made of cheap arithmetic only."""

import jax.numpy as jnp
from jaxtyping import Array, Float

# Keeps the square root differentiable where both arguments are 0. In seconds or
# joules it is far below anything measurable, and its square is a normal float32.
_TINY = 1e-15


def smooth_max(
    a: Float[Array, "*batch"], b: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """`sqrt(a^2 + b^2)`: the 2-norm roofline of two non-negative costs.

    Homogeneous of degree 1, so its gradient is constant along rays from 0 (up to a
    rounding of 1e-15), and asymptotically linear. Its gradient at 0 is 0.
    """
    return jnp.sqrt(a * a + b * b + _TINY**2)


def smooth_min(
    a: Float[Array, "*batch"], b: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """`(a^-16 + b^-16)^(-1/16)` of two positive numbers: at most 4.3% below the minimum.

    Increasing in both and homogeneous of degree 1. The sixteenth root is four square
    roots, which is several times cheaper than a power.
    """
    ratio = a / b
    for _ in range(4):
        ratio = ratio * ratio
    root = 1 + ratio
    for _ in range(4):
        root = jnp.sqrt(root)
    return a / root
