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
from carbjax._carbon.intensity import Intensity
from carbjax._fleet.fleet import Served
from carbjax._ledger import folder as folders
from carbjax._ledger.backends import TableBackend
from carbjax._ledger.checkpoint import GroupStore
from carbjax._ledger.closing import require_closed
from carbjax._ledger.columns import requests_of_workload
from carbjax._ledger.group import CLOSED, Group, GroupResult
from carbjax._ledger.make import FleetLedger, add_rejects, as_intensity, begin
from carbjax._ledger.plan import hash_inputs, plan_of, require_unchanged
from carbjax._ledger.request_rows import request_rows
from carbjax._ledger.rollups import MARKET, add_up
from carbjax._ledger.tables import summary
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
    market_intensity: float | Intensity | None = None,
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
    market = as_intensity(market_intensity)
    group = Group(
        0, (backend,), system, system.model.name, market, max(backend.num_requests, 1)
    )
    return _made(_Recorded(group, log, schedule, metered), pathlib.Path(out), fresh)


@dc.dataclass(frozen=True)
class _Recorded:
    """A server's schedule, as a group of one backend."""

    group: Group
    log: RecordedLog
    schedule: RecordedSchedule
    metered: MeteredSchedule | None

    @property
    def system(self) -> System:
        return self.group.system

    @property
    def requests(self) -> pa.Table:
        backend = self.group.backends[0]
        assert isinstance(backend, TableBackend)
        return backend.requests

    @property
    def zero_s(self) -> float:
        """Second 0 of the schedule, on the arrivals' clock."""
        epoch = self.schedule.workload.epoch
        known = self.log.requests.epoch is not None and epoch is not None
        return epoch.timestamp() if known and epoch is not None else 0.0


def _made(recorded: _Recorded, folder: pathlib.Path, fresh: bool) -> FleetLedger:
    with folders.working_in(folder):
        hashes = hash_inputs(recorded.group.backends)
        plan = plan_of([recorded.group], hashes) | {"method": METHOD}
        finished = begin(folder, plan, fresh)
        if finished is not None:
            return FleetLedger(folder, finished)
        manifest = plan | _write(folder, recorded)
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


def _write(folder: pathlib.Path, recorded: _Recorded) -> dict[str, Any]:
    """What the manifest says of the tables, which are written."""
    group, schedule = recorded.group, recorded.schedule
    charged = _charged(recorded, group.system)
    market = group.market_series
    bought = None if market is None else _charged(recorded, _at(group.system, market))
    rows = _rows(recorded, charged, bought)
    sums = {"emitted": charged.emitted, "charged": charged.to_requests}
    if bought is not None:
        for name, each in (("emitted", bought.emitted), ("charged", bought.to_requests)):
            sums[name] = sums[name] | {MARKET: each["operational_gco2e"]}
    residual = require_closed(sums["charged"], sums["emitted"], "the recorded schedule")
    prompt, decode = (rows[c].to_numpy() for c in ("prompt_tokens", "decode_tokens"))
    result = GroupResult(
        number=0,
        num_requests=rows.num_rows,
        num_rejected=0,
        totals=sums["emitted"],
        residual=residual,
        start_s=np.array([recorded.zero_s + schedule.start_s[0]]),
        end_s=np.array([recorded.zero_s + schedule.end_s[-1]]),
        longest_prompt=int(prompt.max()),
        longest_context=int((prompt + decode).max()),
        rollups=add_up(None, rows),
    )
    tables, facts = summary([group], [result])
    _leave_unattributed(facts["totals"], _unattributed(recorded, charged, bought))
    GroupStore(folder, 0).write_part(0, rows)
    for name, table in tables.items():
        folders.write_table(folder, name, table)
    add_rejects(folder, facts)
    facts["flags"] = list(
        dict.fromkeys([*charged.attribution.flags, *facts["flags"], *recorded.log.notes])
    )
    metered = recorded.metered
    return facts | ({} if metered is None else {"meter": _about(metered)})


@dc.dataclass(frozen=True)
class _Charged:
    """A schedule's attribution, and its sums in the terms that must close."""

    attribution: Attribution
    emitted: dict[str, float]  # by iterations in which somebody took part
    to_requests: dict[str, float]
    unattributed: dict[str, float]  # of iterations, and beyond idle power between them


def _charged(recorded: _Recorded, system: System) -> _Charged:
    schedule = recorded.schedule
    found = attribute_recorded(schedule, system)
    # Of the machine's own emissions the hours' rows are made: the rest is iterations'.
    nobody = standing(schedule, system, window_of(schedule, None))
    unattributed = _in_closing_terms(found.remainder - nobody)
    if recorded.metered is not None:
        _add_beyond_idle(unattributed, recorded.metered, system)
    return _Charged(
        found,
        _in_closing_terms(found.whole - found.remainder),
        _in_closing_terms(_sum(found.emissions)),
        unattributed,
    )


def _at(system: System, intensity: Intensity) -> System:
    """The same system on other electricity."""
    return dc.replace(system, carbon_intensity=intensity)


def _unattributed(
    recorded: _Recorded, charged: _Charged, bought: _Charged | None
) -> dict[str, float]:
    """What nobody is charged for, also at the market's intensity."""
    found, market = dict(charged.unattributed), recorded.group.market
    if bought is not None:
        found[MARKET] = bought.unattributed["operational_gco2e"]
    elif market is not None:
        found[MARKET] = found["energy_j"] * float(market.values[0]) / JOULES_PER_KWH
    return found


def _rows(recorded: _Recorded, charged: _Charged, bought: _Charged | None) -> pa.Table:
    """The ledger's rows: requests in order of arrival, null players last."""
    schedule, workload = recorded.schedule, recorded.log.requests
    order = np.argsort(workload.arrival_s, kind="stable")
    is_null = workload.is_null[order]
    place = np.argsort(is_null, kind="stable")
    real = order[~is_null]
    unknown = np.full(len(real), np.nan)
    has_clock = workload.epoch is not None
    emissions = charged.attribution.emissions
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
    if bought is not None:
        at_market = bought.attribution.emissions
        spent["market_g"] = (at_market.prefill + at_market.decode)[real]
    served = Served(np.zeros(len(real), int), np.arange(len(real)), spent, {}, {})
    table = recorded.requests.take(pa.array(place))
    table = table.append_column("lane", pa.array(np.zeros(len(place), int)))
    table = table.append_column("row", pa.array(place))
    return request_rows(table, served, recorded.group, recorded.zero_s)


def _sum(emissions: Emissions) -> Emissions:
    values = {f.name: np.sum(getattr(emissions, f.name)) for f in dc.fields(emissions)}
    return Emissions(**values)


def _in_closing_terms(emissions: Emissions) -> dict[str, float]:
    found = emissions.energy_j, emissions.operational, emissions.embodied
    return dict(zip(CLOSED, map(float, found), strict=True))


def _leave_unattributed(
    totals: dict[str, dict[str, float]], found: dict[str, float]
) -> None:
    """Adds iterations without participants to what nobody is charged for."""
    part, total = totals["unattributed"], totals["total"]
    for name, value in found.items():
        part[name] = value
        total[name] += value
    for each in (part, total):
        each["gco2e"] = each["operational_gco2e"] + each["embodied_gco2e"]


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
