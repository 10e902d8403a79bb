"""A load compiled into a loop that a GPU can be left alone with."""

import dataclasses as dc
import functools as ft
import time
from collections.abc import Callable
from math import ceil

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from carbjax._profiler.loads import Load, abstract, allocate
from carbjax._profiler.loads.load import Tree
from carbjax._profiler.protocol import Protocol

_FEWEST_LAUNCHES = 2
_SHIFT = 1e-3


@dc.dataclass(frozen=True)
class Program:
    """A compiled loop: `run(state, operands)` gives the new state and a number to await."""

    load: Load
    trips: int
    run: Callable[[Tree, Tree], tuple[Tree, Array]]

    @property
    def calls(self) -> int:
        """Calls of the load in one launch."""
        return self.trips * self.load.replicas


@dc.dataclass(frozen=True)
class Window:
    """A stretch of time in which a load ran; s of the host's monotonic clock."""

    start: float
    end: float
    latency_s: float  # of one call


def compiled(load: Load, trips: int) -> Program:
    """The program of a load, compiled before anything is measured.

    `trips` is static: for a loop of unknown length the host would ask the GPU before
    each turn whether it goes on.
    """
    run = jax.jit(ft.partial(_loop, load, trips), donate_argnums=0)
    return Program(load, trips, run.lower(*abstract(load)).compile())


def run_window(program: Program, protocol: Protocol, *, key: PRNGKeyArray) -> Window:
    """The load at work: launches are queued, the host waits at both ends alone."""
    state, operands = allocate(program.load, key=key)
    state, _ = _launched(program, state, operands, 1)
    state, first = _launched(program, state, operands, 1)
    warm_ups = ceil(protocol.warm_up / first)
    state, _ = _launched(program, state, operands, warm_ups)
    count = max(_FEWEST_LAUNCHES, ceil(protocol.window / first))
    start = time.monotonic()
    _, seconds = _launched(program, state, operands, count)
    return Window(start, start + seconds, seconds / (count * program.calls))


def run_half_duty(program: Program, protocol: Protocol, *, key: PRNGKeyArray) -> Window:
    """The load at work for half of the time, in turns of random length.

    A meter that samples a quarter of the time would misread turns of a fixed period.
    """
    state, operands = allocate(program.load, key=key)
    state, _ = _launched(program, state, operands, 1)
    rests = np.random.default_rng(protocol.seed)
    began, start, busy, count = time.monotonic(), None, 0.0, 0
    while start is None or time.monotonic() < start + protocol.window:
        if start is None and time.monotonic() >= began + protocol.warm_up:
            start, busy, count = time.monotonic(), 0.0, 0
        state, seconds = _launched(program, state, operands, 1)
        busy, count = busy + seconds, count + 1
        time.sleep(seconds * rests.uniform(0.5, 1.5))
    return Window(start, time.monotonic(), busy / (count * program.calls))


def _launched(
    program: Program, state: Tree, operands: Tree, count: int
) -> tuple[Tree, float]:
    """The state after some launches, and the s that they took together."""
    began, token = time.monotonic(), None
    for _ in range(count):
        state, token = program.run(state, operands)
    jax.block_until_ready(token)
    return state, time.monotonic() - began


def _loop(load: Load, trips: int, state: Tree, operands: Tree) -> tuple[Tree, Array]:
    state = lax.fori_loop(0, trips, lambda _, now: _turn(load, now, operands), state)
    return state, _corner(state[1][-1])


def _turn(load: Load, state: Tree, operands: Tree) -> Tree:
    """One call on each replica, none of which the compiler can drop, merge or share.

    Each turn depends on the numbers of the one before, so none can be left out. Calls
    that differ in nothing but `x` depend on the call before, so none can be shared.
    Results leave the loop, so all of each is computed; barriers keep kernels apart.
    """
    x, ys = state
    x = x if load.shifts else _with_corner(x, _number(*ys))
    results, before = [], ys[-1]
    for y, own in zip(ys, operands, strict=True):
        seen = x + _SHIFT * _number(before).astype(x.dtype) if load.shifts else x
        x, before = lax.optimization_barrier((x, load.call(seen, own, y)))
        results.append(before)
    return x, tuple(results)


def _number(*results: Tree) -> Array:
    """A number in [-1, 1] that hangs on all results, and cannot grow over the turns."""
    corners = [_corner(result).astype(jnp.float32) for result in results]
    return jnp.tanh(jnp.mean(jnp.stack(corners)))


def _with_corner(x: Array, number: Array) -> Array:
    return x.at[(0,) * x.ndim].set(number.astype(x.dtype))


def _corner(result: Tree) -> Array:
    array = jax.tree.leaves(result)[0]
    return array[(0,) * array.ndim]
