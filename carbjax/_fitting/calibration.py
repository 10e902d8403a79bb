"""Calibration of what operator profiles cannot tell: host, sampler, and serving power.

Two steps, so that neither makes up for the other: overheads are fitted to the times of
serving runs, then powers to their energies given the measured times.
"""

import dataclasses as dc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from carbjax._fitting.least_squares import Solution, least_squares
from carbjax._fitting.prompt_reuse import PromptTokens
from carbjax._fitting.run_work import ALL_REDUCE, RunWork, run_work
from carbjax._fitting.serving_runs import ServingRun, mean_iteration
from carbjax._surrogate.cost import Cost
from carbjax._surrogate.overheads import Gaps, Host, Sampler
from carbjax._surrogate.parameter_files import OperatorFit
from carbjax._surrogate.smooth import smooth_min
from carbjax._surrogate.specialise import specialise

FP8_MEASURED = ("h100-sxm",)
"""GPUs with a profile of fp8 products. Elsewhere runs of fp8 weights calibrate nothing."""

# The median time between tokens is one without a prompt where few iterations have one.
_MEDIAN_DECODES = 0.35


class Calibration(eqx.Module):
    """What serving adds to the profiled kernels of a GPU.

    The power limit holds for the mean over an iteration, not for one kernel of a
    millisecond: serving runs draw more than their kernels could if each kept the limit.
    """

    host_base: float  # s
    host_per_sequence: float  # s
    gap_per_layer: float  # s
    sampler_per_logit: float  # s
    link_factor: float  # on the time of all-reduce
    static_share: float  # of the power limit: kernels, gaps, and waiting for the host
    byte_factor: float  # on the energy of a byte, serving over profiling loop
    flop_factor: float  # on the energy of a FLOP
    top_share: float  # of the power limit: the most that an iteration draws


class Prior(NamedTuple):
    """Where the fit of a parameter starts, and its width in the logarithm."""

    start: float
    width: float


TIMES = {
    "host_base": Prior(4e-3, 1.0),
    "host_per_sequence": Prior(5e-5, 1.0),
    "gap_per_layer": Prior(3e-5, 1.0),
    "sampler_per_logit": Prior(2e-10, 1.0),
    "link_factor": Prior(1.0, 0.5),
}
POWERS = {
    "static_share": Prior(0.22, 0.5),
    "byte_factor": Prior(1.1, 0.5),
    "flop_factor": Prior(1.2, 0.5),
    "top_share": Prior(0.985, 0.01),
}
# Rows of a run share their errors, so they count as fewer than they are.
_TIME_WEIGHT, _MEDIAN_WEIGHT, _ENERGY_WEIGHT = 15.0, 7.0, 30.0


def apply(fit: OperatorFit, c: Calibration, power_limit: float) -> OperatorFit:
    """The operators of a GPU with a calibration put in."""
    static = c.static_share * power_limit
    power = {
        name: dc.replace(
            model,
            static_power=static,
            byte_energy=c.byte_factor * model.byte_energy,
            flop_energy=c.flop_factor * model.flop_energy,
        )
        for name, model in fit.power.items()
    }
    links = {
        degree: dc.replace(link, log_start=link.log_start + jnp.log(c.link_factor))
        for degree, link in fit.all_reduce.items()
    }
    return dc.replace(
        fit,
        active_idle_power=static,
        max_power=c.top_share * power_limit,
        power=power,
        all_reduce=links,
        host=Host(c.host_base, c.host_per_sequence, static, overlaps=True),
        gaps=Gaps(c.gap_per_layer, static),
        sampler=Sampler(c.sampler_per_logit, static),
    )


class Measured(eqx.Module):
    """What a calibration sees of runs."""

    work: RunWork
    num_layers: Float[np.ndarray, " runs"]
    vocabulary: Float[np.ndarray, " runs"]
    num_gpus: Float[np.ndarray, " runs"]
    mixed_share: Float[np.ndarray, " runs"]
    iteration_s: Float[np.ndarray, " runs"]
    inter_token_s: Float[np.ndarray, " runs"]
    energy_j: Float[np.ndarray, " runs"]


def measured(
    fit: OperatorFit, runs: list[ServingRun], prompt: PromptTokens | None = None
) -> Measured:
    """The kernels of runs by an uncalibrated fit, beside what was measured of them."""
    column = lambda value: np.array([float(value(run)) for run in runs])  # noqa: E731
    return Measured(
        run_work(fit, runs, prompt),
        column(lambda run: run.model.num_layers),
        column(lambda run: run.model.vocab_size),
        column(lambda run: run.num_gpus),
        column(lambda run: run.prefill_share),
        column(lambda run: run.iteration_s),
        column(lambda run: run.inter_token_s),
        column(lambda run: run.energy_j),
    )


