"""The fit of one surrogate to all matrix products of a GPU."""

import dataclasses as dc
import functools as ft
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from carbjax import _progress
from carbjax._errors import ProfileError
from carbjax._fitting.fit import GpuFacts
from carbjax._fitting.gemm_gaps import gap_rows
from carbjax._fitting.least_squares import Solution, least_squares
from carbjax._profiles.profile import Profile
from carbjax._surrogate.gemm import LARGEST_SHARPNESS, NUM_FEATURES, Gemm, Residual
from carbjax._surrogate.monotone_network import MonotoneNetwork

NUM_PROCESSORS = {
    "a100-sxm": 108.0,
    "h100-sxm": 132.0,
    "h200-sxm": 132.0,
    "b200-sxm": 148.0,
    "rtx-pro-6000": 188.0,
}
"""Streaming multiprocessors, from NVIDIA's architecture papers."""

FEWEST_SHAPES = 30
FEWEST_ROWS = 1000
"""Below either the roofline stands alone: it knows unseen sizes better than a network."""

_USUAL_PROCESSORS = 132.0
_HIDDEN = (32, 32)
_STEPS, _BATCH, _RATE, _DECAY = 8000, 1024, 2e-2, 1e-4
_CHUNKS = 8  # between which progress is told
_HUBER = 0.05
_NOISE = 0.05  # relative error of a row, the unit of the prior

Rows = Bool[np.ndarray, " rows"]
Inputs = tuple[Array, ...]  # m, n, k, bytes a weight
Triple = tuple[float, float, float]
Free = Any  # a MonotoneNetwork and the logit of the roofline's share


@dc.dataclass(frozen=True)
class FittedGemm:
    """A surrogate, and the covariance of the logarithms of its roofline.

    Their order: launch, k_latency, weight_byte, activation_byte, flop, and the logit of
    `(sharpness - 1) / 3`. `rms` is the robust size of the roofline's relative errors.
    """

    gemm: Gemm
    covariance: Float[np.ndarray, "6 6"]
    rms: float


def fit_gemm(profile: Profile, gpu: GpuFacts, train: Rows, seed: int = 0) -> Gemm:
    """The GEMM surrogate of a GPU from the rows `train`; see `fit_gemm_with_errors`."""
    return fit_gemm_with_errors(profile, gpu, train, seed).gemm


def fit_gemm_with_errors(
    profile: Profile, gpu: GpuFacts, train: Rows, seed: int = 0
) -> FittedGemm:
    """The surrogate and the uncertainty of its roofline, from the rows `train`.

    First the roofline by robust least squares; then, with 30 shapes and 1000 rows or
    more, the residual's network by AdamW on the Huber loss of log latency, gaps between
    sizes filled evenly (`gap_rows`). The same seed gives the same numbers. Raises
    `ProfileError` where either does not converge.
    """
    rows = profile.select(train)
    inputs, measured = _inputs(rows), jnp.log(jnp.asarray(rows.latency_s))
    bare, solution = _fit_roofline(inputs, measured, gpu)
    shapes = np.unique(np.stack([rows.n, rows.k]), axis=1).shape[1]
    if shapes >= FEWEST_SHAPES and len(rows) >= FEWEST_ROWS:
        between, expected = gap_rows(rows, bare)
        inputs = tuple(map(jnp.concatenate, zip(inputs, between.T, strict=True)))
        measured = jnp.concatenate([measured, expected])
        bare = _with_residual(bare, rows, gpu, inputs, measured, seed)
    return FittedGemm(bare, solution.covariance, solution.rms)


def gemm_latency(gemm: Gemm, profile: Profile) -> Float[np.ndarray, " rows"]:
    """Seconds of each row of a GEMM profile."""
    p = profile
    return np.asarray(gemm.latency(p.num_tokens, p.n, p.k, p.bytes_per_weight))


def _fit_roofline(
    inputs: Inputs, measured: Float[Array, " rows"], gpu: GpuFacts
) -> tuple[Gemm, Solution]:
    byte, flop = 1 / gpu.memory_bandwidth, 1 / gpu.peak_flops
    first = np.log([3e-6, 5e-11, 1.2 * byte, 0.4 * byte, 1.4 * flop])
    found = least_squares(
        lambda p: jnp.log(_roofline_of(p).latency(*inputs)) - measured,
        np.append(first, -0.7),  # sharpness 2
        prior_scale=np.array([3.0, 3.0, 3.0, 3.0, 3.0, 1.0]) / _NOISE,
    )
    return _plain(_roofline_of(jnp.asarray(found.parameters))), found


