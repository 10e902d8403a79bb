"""From settings to an attribution and its files: what `attribute` and `run` do."""

import dataclasses
import datetime as dt
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
from carbjax._cli.wording import about_trace
from carbjax._errors import ConfigError, WorkloadError
from carbjax._files import require_writable
from carbjax._ledger import LEDGER_SUFFIXES, ledger_table, write_ledger
from carbjax._serving.configuration import make_intensity, make_system
from carbjax._settings.sections import OutputSettings, RunSettings, TraceSettings
from carbjax._traces import NO_CALENDAR, TraceReport, read_trace_report, tie_notes
from carbjax._workload import Workload

NUM_STAGES = 4


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run found: everything that a screen, a ledger or a program may show.

    `notes` are what a reader must know of the trace; the attribution's flags end in them.
    """

    settings: RunSettings
    workload: Workload
    intensity: Intensity
    attribution: Attribution
    ledger: pa.Table
    notes: tuple[str, ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Requests:
    """The requests asked for, and what was read beside them.

    `tenants` are those of each request where requests are the players, if known.
    """

    workload: Workload
    tenants: tuple[str, ...] | None
    notes: tuple[str, ...]


def carry_out(settings: RunSettings, advance: Advance) -> Outcome:
    """The attribution that `settings` ask for, its files written.

    What can be refused is refused before the long work. Raises `InputError`.
    """
    start = time.perf_counter()
    _require_outputs(settings.output)
    find_method(settings.attribution.method)
    advance("Reading the trace")
    with about_trace(settings.trace.path):
        requests = read_workload(settings.trace)
        workload = requests.workload
        advance("Loading the system")
        intensity = make_intensity(settings.system)
        _require_calendar(workload, intensity)
        system = make_system(settings.system, intensity)
        advance(f"Attributing {workload.num_requests} requests")
        attribution = attribute(
            workload,
            system,
            method=settings.attribution.method,
            idle=settings.attribution.idle,
            key=jr.key(settings.attribution.seed),
        )
    flags = (*attribution.flags, *requests.notes)
    attribution = dataclasses.replace(attribution, flags=flags)
    advance("Writing")
    ledger = ledger_table(attribution, workload, requests.tenants)
    _write(settings.output, attribution, workload, ledger)
    seconds = time.perf_counter() - start
    return Outcome(
        settings, workload, intensity, attribution, ledger, requests.notes, seconds
    )


def read_workload(trace: TraceSettings) -> Requests:
    """The requests that `trace` asks for."""
    path = trace_path(trace.path)
    whole, report = read_trace_report(path, trace.format, trace.tz, trace.tenants)
    placed = whole if trace.epoch is None else _placed(whole, trace)
    chosen = selected(_labelled(placed), trace)
    notes = _notes(report, whole, chosen)
    if trace.epoch is not None:
        notes.append(f"Second 0 of the trace was set to {trace.epoch}")
    workload, tenants = _players(chosen, trace, report.num_tenants is not None)
    plain = tuple(note.removesuffix(".") for note in notes)
    return Requests(workload, tenants, plain)


def _notes(report: TraceReport, whole: Workload, chosen: Workload) -> list[str]:
    """What a reader must know of the requests that were chosen, and of their trace."""
    # Whether a calendar is missed depends on the intensity: that is checked, not noted.
    notes = [note for note in report.notes if note != NO_CALENDAR]
    if chosen.num_requests == whole.num_requests:
        return notes
    # They count requests and name rows that may not be among those chosen.
    others = [note for note in notes if note not in tie_notes(whole)]
    return [*tie_notes(chosen), *(f"Whole trace: {note}" for note in others)]


def _players(
    workload: Workload, trace: TraceSettings, has_tenants: bool
) -> tuple[Workload, tuple[str, ...] | None]:
    if trace.players == "tenant":
        if not has_tenants:
            raise ConfigError(
                "the players are tenants, and the trace names none.",
                file=trace.path,
                hint="Give a CSV of request_id,tenant_id with --tenants. Requests without "
                "an id are counted from 0.",
            )
        return workload, None
    if not has_tenants or workload.player_names is None:
        return workload.by_request(), None
    names = workload.player_names
    return workload.by_request(), tuple(names[i] for i in workload.player)


def _labelled(workload: Workload) -> Workload:
    """The workload with an id for each request, so that a selection keeps its place."""
    if workload.request_ids is not None:
        return workload
    ids = tuple(str(i) for i in range(workload.num_requests))
    return dataclasses.replace(workload, request_ids=ids)


def _placed(workload: Workload, trace: TraceSettings) -> Workload:
    """The workload with the epoch that was given for it."""
    if workload.epoch is not None:
        raise ConfigError(
            "`--epoch` is given, and the trace has time stamps of its own.",
            file=trace.path,
            hint="Leave it out.",
        )
    try:
        epoch = dt.datetime.fromisoformat(str(trace.epoch))
    except ValueError:
        epoch = None
    if epoch is None or epoch.tzinfo is None:
        raise ConfigError(
            f"`--epoch` is {str(trace.epoch)!r}.",
            hint="Give ISO 8601 with its offset, such as 2023-11-16T18:20:00Z.",
        )
    return dataclasses.replace(workload, epoch=epoch)


def _require_calendar(workload: Workload, intensity: Intensity) -> None:
    if workload.epoch is None and not intensity.is_constant:
        raise WorkloadError(
            "the carbon intensity is a series over calendar time, and the trace has no "
            "calendar.",
            hint="Give the instant of its second 0 with `--epoch`, or a constant "
            "`--intensity`.",
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
