"""How well a calibration predicts serving runs that it has not seen."""

from collections.abc import Callable

import numpy as np

from carbjax._fitting.calibration import (
    FP8_MEASURED,
    apply as apply,
    calibrate as calibrate,
    energy_of,
    measured,
    predict as predict,
    times_of,
)
from carbjax._fitting.report import Line, Report, errors
from carbjax._fitting.serving_runs import ServingRun
from carbjax._surrogate.parameter_files import OperatorFit

Parts = tuple[np.ndarray, np.ndarray]
"""Latency (s) and energy (J) of runs."""

LARGE_BATCH = 700.0
"""Batches beyond it are reported apart: their prompts are cached repeats."""


def serving_errors(fit: OperatorFit, runs: list[ServingRun], split: str) -> dict:
    """Errors of iteration time, energy per token and power of runs, by a calibrated fit."""
    latency, energy = predict(fit, runs)
    return _report((np.asarray(latency), np.asarray(energy)), runs, split).as_dict()


def leave_one_model_out(teacher: OperatorFit, runs: list[ServingRun], limit: float) -> dict:
    """Errors on each model's runs by a calibration on the other models' runs alone."""
    family = lambda run: run.model.name.removesuffix("-fp8")  # noqa: E731
    return leave_out(teacher, runs, limit, family, "model left out").as_dict()


def leave_out(
    teacher: OperatorFit,
    runs: list[ServingRun],
    limit: float,
    group_of: Callable[[ServingRun], object],
    name: str,
) -> Report:
    """Errors on each group of runs by a calibration on all others.

    "power, given time" is the power where the iteration time is the measured one.
    """
    latency, energy, given = (np.zeros(len(runs)) for _ in range(3))
    groups = [group_of(run) for run in runs]
    for group in dict.fromkeys(groups):
        mine = np.array([other == group for other in groups])
        seen = [run for run, out in zip(runs, mine, strict=True) if not out]
        unseen = [run for run, out in zip(runs, mine, strict=True) if out]
        found, _ = calibrate(teacher, seen, limit)
        rows = measured(teacher, unseen)
        decode, mixed = times_of(rows, vars(found))
        mean = decode + rows.mixed_share * (mixed - decode)
        latency[mine] = mean
        energy[mine] = energy_of(rows, vars(found), limit, mean)
        given[mine] = energy_of(rows, vars(found), limit, rows.iteration_s)
    return _splits((latency, energy), given, runs, teacher, name)


def _splits(
    cost: Parts, given: np.ndarray, runs: list[ServingRun], fit: OperatorFit, name: str
) -> Report:
    large = np.array([run.batch > LARGE_BATCH for run in runs])
    guessed = np.array([run.is_fp8 and fit.name not in FP8_MEASURED for run in runs])
    report = Report()
    for label, chosen in (
        (name, np.ones(len(runs), bool)),
        (f"{name}, batch up to {LARGE_BATCH:.0f}", ~large),
        (f"{name}, batch beyond {LARGE_BATCH:.0f}", large),
        (f"{name}, without unprofiled fp8", ~guessed),
    ):
        if chosen.any():
            some = [run for run, keep in zip(runs, chosen, strict=True) if keep]
            latency, joules = cost
            report += _report((latency[chosen], joules[chosen]), some, label)
            energy = np.array([run.energy_j for run in some])
            line = Line("power, given time", label, errors(given[chosen], energy))
            report += Report((line,))
    return report


def _report(cost: Parts, runs: list[ServingRun], split: str) -> Report:
    latency, energy = cost
    seconds = np.array([run.iteration_s for run in runs])
    joules = np.array([run.energy_j for run in runs])
    power = joules / seconds
    return Report(
        (
            Line("serving iteration time", split, errors(latency, seconds)),
            Line("serving energy per token", split, errors(energy, joules)),
            Line("serving power", split, errors(energy / latency, power)),
        )
    )