def _roofline_of(p: Float[Array, "6"]) -> Gemm:
    sharpness: Any = 1.0 + (LARGEST_SHARPNESS - 1.0) * jax.nn.sigmoid(p[5])
    return Gemm(*jnp.exp(p[:5]), sharpness=sharpness)


def _with_residual(
    bare: Gemm,
    rows: Profile,
    gpu: GpuFacts,
    inputs: Inputs,
    measured: Float[Array, " rows"],
    seed: int,
) -> Gemm:
    """The roofline with the residual that gradient descent finds; the roofline stays."""
    low, high = _box(rows)
    processors = NUM_PROCESSORS.get(gpu.name, _USUAL_PROCESSORS)

    def gemm_of(free: Free) -> Gemm:
        network, logit = free
        share = jax.nn.sigmoid(logit)
        residual = Residual(network, share, processors, low, high)
        return dc.replace(bare, residual=residual)

    widths = (NUM_FEATURES, *_HIDDEN, 1)
    network = MonotoneNetwork.random(widths, key=jax.random.key(seed))
    first = gemm_of((network, jnp.zeros(())))
    offset = jnp.mean(measured - jnp.log(first.latency(*inputs)))
    biases = (*network.biases[:-1], network.biases[-1] + offset)
    start = (dc.replace(network, biases=biases), jnp.zeros(()))

    def loss(free: Free, batch: Array) -> Array:
        latency = gemm_of(free).latency(*(column[batch] for column in inputs))
        return jnp.mean(optax.huber_loss(jnp.log(latency), measured[batch], delta=_HUBER))

    return _plain(gemm_of(_descend(loss, start, len(measured), seed)))


def _descend(
    loss: Callable[[Free, Array], Array], start: Free, num_rows: int, seed: int
) -> Free:
    """What AdamW makes of `start`, on batches of rows drawn at random."""
    schedule = optax.cosine_onecycle_schedule(_STEPS, _RATE, pct_start=0.1)
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(schedule, b2=0.99, weight_decay=_DECAY),
    )

    def step(state, key):
        free, memory = state
        batch = jax.random.randint(key, (_BATCH,), 0, num_rows)
        updates, memory = optimiser.update(jax.grad(loss)(free, batch), memory, free)
        return (optax.apply_updates(free, updates), memory), None

    run = jax.jit(ft.partial(jax.lax.scan, step))
    keys = jax.random.split(jax.random.key(seed + 1), (_CHUNKS, _STEPS // _CHUNKS))
    # optax raises floats to integer powers, which a caller's settings may refuse.
    with jax.numpy_dtype_promotion("standard"):
        state = (start, optimiser.init(start))
        for i in range(_CHUNKS):
            _progress.report("fitting matrix products", i, _CHUNKS)
            state, _ = run(state, keys[i])
    if not np.isfinite(float(loss(state[0], jnp.arange(num_rows)))):
        raise ProfileError(
            "the residual of the matrix products did not converge.",
            hint="Look for latencies that are far from their neighbours'.",
        )
    return state[0]


def _box(rows: Profile) -> tuple[Triple, Triple]:
    """The smallest and the largest m, n and k."""
    m, n, k = rows.num_tokens, rows.n, rows.k
    low = float(m.min()), float(n.min()), float(k.min())
    return low, (float(m.max()), float(n.max()), float(k.max()))


def _inputs(rows: Profile) -> Inputs:
    return tuple(
        jnp.asarray(column)
        for column in (rows.num_tokens, rows.n, rows.k, rows.bytes_per_weight)
    )


def _plain(gemm: Gemm) -> Gemm:
    """The same numbers as plain floats and numpy arrays, which cost no compilation."""

    def plain(leaf):
        if not isinstance(leaf, jax.Array):
            return leaf
        return float(leaf) if leaf.ndim == 0 else np.asarray(leaf)

    return jax.tree.map(plain, gemm)
