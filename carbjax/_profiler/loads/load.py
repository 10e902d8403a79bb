"""A load: a function to call over and over, and the arrays that it works on."""

import dataclasses as dc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, PRNGKeyArray

Tree = Any  # a pytree of arrays, or of `Normal` and numpy arrays that stand for them
DTYPE = jnp.bfloat16
WORKING_SET_BYTES = 512 * 2**20
"""Several times the largest L2 cache, so that weights are always read from memory."""
_MOST_REPLICAS = 16


@dc.dataclass(frozen=True)
class Normal:
    """An array to be: independent normal numbers in bf16, or zeros where `std` is 0.

    Never zeros by default: they draw up to 40% less power (arXiv 2409.18324).
    """

    shape: tuple[int, ...]
    std: float = 1.0

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * jnp.dtype(DTYPE).itemsize


@dc.dataclass(frozen=True)
class Load:
    """`call(x, operands, y)` gives a new `y`; it may overwrite the old one or ignore it.

    `replicas` sets of operands, each with a `y` of its own, are used in turn. Where
    `shifts`, the loop adds a number from the call before to all of `x`, which a compiler
    fuses into the call; else it changes one number of `x`, once for all replicas.
    """

    call: Callable[[Array, Tree, Tree], Tree]
    x: Normal
    operands: Tree
    y: Tree
    replicas: int = 1
    shifts: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of device memory that the arrays take."""
        return self.x.nbytes + self.replicas * _nbytes((self.operands, self.y))


def spread(load: Load) -> Load:
    """The load on so many replicas that its operands do not stay in a cache."""
    each = _nbytes((load.operands, load.y))
    replicas = -(-WORKING_SET_BYTES // max(each, 1))
    return dc.replace(load, replicas=min(max(replicas, 1), _MOST_REPLICAS))


def allocate(load: Load, *, key: PRNGKeyArray) -> tuple[Tree, Tree]:
    """The state `(x, ys)` and the operands of all replicas, on the device."""
    x_key, *keys = jr.split(key, 1 + load.replicas)
    operands = tuple(_drawn(load.operands, key=k) for k in keys)
    ys = tuple(jax.tree.map(_zeros, load.y) for _ in keys)
    return (_normal(load.x, key=x_key), ys), operands


def abstract(load: Load) -> tuple[Tree, Tree]:
    """The same as shapes, to compile for."""

    def shapes(tree: Tree) -> Tree:
        return jax.tree.map(_shape, tree)

    state = _shape(load.x), (shapes(load.y),) * load.replicas
    return state, (shapes(load.operands),) * load.replicas


def _nbytes(tree: Tree) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def _shape(leaf: Normal | np.ndarray) -> jax.ShapeDtypeStruct:
    dtype = DTYPE if isinstance(leaf, Normal) else leaf.dtype
    return jax.ShapeDtypeStruct(leaf.shape, dtype)


def _drawn(tree: Tree, *, key: PRNGKeyArray) -> Tree:
    leaves, structure = jax.tree.flatten(tree)
    keys = jr.split(key, max(len(leaves), 1))
    arrays = [
        _normal(leaf, key=k) if isinstance(leaf, Normal) else jnp.asarray(leaf)
        for leaf, k in zip(leaves, keys, strict=False)
    ]
    return jax.tree.unflatten(structure, arrays)


def _zeros(leaf: Normal) -> Array:
    return jnp.zeros(leaf.shape, DTYPE)


def _normal(leaf: Normal, *, key: PRNGKeyArray) -> Array:
    if leaf.std == 0:
        return _zeros(leaf)
    return _draw(key, leaf.std, leaf.shape)


def _scaled_normal(key: PRNGKeyArray, std: float, shape: tuple[int, ...]) -> Array:
    return jr.normal(key, shape, DTYPE) * jnp.asarray(std, DTYPE)


_draw = jax.jit(_scaled_normal, static_argnums=2)
