"""What the fits of several operators share: facts of the GPU, held-out rows, powers."""

import dataclasses as dc

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from carbjax._fitting.least_squares import Solution, least_squares
from carbjax._profiles.profile import Profile
from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.smooth import smooth_min
from carbjax._surrogate.streaming import Streaming

Rows = Bool[np.ndarray, " rows"]


@dc.dataclass(frozen=True)
class GpuFacts:
    """Datasheet numbers: they start a fit, and `l2_bytes` tells which rows are cold."""

    name: str
    memory_bandwidth: float  # bytes/s
    peak_flops: float  # FLOP/s
    l2_bytes: float
    max_power: float  # W


def usable_gemms(profile: Profile, gpu: GpuFacts) -> Profile:
    """GEMMs as a model has them: n, k of 512 on, and weights that come from HBM.

    The profiler repeats a call on the same buffers, so weights below the L2 size stay
    in it; such rows are kept only where FLOPs, not bytes, take the time.
    """
    cold = profile.weight_bytes > gpu.l2_bytes
    by_flops = (
        profile.gemm_flops / gpu.peak_flops > profile.gemm_bytes / gpu.memory_bandwidth
    )
    return profile.select((profile.n >= 512) & (profile.k >= 512) & (cold | by_flops))


def fit_streaming(
    profile: Profile, launch: float, bandwidth: float, train: Rows
) -> Streaming:
    """Launch and bandwidth of elementwise operators or of one degree of all-reduce."""
    start = Streaming(launch, 1 / bandwidth)

    def latency(p):
        return p[0] + p[1] * profile.message_bytes

    return Streaming(*_fit_latency(latency, start, profile, train))


def _fit_latency(latency_fn, start, profile: Profile, train: Rows) -> list[float]:
    """Positive parameters that minimise the robust relative error of a latency."""
    values = start if isinstance(start, tuple) else tuple(vars(start).values())
    measured = np.log(profile.latency_s)
    found = least_squares(
        lambda log_p: jnp.log(latency_fn(jnp.exp(log_p))) - measured,
        np.log(np.array(values)),
        weights=train.astype(float),
    )
    return [float(v) for v in np.exp(found.parameters)]


def power_of(power: PowerModel, bytes_moved, flops, latency_s) -> Float[Array, " rows"]:
    """W of calls of known latency."""
    free = power.static_power + power.work(bytes_moved, flops) / latency_s
    return smooth_min(jnp.asarray(free), jnp.asarray(power.max_power))


def fit_power(
    bytes_moved, flops, profile: Profile, start: PowerModel, train: Rows, *, free: str
) -> tuple[PowerModel, Solution]:
    """The power model of an operator class; only the fields named in `free` move.

    Rows count by `power_weight`, scaled to the information of 100 independent rows:
    neighbours on the grid share their disturbance. The prior is 30% around `start`.
    """
    names = free.split()
    measured, trust = np.log(profile.power_w), profile.power_weight * train

    def model(log_p):
        values = dict(zip(names, jnp.exp(log_p), strict=True))
        return PowerModel(**(vars(start) | values))

    found = least_squares(
        lambda p: (
            jnp.log(power_of(model(p), bytes_moved, flops, profile.latency_s)) - measured
        ),
        np.log(np.array([getattr(start, name) for name in names])),
        weights=100.0 * trust / trust.sum(),
        huber=0.05,
        prior_scale=0.3,
    )
    values = {n: float(v) for n, v in zip(names, np.exp(found.parameters), strict=True)}
    return PowerModel(**(vars(start) | values)), found
