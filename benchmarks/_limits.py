"""How fast this device could be: traffic, arithmetic, and the cost alone in a loop."""

import functools as ft
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import carbjax as cj
from benchmarks._conduct import states
from benchmarks._rows import best_seconds

_TRAFFIC_WORDS = 2**24
_MULTIPLY_ADDS = 256
_TRIPS = 64


@ft.cache
def bytes_per_s(bits: int) -> float:
    """Bytes read and written by an array's copy, much larger than the caches."""
    values = jnp.zeros(_TRAFFIC_WORDS, _float(bits))
    moved = 2 * values.nbytes
    return moved / best_seconds(lambda: jax.jit(lambda x: x + 1)(values))


@ft.cache
def flops_per_s(bits: int) -> float:
    """Of multiply-adds on numbers that stay in registers."""

    @jax.jit
    def polynomial(x):
        for _ in range(_MULTIPLY_ADDS):
            x = x * x + 0.5 - x
        return x

    # In the caches of a CPU; enough work for all of an accelerator.
    words = 2**18 if jax.default_backend() == "cpu" else 2**24
    values = jnp.zeros(words, _float(bits))
    return 3 * _MULTIPLY_ADDS * len(values) / best_seconds(lambda: polynomial(values))


def roofline_s(function: Callable, *arguments: Any, bits: int) -> tuple[float, str]:
    """Seconds that traffic or arithmetic alone would take, and which of them binds."""
    compiled = jax.jit(function).lower(*arguments).compile()
    flops = (compiled.cost_analysis() or {}).get("flops", 0.0)
    leaves = jax.tree.leaves((arguments, jax.eval_shape(function, *arguments)))
    traffic = sum(np.prod(x.shape) * x.dtype.itemsize for x in leaves)
    found = {
        "memory traffic": float(traffic) / bytes_per_s(bits),
        "arithmetic": float(flops) / flops_per_s(bits),
    }
    name = max(found, key=lambda which: found[which])
    return found[name], name


def trip_s(system: cj.System, lanes: int) -> float:
    """Seconds a trip of a loop that prices three iterations of each lane, and no more.

    No engine that asks for the cost of a step at its three nodes can be quicker.
    """
    batch = jax.tree.map(
        lambda x: x.reshape(lanes, 3) if lanes > 1 else x, states(3 * lanes, float)
    )

    @eqx.filter_jit
    def loop(cost, batch):
        def trip(_, moved):
            # Depends on the trip before, so that no trip can be left out.
            latency, energy = cost(batch.scale(1 + 1e-12 * moved))
            return 1e-12 * jnp.sum(latency + energy)

        return jax.lax.fori_loop(0, _TRIPS, trip, jnp.zeros(()))

    return best_seconds(lambda: loop(system.cost, batch)) / _TRIPS


def _float(bits: int) -> Any:
    return {32: jnp.float32, 64: jnp.float64}[bits]
