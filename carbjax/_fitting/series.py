"""Measured calls of an operator in the order of one size, and the fit beside them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from carbjax._fitting.axes import axes_of
from carbjax._fitting.profile_power import TRUSTED, fitted_power
from carbjax._fitting.recipes import Module, Task, modules, tasks
from carbjax._fitting.record import gpu_facts, hardware_of_record
from carbjax._profiles.profile import Profile
from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.surrogate import Surrogate

MAX_LINES = 4  # as many as are told apart at a glance
_LEAST_SIZES = 3


class Series(NamedTuple):
    """Calls that differ in one size alone: a line of a figure, by increasing size.

    `power_w` is NaN where it was not measured, or the reading cannot be trusted.
    """

    operator: str
    label: str  # what the calls have in common
    size_name: str
    size: Float[np.ndarray, " calls"]
    latency_s: Float[np.ndarray, " calls"]
    fitted_latency_s: Float[np.ndarray, " calls"]
    power_w: Float[np.ndarray, " calls"]
    fitted_power_w: Float[np.ndarray, " calls"]


def series_of(surrogate: Surrogate, profile: Profile) -> tuple[Series, ...]:
    """The calls of a profile beside what a surrogate, fitted to it or not, says of them."""
    found, power = modules(surrogate.fit), surrogate.fit.power
    gpu = gpu_facts(hardware_of_record(surrogate.record))
    return tuple(
        line
        for task in tasks(profile, gpu)
        if task.name in found
        for line in _lines(task, found[task.name], power.get(task.name))
    )


def _lines(task: Task, module: Module, power: PowerModel | None) -> Iterator[Series]:
    axes, rows = axes_of(task.rows), task.rows
    latency = np.asarray(task.latency(module))
    columns = (
        axes.size,
        rows.latency_s,
        latency,
        np.where(rows.power_weight >= TRUSTED, rows.power_w, np.nan),
        fitted_power(power, rows, latency),
    )
    for label, line in longest_lines(axes.line, axes.size):
        yield Series(task.name, label, axes.size_name, *(c[line] for c in columns))


def longest_lines(
    group: np.ndarray, size: Float[np.ndarray, " rows"], most: int = MAX_LINES
) -> Iterator[tuple[str, np.ndarray]]:
    """The label and the rows, by size, of the groups with the most distinct sizes.

    Of groups with equally many, those spread evenly over their order are taken.
    """
    labels = sorted(set(group.tolist()), key=_by_numbers)
    place = np.array([labels.index(label) for label in group.tolist()], dtype=int)
    counts = np.array([len(np.unique(size[place == i])) for i in range(len(labels))])
    full = np.flatnonzero(counts >= max(_LEAST_SIZES, 0.5 * counts.max(initial=0)))
    if not len(full):
        full = np.flatnonzero(counts == counts.max(initial=0))
    chosen = np.unique(np.linspace(0, len(full) - 1, min(most, len(full))).round())
    for i in full[chosen.astype(int)]:
        rows = np.flatnonzero(place == i)
        yield labels[i], rows[np.argsort(size[rows], kind="stable")]


def _by_numbers(label: str) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", label)], label
