"""Calibration of what operator profiles cannot tell: host, sampler, and serving power."""

import dataclasses as dc
import itertools

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._fitting.fit import errors as fit_errors
from carbjax._fitting.least_squares import Solution, least_squares
from carbjax._fitting.serving_runs import (
    ASSUMED_PROMPT_TOKENS,
    ServingRun,
    mean_iteration,
)
from carbjax._surrogate.cost import Cost
from carbjax._surrogate.overheads import Gaps, Host, Sampler
from carbjax._surrogate.parameter_files import OperatorFit
from carbjax._surrogate.specialise import specialise

LARGEST_BATCH = 700.0
"""Beyond it a run of the leaderboard is a few waves of requests, not a steady state."""


class Calibration(eqx.Module):
    """What serving adds to the profiled kernels of a GPU. Start, prior width in log."""

    host_base: float = 5e-4  # s
    host_per_sequence: float = 5e-6  # s
    gap_per_layer: float = 3e-5  # s
    gap_power_share: float = 0.5  # of the power limit, all-reduce included
    sampler_per_logit: float = 2e-10  # s
    sampler_power_share: float = 0.6  # of the power limit
    static_share: float = 0.25  # of the power limit: kernels and gaps
    byte_factor: float = 1.2  # on the energy of a byte, serving over profiling loop
    flop_factor: float = 1.2  # on the energy of a FLOP
    link_factor: float = 1.0  # on the time of a byte of all-reduce


_PRIOR = Calibration(1.0, 1.0, 1.0, 0.6, 1.0, 0.6, 0.3, 0.3, 0.3, 0.5)


def apply(fit: OperatorFit, c: Calibration, power_limit: float) -> OperatorFit:
    """The operators of a GPU with a calibration put in."""
    static = c.static_share * power_limit
    gap = c.gap_power_share * power_limit
    power = {
        name: dc.replace(
            p,
            static_power=gap if name == "all_reduce" else static,
            byte_energy=c.byte_factor * p.byte_energy,
            flop_energy=c.flop_factor * p.flop_energy,
        )
        for name, p in fit.power.items()
    }
    return dc.replace(
        fit,
        active_idle_power=static,
        power=power,
        all_reduce={
            degree: dc.replace(link, byte=c.link_factor * link.byte)
            for degree, link in fit.all_reduce.items()
        },
        host=Host(c.host_base, c.host_per_sequence, static),
        gaps=Gaps(c.gap_per_layer, gap),
        sampler=Sampler(c.sampler_per_logit, c.sampler_power_share * power_limit),
    )


def calibrate(
    fit: OperatorFit,
    runs: list[ServingRun],
    power_limit: float,
    prompt: float = ASSUMED_PROMPT_TOKENS,
) -> tuple[Calibration, Solution]:
    """The calibration that best explains iteration times and energies of serving runs."""
    measured = np.log(np.array([[r.iteration_s, r.energy_j] for r in runs]))

    def residuals(log_c: Float[Array, " parameters"]) -> Float[Array, " rows"]:
        calibrated = apply(fit, Calibration(*jnp.exp(log_c)), power_limit)
        predicted = jnp.stack(predict(calibrated, runs, prompt), axis=1)
        return (jnp.log(predicted) - measured).reshape(-1)

    start = np.log(np.array(list(vars(Calibration()).values())))
    found = least_squares(
        residuals,
        start,
        huber=0.1,
        weights=np.full(2 * len(runs), 10.0),
        prior_scale=np.array(list(vars(_PRIOR).values())),
        compiled=False,
    )
    return Calibration(*(float(v) for v in np.exp(found.parameters))), found


def predict(
    fit: OperatorFit, runs: list[ServingRun], prompt: float = ASSUMED_PROMPT_TOKENS
) -> Cost:
    """Mean latency (s) and energy (J) of an iteration of each run, `" runs"`."""
    latency, energy = [], []
    for group in _by_system(runs):
        cost = specialise(fit, group[0].model, group[0].num_gpus)
        t, e = mean_iteration(cost, group, prompt)
        latency.append(t)
        energy.append(e)
    return jnp.concatenate(latency), jnp.concatenate(energy)


def serving_errors(fit: OperatorFit, runs: list[ServingRun], label: str) -> dict:
    """Errors of iteration time, energy per token and power of runs."""
    return _errors(np.stack([np.asarray(x) for x in predict(fit, runs)]), runs, label)


def leave_one_model_out(teacher: OperatorFit, runs: list[ServingRun], limit: float) -> dict:
    """Errors on each model's runs by a calibration on the other models' runs alone.

    Runs beyond `LARGEST_BATCH` calibrate nothing and are reported apart.
    """
    predicted, unseen = [], []
    for family in sorted({_family(run) for run in runs}):
        seen = [r for r in runs if _family(r) != family and r.batch <= LARGEST_BATCH]
        mine = [r for r in runs if _family(r) == family]
        found, _ = calibrate(teacher, seen, limit)
        predicted.append(np.stack(predict(apply(teacher, found, limit), mine)))
        unseen += mine
    together = np.concatenate(predicted, axis=1)
    large = np.array([run.batch > LARGEST_BATCH for run in unseen])
    errors = _errors(together, unseen, "model left out, all runs")
    for label, chosen in (("small batches", ~large), ("large batches", large)):
        if chosen.any():
            rows = [run for run, keep in zip(unseen, chosen, strict=True) if keep]
            errors |= _errors(together[:, chosen], rows, f"model left out, {label}")
    return errors


def _errors(predicted, runs: list[ServingRun], label: str) -> dict:
    latency, energy = predicted
    measured_s, measured_j = np.array([[r.iteration_s, r.energy_j] for r in runs]).T
    return {
        f"serving iteration time, {label}": fit_errors(latency, measured_s),
        f"serving energy per token, {label}": fit_errors(energy, measured_j),
        f"serving power, {label}": fit_errors(energy / latency, measured_j / measured_s),
    }


def _family(run: ServingRun) -> str:
    return run.model.name.removesuffix("-fp8")


def _by_system(runs: list[ServingRun]) -> list[list[ServingRun]]:
    """Neighbouring runs of the same model, precision and number of GPUs."""
    key = lambda run: (run.model.name, run.num_gpus)  # noqa: E731
    return [list(group) for _, group in itertools.groupby(runs, key)]
