"""Ledgers of a server that logged what it did: its own schedule, its own meter."""

import copy
import dataclasses as dc
import os
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.metered import MeteredSchedule, meter_schedule
from carbjax._attribution.recorded import attribute_recorded
from carbjax._attribution.recorded_carbon import standing, window_of
from carbjax._attribution.recorded_logs import RecordedLog, read_recorded
from carbjax._attribution.recorded_schedule import RecordedSchedule
from carbjax._carbon.emissions import Emissions
from carbjax._fleet.fleet import Served
from carbjax._ledger import folder as folders
from carbjax._ledger.backends import TableBackend
from carbjax._ledger.checkpoint import GroupStore
from carbjax._ledger.closing import require_closed
from carbjax._ledger.columns import requests_of_workload
from carbjax._ledger.group import CLOSED, Group, GroupResult
from carbjax._ledger.make import FleetLedger, begin
from carbjax._ledger.plan import hash_inputs, plan_of, require_unchanged
from carbjax._ledger.request_rows import request_rows
from carbjax._ledger.rollups import add_up
from carbjax._ledger.tables import MARKET, summary
from carbjax._serving.system import System
from carbjax._traces.meter import read_meter
from carbjax._units import JOULES_PER_KWH

METHOD = "recorded"


def make_recorded_ledger(
    requests: str | os.PathLike[str],
    iterations: str | os.PathLike[str],
    system: System,
    out: str | os.PathLike[str],
    *,
    meter: str | os.PathLike[str] | None = None,
    unix_minus_clock_s: float | None = None,
    market_intensity: float | None = None,
    format: str | None = None,
    tz: str | None = None,
    tenants: str | None = None,
    fresh: bool = False,
) -> FleetLedger:
    """The ledger of one server, from the logs of its requests and of its iterations.

    The folder is that of `make_ledger`. Nothing is simulated: iterations are those of the
    log, and `system` says what is not in it (GPU, model, PUE, carbon). With a `meter` the
    electricity of the GPUs is what it counted, and the model only divides it; the
    manifest's `meter` says by which factor the model was off (docs/recorded.md).

    - `requests`, `iterations`, `unix_minus_clock_s`, `format`, `tz`, `tenants`: as in
      `read_recorded`. `meter`: see `read_meter`.
    - `market_intensity`, `out`, `fresh`: as in `make_ledger`.

    The logs are read whole. Raises `InputError` and `ClosureError`.
    """
    log = read_recorded(
        requests,
        iterations,
        unix_minus_clock_s=unix_minus_clock_s,
        format=format,
        tz=tz,
        tenant=tenants,
    )
    schedule, metered = _by_request(log.schedule), None
    if meter is not None:
        readings = read_meter(meter, tz)
        metered = meter_schedule(
            schedule, system, readings, unix_minus_clock_s=unix_minus_clock_s
        )
        schedule = metered.schedule
    files = [str(f) for f in (requests, iterations, meter) if f is not None]
    backend = _backend(log, tuple(files))
    group = Group(0, (backend,), system, market_intensity, backend.num_requests)
    folder = pathlib.Path(out)
    with folders.working_in(folder):
        hashes = hash_inputs([backend])
        plan = plan_of([group], hashes) | {"method": METHOD}
        finished = begin(folder, plan, fresh)
        if finished is not None:
            return FleetLedger(folder, finished)
        manifest = plan | _write(folder, group, backend, log, schedule, metered)
        require_unchanged(hashes)
        folders.finish(folder, manifest)
    return FleetLedger(folder, manifest)


def _by_request(schedule: RecordedSchedule) -> RecordedSchedule:
    """The schedule whose players are its requests."""
    found = copy.copy(schedule)
    found.workload = schedule.workload.by_request()
    return found


def _backend(log: RecordedLog, files: tuple[str, ...]) -> TableBackend:
    known = log.requests.epoch is not None
    table = requests_of_workload(log.requests)
    return TableBackend(pathlib.Path(files[0]).name, files, table, known)


