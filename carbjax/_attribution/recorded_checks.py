"""Whether a recorded schedule holds together."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from carbjax._attribution.recorded_features import NAMES, Iterations
from carbjax._attribution.recorded_tables import Chunks, Runs
from carbjax._errors import WorkloadError
from carbjax._workload import Workload

_OVERLAP_S = 1e-6  # that rounding of a log may make


def require_iterations(
    start_s: Float[np.ndarray, " iterations"],
    duration_s: Float[np.ndarray, " iterations"],
    energy_j: Float[np.ndarray, " iterations"],
) -> None:
    """Raises `WorkloadError` unless iterations follow each other and take time."""
    if start_s.ndim != 1 or len(start_s) == 0:
        raise WorkloadError(
            f"`start_s` has shape {start_s.shape}.",
            hint="Give one start in seconds for each iteration, at least one.",
        )
    for name, values in (("duration_s", duration_s), ("energy_j", energy_j)):
        if values.shape != start_s.shape:
            raise WorkloadError(
                f"`{name}` has shape {values.shape}, `start_s` has shape {start_s.shape}."
            )
    problems = (
        ("starts at {} s", start_s, np.isfinite(start_s), "Give finite seconds."),
        (
            "takes {} s",
            duration_s,
            np.isfinite(duration_s) & (duration_s > 0),
            "Give seconds above 0.",
        ),
        (
            "takes {} J",
            energy_j,
            np.isnan(energy_j) | (np.isfinite(energy_j) & (energy_j > 0)),
            "Give joules above 0, or NaN where they were not measured.",
        ),
    )
    for problem, values, good, hint in problems:
        for j in np.flatnonzero(~good)[:1]:
            raise WorkloadError(f"iteration {j} {problem.format(values[j])}.", hint=hint)
    gap_s = start_s[1:] - (start_s + duration_s)[:-1]
    for j in np.flatnonzero(gap_s < -_OVERLAP_S)[:1] + 1:
        raise WorkloadError(
            f"iteration {j} starts {-gap_s[j - 1]:.3g} s before iteration {j - 1} ends.",
            hint="Give iterations in order of time, each with the time that it alone took.",
        )


def require_spans(
    requests: Workload,
    chunks: Chunks,
    runs: Runs,
    first: Int[np.ndarray, " requests"] | None,
    last: Int[np.ndarray, " requests"] | None,
) -> Int[np.ndarray, " requests"]:
    """The first iteration of each request, 0 for null players.

    Raises `WorkloadError` where first and last iteration are given and others.
    """
    number = requests.num_requests
    begins = np.full(number, np.iinfo(np.int64).max)
    ends = np.full(number, -1)
    np.minimum.at(begins, chunks.request, chunks.iteration)
    np.maximum.at(ends, chunks.request, chunks.iteration)
    np.maximum.at(ends, runs.request, runs.last)
    served = ~requests.is_null
    for name, given, found in (
        ("first_iteration", first, begins),
        ("last_iteration", last, ends),
    ):
        if given is None:
            continue
        for i in np.flatnonzero(served & (given != found))[:1]:
            raise WorkloadError(
                f"request {i} has `{name}` {given[i]}, and by its tokens it is {found[i]}.",
                hint="Give chunks and runs that agree with it, or leave it out.",
            )
    return np.where(served, begins, 0)


def require_logged(iterations: Iterations, logged: Mapping[str, ArrayLike]) -> None:
    """Raises `WorkloadError` where the requests do not add up to what was logged."""
    for name, values in logged.items():
        if name not in NAMES:
            raise WorkloadError(
                f"`logged` has a column {name!r}.", hint=f"Choose of {', '.join(NAMES)}."
            )
        found, given = iterations.column(name), np.asarray(values, np.float64)
        if given.shape != found.shape:
            raise WorkloadError(
                f"`logged[{name!r}]` has shape {given.shape}, not {found.shape}."
            )
        for j in np.flatnonzero((given != found) & ~np.isnan(given))[:1]:
            raise WorkloadError(
                f"iteration {j} logs {name} {given[j]:g}, and its requests add up to "
                f"{found[j]}.",
                hint="Is a request missing, or in other iterations than it says? "
                "docs/recorded.md has what each name counts.",
            )
