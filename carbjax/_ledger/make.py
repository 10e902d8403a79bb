"""Ledgers of a fleet: traces in, a folder of Parquet out, whatever their length."""

import dataclasses as dc
import json
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from carbjax._errors import ConfigError, OutputError
from carbjax._ledger.backends import Backend
from carbjax._ledger.closing import RunningSum, require_closed
from carbjax._ledger.files import replacing
from carbjax._ledger.group import CLOSED, Group, GroupResult
from carbjax._ledger.plan import (
    hash_inputs,
    make_groups,
    plan_of,
    require_same,
    require_unchanged,
    work_folder,
)
from carbjax._ledger.rollups import KEYS, merge, with_sci
from carbjax._ledger.standing import standing_rows
from carbjax._ledger.workers import run_groups
from carbjax._progress import report
from carbjax._serving.system import System
from carbjax._workload import Workload

ENGINES = ("processes", "ray")
_SLICE_ROWS = 4096
_MANIFEST = "manifest.json"


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
        """`"requests"`, `"by_tenant"`, `"by_hour"`, `"by_backend"` or `"idle"`."""
        path = self.folder / name
        return pq.read_table(path if path.is_dir() else path.with_suffix(".parquet"))


def make_ledger(
    backends: Sequence[Backend],
    system: System,
    out: str | os.PathLike[str],
    *,
    market_intensity: float | None = None,
    workers: int | None = None,
    engine: str = "processes",
    slice_rows: int = _SLICE_ROWS,
    fresh: bool = False,
) -> FleetLedger:
    """The ledger of these backends, each a server like `system`, in the folder `out`.

    **Arguments:**

    - `backends`: what `find_backends` found, or your own (see `Backend`).
    - `market_intensity`: g/kWh of the electricity that was bought, for a column of its
      own beside the location-based ones.
    - `workers`: processes; by default one a core. `engine="ray"` runs on a Ray cluster.
    - `slice_rows`: requests that a backend takes at once; memory grows with it.
    - `fresh`: replace what stands in `out`, rather than go on with it.

    A ledger that was interrupted goes on from its last slice, and comes out the same to
    the byte. Raises `InputError`, and `ClosureError` where a sum does not close.
    """
    folder = pathlib.Path(out)
    if engine not in ENGINES:
        raise ConfigError(f"`engine` is {engine!r}.", hint=f"One of {', '.join(ENGINES)}.")
    if not backends:
        raise ConfigError("there are no backends.", hint="Give at least one.")
    groups = make_groups(
        backends, system, market_intensity=market_intensity, slice_rows=slice_rows
    )
    plan = plan_of(groups, hash_inputs(backends))
    finished = _begin(folder, plan, fresh)
    if finished is not None:
        return FleetLedger(folder, finished)
    results = _run(groups, folder, workers or os.cpu_count() or 1, engine)
    require_unchanged(plan["inputs"])
    manifest = plan | _finish(folder, groups, results)
    _write_json(folder / _MANIFEST, manifest)
    shutil.rmtree(work_folder(folder))
    return FleetLedger(folder, manifest)


def _begin(folder: pathlib.Path, plan: dict[str, Any], fresh: bool) -> dict | None:
    """The manifest, if this ledger is there already; else its folders are made."""
    if fresh:
        _clear(folder)
    manifest = _read_json(folder / _MANIFEST)
    before = manifest or _read_json(work_folder(folder) / "plan.json")
    if before is not None:
        require_same(plan, before, str(folder))
    elif folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            "the folder holds something else than a ledger.",
            file=folder,
            hint="Give an empty or a new folder.",
        )
    if manifest is not None:
        return manifest
    try:
        work_folder(folder).mkdir(parents=True, exist_ok=True)
        (folder / "requests").mkdir(exist_ok=True)
    except OSError as cause:
        raise OutputError(
            f"cannot be made ({cause.strerror}).",
            file=folder,
            hint="Give a place where you may write.",
        ) from None
    _write_json(work_folder(folder) / "plan.json", plan)
    return None


