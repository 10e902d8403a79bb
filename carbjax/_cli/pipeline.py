"""From settings to an attribution and its files: what `attribute` and `run` do."""

import dataclasses
import time

import jax.random as jr
import pyarrow as pa

from carbjax._attribution.attribute import attribute
from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import find_method
from carbjax._carbon import Intensity
from carbjax._cli.progress import Advance
from carbjax._cli.sample import trace_path
from carbjax._cli.selection import selected
from carbjax._errors import ConfigError
from carbjax._ledger import LEDGER_SUFFIXES, ledger_table, require_writable, write_ledger
from carbjax._serving.configuration import make_intensity, make_system
from carbjax._settings.sections import OutputSettings, RunSettings, TraceSettings
from carbjax._traces import read_trace_report
from carbjax._workload import Workload

NUM_STAGES = 4


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run found: everything that a screen, a ledger or a program may show."""

    settings: RunSettings
    workload: Workload
    intensity: Intensity
    attribution: Attribution
    ledger: pa.Table
    seconds: float


def carry_out(settings: RunSettings, advance: Advance) -> Outcome:
    """The attribution that `settings` ask for, its files written.

    What can be refused is refused before the long work. Raises `InputError`.
    """
    start = time.perf_counter()
    _require_outputs(settings.output)
    find_method(settings.attribution.method)
    advance("Reading the trace")
    workload, tenants = read_workload(settings.trace)
    advance("Loading the system")
    intensity = make_intensity(settings.system)
    system = make_system(settings.system, intensity)
    advance(f"Attributing {workload.num_requests} requests")
    attribution = attribute(
        workload,
        system,
        method=settings.attribution.method,
        idle=settings.attribution.idle,
        key=jr.key(settings.attribution.seed),
    )
    advance("Writing")
    ledger = ledger_table(attribution, workload, tenants)
    _write(settings.output, attribution, workload, ledger)
    seconds = time.perf_counter() - start
    return Outcome(settings, workload, intensity, attribution, ledger, seconds)


def read_workload(trace: TraceSettings) -> tuple[Workload, tuple[str, ...] | None]:
    """The requests asked for, and the tenant of each where requests are the players."""
    path = trace_path(trace.path)
    whole, report = read_trace_report(path, trace.format, trace.tz, trace.tenants)
    workload = selected(_labelled(whole), trace)
    if trace.players == "tenant":
        if report.num_tenants is None:
            raise ConfigError(
                "the players are tenants, and the trace names none.",
                file=trace.path,
                hint="Give a CSV of request_id,tenant_id with --tenants. Requests without "
                "an id are counted from 0.",
            )
        return workload, None
    if report.num_tenants is None or workload.player_names is None:
        return workload.by_request(), None
    names = workload.player_names
    return workload.by_request(), tuple(names[i] for i in workload.player)


def _labelled(workload: Workload) -> Workload:
    """The workload with an id for each request, so that a selection keeps its place."""
    if workload.request_ids is not None:
        return workload
    return Workload(
        workload.arrival_s,
        workload.num_prefill_tokens,
        workload.num_decode_tokens,
        workload.player,
        workload.epoch,
        request_ids=tuple(str(i) for i in range(workload.num_requests)),
        player_names=workload.player_names,
    )


def _require_outputs(output: OutputSettings) -> None:
    if output.out is not None:
        require_writable(output.out, LEDGER_SUFFIXES)
    if output.figure is not None:
        # Matplotlib is slow to import, and few runs draw.
        from carbjax._plots import FIGURE_SUFFIXES

        require_writable(output.figure, FIGURE_SUFFIXES)


def _write(
    output: OutputSettings, attribution: Attribution, workload: Workload, ledger: pa.Table
) -> None:
    if output.figure is not None:
        from carbjax._plots import write_share_figure

        write_share_figure(attribution, workload, output.figure)
    if output.out is not None:
        write_ledger(ledger, output.out)
