"""A surrogate of a GPU from one's own profile."""

import dataclasses as dc
import datetime as dt

import jax.numpy as jnp
import numpy as np

from carbjax import _progress
from carbjax._fitting.axes import axes_of, splits_of
from carbjax._fitting.fit import GpuFacts
from carbjax._fitting.profile_power import fit_powers_of
from carbjax._fitting.recipes import Module, Task, tasks
from carbjax._fitting.record import (
    NEEDED,
    fitted_names,
    gpu_facts,
    hardware_of,
    make_record,
    require_base,
)
from carbjax._fitting.report import Report, judge
from carbjax._fitting.uncertainty import log_deviations
from carbjax._hardware import Accelerator
from carbjax._profiles.profile import Profile
from carbjax._surrogate.surrogate import Surrogate


def fit_profile(
    profile: Profile,
    *,
    accelerator: str | Accelerator | None = None,
    base: str | None = None,
    seed: int = 0,
) -> Surrogate:
    """The surrogate of a GPU, fitted to every operator that the profile has.

    - `accelerator`: the GPU that was measured, a shipped name or your own; by default
      that of `base`.
    - `base`: the name of a shipped fit. What the profile lacks,
      and what no profile of kernels can tell (host, gaps), is taken from it as it is,
      and said so in the remarks.
    - `seed`: of what is random in a fit; the same seed, the same numbers.

    Each operator is fitted once to all of its rows, and once for each split of the
    report to those that the split shows. The record of the surrogate holds those errors,
    standard deviations of the logarithms of the parameters (`uncertainty`), the box that
    the rows span, sources and remarks.

    Raises `ProfileError` where an operator has too few rows or sizes, where a fit does
    not converge, and where something is missing and there is no `base`; `ConfigError` for
    a name that is not known.
    """
    hardware = hardware_of(accelerator, base)
    gpu = gpu_facts(hardware)
    work = list(tasks(profile, gpu))
    names = fitted_names([task.name for task in work])
    require_base([name for name in NEEDED if name not in names], base)
    found, report, deviations = _fit_all(work, gpu, seed)
    powers, power_report = fit_powers_of(profile, gpu)
    _progress.report("fitted", len(work) + 1, len(work) + 1)
    report += power_report
    about = {
        "fitted_on": dt.date.today().isoformat(),
        "errors": report.as_dict(),
        "uncertainty": deviations,
        "rows": {task.name: len(task.rows) for task in work},
        "seed": seed,
    }
    return Surrogate(make_record(profile, hardware, base, found, powers, about))


def _fit_all(
    work: list[Task], gpu: GpuFacts, seed: int
) -> tuple[dict[str, Module], Report, dict]:
    """Modules, errors and log standard deviations of the parameters, by operator."""
    found: dict[str, Module] = {}
    report, deviations = Report(), {}
    for i, task in enumerate(work):
        _progress.report(f"fitting {task.name}", i, len(work) + 1)
        report += _judged(task, gpu, seed)
        everything = np.ones(len(task.rows), dtype=bool)
        found[task.name] = task.fit(gpu, everything, seed)
        deviations[task.name] = _deviations(task, found[task.name])
    _progress.report("fitting power", len(work), len(work) + 1)
    return found, report, deviations


def _judged(task: Task, gpu: GpuFacts, seed: int) -> Report:
    def predict(train):
        return task.latency(task.fit(gpu, train, seed))

    return judge(f"{task.name} latency", predict, task.rows.latency_s, splits_of(task.rows))


def _deviations(task: Task, module: Module) -> dict[str, float]:
    """Log standard deviations of the parameters that are single positive numbers."""
    known = task.deviations()
    numbers = {k: v for k, v in vars(module).items() if isinstance(v, float)}
    if known or not numbers:
        return known
    axes = axes_of(task.rows)
    independent = len(np.unique(axes.line)) + len(np.unique(axes.size))
    return log_deviations(
        lambda values: jnp.asarray(task.latency(dc.replace(module, **values))),
        numbers,
        task.rows.latency_s,
        min(independent, len(task.rows)),
    )