def _clear(folder: pathlib.Path) -> None:
    """Removes a ledger, and nothing that is not one."""
    if _read_json(folder / _MANIFEST) is None and not work_folder(folder).exists():
        return
    for name in ("requests", ".work"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (*(f"by_{key}.parquet" for key in KEYS), "idle.parquet", _MANIFEST):
        (folder / name).unlink(missing_ok=True)


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


def _finish(
    folder: pathlib.Path, groups: Sequence[Group], results: Sequence[GroupResult]
) -> dict[str, Any]:
    """The tables of sums, written; and what the manifest says of them."""
    rollups = {
        name: merge([result.rollups[name] for result in results], key)
        for name, key in KEYS.items()
    }
    idle = standing_rows(groups, results)
    totals = _totals(rollups["backend"], idle, results)
    share = {name: totals["idle"][name] for name in ("gco2e", "energy_j")}
    tables = {f"by_{name}": with_sci(rollups[name], KEYS[name]) for name in KEYS}
    tables["by_tenant"] = _with_idle_share(tables["by_tenant"], share["gco2e"])
    for name, table in (tables | {"idle": idle}).items():
        with replacing(folder / f"{name}.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")
    for leftover in (folder / "requests").glob(".part-*"):
        leftover.unlink()
    return {
        "requests": sum(result.num_requests for result in results),
        "totals": totals,
        "residual": {n: _sum(r.residual[n] for r in results) for n in CLOSED},
        "flags": list(_flags(groups[0].system, results)),
    }


def _totals(
    by_backend: pa.Table, idle: pa.Table, results: Sequence[GroupResult]
) -> dict[str, dict[str, float]]:
    """Requests, idle, unattributed and all; the requests' against what was emitted."""

    def of(table: pa.Table, name: str) -> float:
        return _sum(table[name].to_pylist())

    requests = {
        "energy_j": of(by_backend, "energy_j"),
        "operational_gco2e": of(by_backend, "prefill_gco2e")
        + of(by_backend, "decode_gco2e"),
        "embodied_gco2e": of(by_backend, "embodied_gco2e"),
    }
    emitted = {name: _sum(result.totals[name] for result in results) for name in CLOSED}
    require_closed(requests, emitted, "the whole ledger")
    standing = {
        "energy_j": of(idle, "energy_j"),
        "operational_gco2e": of(idle, "idle_gco2e"),
        "embodied_gco2e": of(idle, "embodied_gco2e"),
    }
    nothing = dict.fromkeys(standing, 0.0)
    total = {name: emitted[name] + standing[name] for name in CLOSED}
    parts = {"requests": requests, "idle": standing, "unattributed": nothing}
    parts["total"] = total
    for part in parts.values():
        part["gco2e"] = part["operational_gco2e"] + part["embodied_gco2e"]
    return parts


def _with_idle_share(by_tenant: pa.Table, idle_g: float) -> pa.Table:
    """What each tenant would carry of the idle machines by its use of the busy ones."""
    names = "operational_gco2e", "embodied_gco2e"
    operational, embodied = (by_tenant[name].to_numpy() for name in names)
    used = np.maximum(operational + embodied, 0.0)
    whole = used.sum()
    share = used * (idle_g / whole) if whole > 0 else np.full(len(used), np.nan)
    return by_tenant.append_column("idle_by_usage_gco2e", pa.array(share))


def _flags(system: System, results: Sequence[GroupResult]) -> tuple[str, ...]:
    """What a reader must know: an intensity that was filled in, a surrogate far out."""
    prompt = max(result.longest_prompt for result in results)
    context = max(result.longest_context for result in results)
    count = min(sum(result.num_requests for result in results), system.max_num_seqs)
    extreme = Workload(
        np.zeros(count), np.full(count, prompt), np.full(count, context - prompt)
    )
    return system.flags(extreme)


def _sum(values) -> float:
    total = RunningSum()
    for value in values:
        total.add(value)
    return total.value


def _read_json(path: pathlib.Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise OutputError(
            "is damaged or cannot be read.", file=path, hint="Give another folder."
        ) from None


def _write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
