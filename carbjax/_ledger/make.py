"""Ledgers of a fleet: traces in, a folder of Parquet out, whatever their length."""

import dataclasses as dc
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import pyarrow as pa

from carbjax._carbon.intensity import Intensity
from carbjax._errors import ConfigError, TraceError
from carbjax._ledger import folder as folders
from carbjax._ledger.backends import Backend
from carbjax._ledger.group import Group, GroupResult
from carbjax._ledger.plan import (
    hash_inputs,
    make_groups,
    plan_of,
    require_same,
    require_unchanged,
)
from carbjax._ledger.tables import summary
from carbjax._ledger.workers import run_groups
from carbjax._progress import report
from carbjax._serving.system import System

ENGINES = ("processes", "ray")
_SLICE_ROWS = 4096


@dc.dataclass(frozen=True)
class FleetLedger:
    """A finished ledger: where it stands, and its manifest (docs/ledger.md)."""

    folder: pathlib.Path
    manifest: dict[str, Any]

    @property
    def total_gco2e(self) -> float:
        """Everything: requests, idle machines, embodied carbon."""
        return self.manifest["totals"]["total"]["gco2e"]

    def table(self, name: str) -> pa.Table:
        """`"requests"`, `"rejects"`, `"idle"`, or `"by_tenant"`, `"by_hour"`, ..."""
        known = (folders.REQUESTS_FOLDER, folders.REJECTS_FOLDER, *folders.TABLES)
        if name not in known:
            raise ConfigError(
                f"there is no table {name!r}.", hint=f"There are {', '.join(known)}."
            )
        return folders.read_table(self.folder, name)


def make_ledger(
    backends: Sequence[Backend],
    system: System | Mapping[str, System],
    out: str | os.PathLike[str],
    *,
    market_intensity: float | Intensity | None = None,
    workers: int | None = None,
    engine: str = "processes",
    slice_rows: int = _SLICE_ROWS,
    fresh: bool = False,
) -> FleetLedger:
    """The ledger of these backends, each a server like `system`, in the folder `out`.

    **Arguments:**

    - `backends`: what `find_backends` found, or your own (see `Backend`). Rows that they
      set aside, and requests larger than the KV cache, are the table `"rejects"` then.
    - `system`: of all backends, or by the model that each serves.
    - `market_intensity`: g/kWh of the electricity that was bought, a constant or a series
      (`read_intensity`), for a column of its own beside the location-based ones.
    - `workers`: processes; by default one a core. `engine="ray"` runs on a Ray cluster.
    - `slice_rows`: requests that a backend takes at once; memory grows with it.
    - `fresh`: replace what stands in `out`, rather than go on with it.

    A ledger that was interrupted goes on from its last slice, and comes out the same to
    the byte. Raises `InputError`, and `ClosureError` where a sum does not close.
    """
    _require_engine(engine, workers, slice_rows)
    _require_backends(backends)
    market = as_intensity(market_intensity)
    groups = make_groups(backends, system, market=market, slice_rows=slice_rows)
    _require_calendar(groups)
    folder = pathlib.Path(out)
    with folders.working_in(folder):
        plan = plan_of(groups, hash_inputs(backends))
        finished = begin(folder, plan, fresh)
        if finished is not None:
            return FleetLedger(folder, finished)
        results = _run(groups, folder, workers or _num_cores(), engine)
        require_unchanged(plan["inputs"])
        _require_some(folder, results)
        tables, facts = summary(groups, results)
        add_rejects(folder, facts)
        for name, table in tables.items():
            folders.write_table(folder, name, table)
        manifest = plan | facts
        folders.finish(folder, manifest)
    return FleetLedger(folder, manifest)


def as_intensity(given: float | Intensity | None) -> Intensity | None:
    """The intensity, also where it is given as a number. Raises `IntensityError`."""
    if given is None or isinstance(given, Intensity):
        return given
    return Intensity.constant(given)