def calibrate(
    fit: OperatorFit,
    runs: list[ServingRun],
    power_limit: float,
    prompt: PromptTokens | None = None,
) -> tuple[Calibration, Solution]:
    """The calibration that best explains iteration times and energies of serving runs.

    The solution's parameters are logarithms, in the order of the calibration's fields.
    Raises `ProfileError` where the fit does not converge.
    """
    usable = [run for run in runs if fit.name in FP8_MEASURED or not run.is_fp8]
    seen = measured(fit, usable, prompt)
    times = _fit_times(seen)
    found = dict(zip(TIMES, np.exp(times.parameters), strict=True))
    powers = _fit_powers(seen, found, power_limit)
    found |= dict(zip(POWERS, np.exp(powers.parameters), strict=True))
    return Calibration(**{k: float(v) for k, v in found.items()}), _joined(times, powers)


def _fit_times(seen: Measured) -> Solution:
    decodes = seen.mixed_share < _MEDIAN_DECODES

    def residuals(named: dict[str, Array]) -> Array:
        decode, mixed = times_of(seen, named)
        mean = decode + seen.mixed_share * (mixed - decode)
        return jnp.concatenate(
            [jnp.log(mean / seen.iteration_s), jnp.log(decode / seen.inter_token_s)]
        )

    weights = np.full_like(seen.iteration_s, _TIME_WEIGHT), _MEDIAN_WEIGHT * decodes
    return _fit(residuals, TIMES, np.concatenate(weights))


def _fit_powers(seen: Measured, times: dict[str, float], limit: float) -> Solution:
    def residuals(named: dict[str, Array]) -> Array:
        found = energy_of(seen, times | named, limit, seen.iteration_s)
        return jnp.log(found / seen.energy_j)

    return _fit(residuals, POWERS, np.full_like(seen.iteration_s, _ENERGY_WEIGHT))


def _fit(residuals: Callable, priors: dict[str, Prior], weights: np.ndarray) -> Solution:
    def of_logs(logs: Array) -> Array:
        return residuals(dict(zip(priors, jnp.exp(logs), strict=True)))

    return least_squares(
        of_logs,
        np.log([prior.start for prior in priors.values()]),
        huber=0.1,
        weights=weights,
        prior_scale=np.array([prior.width for prior in priors.values()]),
    )


def _joined(times: Solution, powers: Solution) -> Solution:
    n = len(times.parameters)
    covariance = np.zeros((n + len(powers.parameters),) * 2)
    covariance[:n, :n], covariance[n:, n:] = times.covariance, powers.covariance
    parameters = np.concatenate([times.parameters, powers.parameters])
    return Solution(parameters, covariance, max(times.rms, powers.rms))


def times_of(seen: Measured, c: dict) -> tuple[Array, Array]:
    """Seconds of a decode-only and of a mixed iteration of each run."""
    kernels = _kernels(seen, c)
    busy = jnp.sum(kernels, axis=-1) + _small(seen, c)
    hiding = jnp.sum(kernels * seen.work.without_attention, axis=-1) + _small(seen, c)
    host = Host(c["host_base"], c["host_per_sequence"], 1.0, overlaps=True)
    exposed = host.latency(jnp.asarray(seen.work.num_sequences), hiding)
    return busy[:, 0] + exposed[:, 0], busy[:, 1] + exposed[:, 2]


def energy_of(
    seen: Measured, c: dict, limit: float, iteration_s: Float[ArrayLike, " runs"]
) -> Array:
    """Joules of an iteration, all GPUs, that takes `iteration_s` on average.

    Iterations that only decode, and those that prefill too, keep the ratio of the times
    that `c` gives them; each stays below the power limit on average.
    """
    decode, mixed = times_of(seen, c)
    stretch = jnp.asarray(iteration_s) / (decode + seen.mixed_share * (mixed - decode))
    work = c["byte_factor"] * seen.work.byte_energy
    work = jnp.sum(work + c["flop_factor"] * seen.work.flop_energy, axis=-1)
    static, most = c["static_share"] * limit, c["top_share"] * limit

    def energy(seconds: Array, joules: Array) -> Array:
        return smooth_min(static * seconds + joules, most * seconds)

    first = energy(stretch * decode, work[:, 0])
    second = energy(stretch * mixed, work[:, 1])
    return jnp.asarray(seen.num_gpus) * (first + seen.mixed_share * (second - first))


def _kernels(seen: Measured, c: dict) -> Array:
    is_link = seen.work.is_one_of((ALL_REDUCE,))
    return seen.work.latency * (1.0 + (c["link_factor"] - 1.0) * is_link)


def _small(seen: Measured, c: dict) -> Array:
    logits = seen.vocabulary[:, None] * seen.work.num_sequences
    gaps = (c["gap_per_layer"] * seen.num_layers)[:, None]
    return gaps + c["sampler_per_logit"] * logits


def predict(
    fit: OperatorFit, runs: list[ServingRun], prompt: PromptTokens | None = None
) -> Cost:
    """Mean latency (s) and energy (J) of an iteration of each run, by the engine's cost."""
    costs = []
    for run in runs:
        cost = specialise(fit, run.model, run.num_gpus)
        costs.append(mean_iteration(cost, [run], prompt))
    latency, energy = (jnp.concatenate(parts) for parts in zip(*costs, strict=True))
    return latency, energy
