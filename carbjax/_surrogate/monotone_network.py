"""A small network that is non-decreasing in every input, by construction."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

_DIGITS = 6


class MonotoneNetwork(eqx.Module):
    """Layers of `tanh(x roots^2 + bias)`, the last without the tanh; one output.

    Squares make every weight non-negative, so the output is non-decreasing in each
    input, smooth, and bounded (Sill 1998, monotonic networks).
    """

    roots: tuple[Float[ArrayLike, "inputs outputs"], ...]
    biases: tuple[Float[ArrayLike, " outputs"], ...]

    def __call__(
        self, inputs: Float[ArrayLike, "rows inputs"], xp: ModuleType = jnp
    ) -> Float[Array, " rows"]:
        """The output of each row, computed by the array library `xp`."""
        hidden: Any = inputs
        last = len(self.roots) - 1
        for i, (root, bias) in enumerate(zip(self.roots, self.biases, strict=True)):
            root = xp.asarray(root, dtype=hidden.dtype)
            hidden = hidden @ (root * root)
            hidden = hidden + xp.asarray(bias, dtype=hidden.dtype)[None, :]
            if i < last:
                hidden = xp.tanh(hidden)
        return hidden[:, 0]

    @staticmethod
    def random(sizes: Sequence[int], *, key: Array) -> "MonotoneNetwork":
        """A network to start a fit from: `sizes` counts inputs, hidden units, and 1."""
        roots, biases = [], []
        last = len(sizes) - 2
        for i, (width, count) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            key, weight_key, bias_key = jax.random.split(key, 3)
            size = jnp.abs(jax.random.normal(weight_key, (width, count)))
            weight = (0.6 * size / width**0.5 + 0.02) * (0.3 if i == last else 1.0)
            roots.append(jnp.sqrt(weight))
            spread = 0.0 if i == last else 2.0
            biases.append(spread * jax.random.uniform(bias_key, (count,), minval=-1.0))
        return MonotoneNetwork(tuple(roots), tuple(biases))

    def to_record(self) -> dict[str, list]:
        """Plain numbers of six digits, for a parameter file."""
        return {
            "roots": [_rounded(root) for root in self.roots],
            "biases": [_rounded(bias) for bias in self.biases],
        }

    @staticmethod
    def from_record(record: dict[str, list]) -> "MonotoneNetwork":
        """The network that `to_record` wrote."""
        return MonotoneNetwork(
            tuple(np.asarray(root, dtype=np.float64) for root in record["roots"]),
            tuple(np.asarray(bias, dtype=np.float64) for bias in record["biases"]),
        )


def library_of(*values: object) -> ModuleType:
    """`jax.numpy` where anything in `values` is a JAX array, else plain `numpy`.

    A few hundred points cost numpy less than a millisecond and JAX a compilation.
    """
    leaves = jax.tree.leaves(values)
    return jnp if any(isinstance(leaf, jax.Array) for leaf in leaves) else np


def _rounded(values: Float[ArrayLike, "..."]) -> list:
    rounded = np.vectorize(lambda v: float(f"{v:.{_DIGITS}g}"))(np.asarray(values))
    return rounded.tolist()