def add_rejects(folder: pathlib.Path, facts: dict[str, Any]) -> None:
    """Adds what was rejected to the facts. Raises `OutputError` where rows are missing."""
    rows = facts["rows"]
    folders.require_rows(folder, requests=rows["requests"], rejects=rows["rejects"])
    facts["rejects_by_column"] = folders.count_rejects(folder)
    if rows["rejects"]:
        facts["flags"].append(
            f"{rows['rejects']} of {facts['rows_read']} rows cannot be used; the table "
            "rejects says why"
        )


def _require_some(folder: pathlib.Path, results: Sequence[GroupResult]) -> None:
    """Raises `TraceError`, naming the first reject, where all rows were rejected."""
    if any(result.num_requests for result in results):
        return
    first = folders.first_reject(folder)
    raise TraceError(
        f"none of the {sum(result.num_rejected for result in results)} rows can be used; "
        f"the first: {first['problem']}",
        file=first["file"],
        row=first["file_row"],
        column=first["column"],
        hint=f"{folder / folders.REJECTS_FOLDER} says why of each.",
    )


def _require_engine(engine: str, workers: int | None, slice_rows: int) -> None:
    """Raises `ConfigError` for what would fail only once the work is under way."""
    if engine not in ENGINES:
        raise ConfigError(f"`engine` is {engine!r}.", hint=f"One of {', '.join(ENGINES)}.")
    if engine == "ray" and workers is not None:
        raise ConfigError(
            "`workers` counts processes of this machine, and `engine` is 'ray'.",
            hint="Leave it out: the cluster says how many tasks run at once.",
        )
    if slice_rows < 1:
        raise ConfigError(f"`slice_rows` is {slice_rows}.", hint="Give 1 or more.")
    if not jax.config.read("jax_enable_x64"):
        raise ConfigError(
            "a ledger is made in 64-bit floats.",
            hint="Enable them: `jax.config.update('jax_enable_x64', True)`.",
        )


def _require_backends(backends: Sequence[Backend]) -> None:
    """Raises `ConfigError`, naming a backend that is not one."""
    if not backends:
        raise ConfigError("there are no backends.", hint="Give at least one.")
    names: set[str] = set()
    for backend in backends:
        if backend.name in names:
            raise ConfigError(f"two backends are called {backend.name!r}.")
        names.add(backend.name)
        if backend.num_requests < 1:
            raise ConfigError(
                f"backend {backend.name!r} has no requests.", hint="Leave it out."
            )
        if backend.has_calendar != backends[0].has_calendar:
            raise ConfigError(
                f"backends {backends[0].name!r} and {backend.name!r} count time "
                "differently: one on the calendar, one from an unknown start.",
                hint="Make a ledger of each kind.",
            )


def _require_calendar(groups: Sequence[Group]) -> None:
    """Raises `ConfigError` where an intensity is a series and arrivals have no calendar."""
    series = [groups[0].market, *(group.system.carbon_intensity for group in groups)]
    changes = any(each is not None and not each.is_constant for each in series)
    if changes and not groups[0].backends[0].has_calendar:
        raise ConfigError(
            "the carbon intensity is a series over calendar time, and arrivals count "
            "seconds from an unknown start.",
            hint="Give traces with time stamps, or a constant in gCO2e/kWh.",
        )


def begin(folder: pathlib.Path, plan: dict[str, Any], fresh: bool) -> dict | None:
    """The manifest, if this ledger is there already; else it is begun or goes on."""
    manifest = None if fresh else folders.read_manifest(folder)
    before = None if fresh else manifest or folders.read_plan(folder)
    if before is None:
        folders.clear(folder)
    else:
        require_same(plan, before, str(folder))
    if manifest is not None:
        rows = manifest["rows"]
        folders.require_rows(folder, requests=rows["requests"], rejects=rows["rejects"])
        folders.tidy(folder)
        return manifest
    folders.write_plan(folder, plan)
    return None


def _run(
    groups: Sequence[Group], folder: pathlib.Path, workers: int, engine: str
) -> list[GroupResult]:
    total = sum(b.num_requests for group in groups for b in group.backends)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report("requests", done, total)

    found = run_groups(groups, str(folder), workers=workers, engine=engine, advance=advance)
    return sorted(found, key=lambda result: result.number)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))