def _write(
    folder: pathlib.Path,
    group: Group,
    backend: TableBackend,
    log: RecordedLog,
    schedule: RecordedSchedule,
    metered: MeteredSchedule | None,
) -> dict[str, Any]:
    """What the manifest says of the tables, which are written."""
    attribution = attribute_recorded(schedule, group.system)
    zero_s = 0.0 if log.requests.epoch is None else _zero_s(schedule)
    rows = _rows(group, backend.requests, log, schedule, attribution, zero_s)
    emitted = _in_closing_terms(attribution.whole - attribution.remainder)
    charged = _in_closing_terms(_sum(attribution.emissions))
    residual = require_closed(charged, emitted, "the recorded schedule")
    prompt, decode = (rows[c].to_numpy() for c in ("prompt_tokens", "decode_tokens"))
    result = GroupResult(
        number=0,
        num_requests=rows.num_rows,
        totals=emitted,
        residual=residual,
        start_s=np.array([zero_s + schedule.start_s[0]]),
        end_s=np.array([zero_s + schedule.end_s[-1]]),
        longest_prompt=int(prompt.max()),
        longest_context=int((prompt + decode).max()),
        rollups=add_up(None, rows),
    )
    tables, facts = summary([group], [result])
    # Of the machine's own emissions the hours' rows are made: the rest is iterations'.
    nobody = standing(schedule, group.system, window_of(schedule, None))
    unattributed = _in_closing_terms(attribution.remainder - nobody)
    if metered is not None:
        _add_beyond_idle(unattributed, metered, group.system)
    _leave_unattributed(facts["totals"], unattributed, group.market_intensity)
    GroupStore(folder, 0).write_part(0, rows)
    for name, table in tables.items():
        folders.write_table(folder, name, table)
    facts["flags"] = list(dict.fromkeys([*attribution.flags, *log.notes]))
    return facts | ({} if metered is None else {"meter": _about(metered)})


def _zero_s(schedule: RecordedSchedule) -> float:
    epoch = schedule.workload.epoch
    return 0.0 if epoch is None else epoch.timestamp()


def _rows(
    group: Group,
    requests: pa.Table,
    log: RecordedLog,
    schedule: RecordedSchedule,
    attribution: Attribution,
    zero_s: float,
) -> pa.Table:
    """The ledger's rows: requests in order of arrival, null players last."""
    workload = log.requests
    order = np.argsort(workload.arrival_s, kind="stable")
    is_null = workload.is_null[order]
    place = np.argsort(is_null, kind="stable")
    real = order[~is_null]
    unknown = np.full(len(real), np.nan)
    has_clock = workload.epoch is not None
    emissions = attribution.emissions
    spent = {
        "prefill_j": emissions.energy_j[real],
        "decode_j": np.zeros(len(real)),
        "prefill_g": emissions.prefill[real],
        "decode_g": emissions.decode[real],
        "embodied_g": emissions.embodied[real],
        "start_s": schedule.workload.arrival_s[real] if has_clock else unknown,
        "first_token_s": unknown,
        "finish_s": schedule.finish_s[real] if has_clock else unknown,
    }
    served = Served(np.zeros(len(real), int), np.arange(len(real)), spent, {}, {})
    table = requests.take(pa.array(place))
    table = table.append_column("lane", pa.array(np.zeros(len(place), int)))
    table = table.append_column("row", pa.array(place))
    return request_rows(table, served, group, zero_s)


def _sum(emissions: Emissions) -> Emissions:
    values = {f.name: np.sum(getattr(emissions, f.name)) for f in dc.fields(emissions)}
    return Emissions(**values)


def _in_closing_terms(emissions: Emissions) -> dict[str, float]:
    found = emissions.energy_j, emissions.operational, emissions.embodied
    return dict(zip(CLOSED, map(float, found), strict=True))


def _leave_unattributed(
    totals: dict[str, dict[str, float]], found: dict[str, float], market: float | None
) -> None:
    """Adds iterations without participants to what nobody is charged for."""
    part, total = totals["unattributed"], totals["total"]
    for name in CLOSED:
        part[name] = found[name]
        total[name] += found[name]
    for each in (part, total):
        each["gco2e"] = each["operational_gco2e"] + each["embodied_gco2e"]
        if market is not None:
            each[MARKET] = each["energy_j"] * market / JOULES_PER_KWH


def _add_beyond_idle(
    unattributed: dict[str, float], metered: MeteredSchedule, system: System
) -> None:
    """Adds what the meter counted beyond idle power while no iteration ran.

    When within the window is not known: it counts at the window's mean intensity.
    """
    if system.provisioning == "on_demand":
        return  # the machine is not there between iterations
    schedule = metered.schedule
    series = system.carbon_intensity
    epoch = None if series.is_constant else schedule.workload.epoch
    window = float(schedule.start_s[0]), float(schedule.end_s[-1])
    site_j = system.pue * metered.beyond_idle_j
    mean = float(series.relative(epoch).mean(*window))
    unattributed["energy_j"] += site_j
    unattributed["operational_gco2e"] += site_j * mean / JOULES_PER_KWH


def _about(metered: MeteredSchedule) -> dict[str, Any]:
    return {
        "measured_over_modelled": metered.factor,
        "measured_j": metered.measured_j,
        "beyond_idle_j": metered.beyond_idle_j,
        "notes": list(metered.notes),
    }
