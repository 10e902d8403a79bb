"""Makes a ledger of a fleet, and sums it up for a person or for a program."""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from carbjax._errors import ConfigError
from carbjax._runtime import enable_compilation_cache, set_precision, use_one_thread
from carbjax._settings.ledger import LedgerSettings
from carbjax._units import JOULES_PER_KWH

if TYPE_CHECKING:
    from carbjax._carbon import Intensity
    from carbjax._cli.progress import Advance
    from carbjax._ledger import FleetLedger

_STAGES = 3
_BIG_PARTS = ("groups", "inputs")  # of a manifest: a line a backend, a line a file


def make_and_show(
    settings: LedgerSettings,
    sources: Sequence[str],
    *,
    out: str,
    fresh: bool,
    rejects: bool,
    use_cache: bool,
    as_json: bool,
) -> None:
    """Nothing; the ledger is in the folder `out`, and summed up on standard output."""
    use_one_thread()  # as its workers do, so that their number changes no bit
    set_precision(64)
    if use_cache:
        enable_compilation_cache()
    # Imported here: precision must be set before anything makes an array.
    from carbjax._cli.progress import progress

    start = time.perf_counter()
    with progress(_STAGES) as advance:
        if settings.ledger.iterations is None:
            found = _simulate(settings, sources, out, fresh, rejects, advance)
        else:
            _require_simple(settings, sources, rejects)
            found = _follow(settings, sources[0], out, fresh, advance)
    seconds = time.perf_counter() - start
    if as_json:
        answer = {k: v for k, v in found.manifest.items() if k not in _BIG_PARTS}
        click.echo(json.dumps(answer | {"out": out, "took_s": round(seconds, 3)}, indent=2))
    else:
        _print(found, seconds)


def _simulate(
    settings: LedgerSettings,
    sources: Sequence[str],
    out: str,
    fresh: bool,
    rejects: bool,
    advance: "Advance",
) -> "FleetLedger":
    """The ledger of traces, served as the scheduler would."""
    from carbjax._ledger import find_backends, make_ledger, read_systems
    from carbjax._serving.configuration import make_system

    asked = settings.ledger
    for name in ("meter", "unix_minus_clock_s"):
        if getattr(asked, name) is not None:
            raise ConfigError(
                f"`--{name.replace('_', '-')}` is given without `--iterations`.",
                hint="A meter's energy is divided over the iterations that were logged.",
            )
    advance("Reading the sources")
    backends = find_backends(
        sources,
        format=asked.format,
        tz=asked.tz,
        tenants=asked.tenants,
        spread=asked.backends,
        rejects=rejects,
    )
    advance("Loading the system")
    if asked.systems is None:
        system = make_system(settings.system)
    else:
        system = read_systems(asked.systems, settings.system)
    advance(f"Serving {sum(b.num_requests for b in backends):,} requests")
    return make_ledger(
        backends,
        system,
        out,
        market_intensity=_market_intensity(settings),
        workers=asked.workers,
        engine=asked.engine,
        slice_rows=asked.slice_rows,
        fresh=fresh,
    )


def _require_simple(
    settings: LedgerSettings, sources: Sequence[str], rejects: bool
) -> None:
    """Raises `ConfigError` for what recorded iterations leave no room for."""
    asked = settings.ledger
    if len(sources) != 1 or asked.backends is not None or asked.systems is not None:
        raise ConfigError(
            "with `--iterations` there is one server, and one log of its requests.",
            hint="Make a ledger of each server.",
        )
    if rejects:
        raise ConfigError(
            "`--rejects` is given with `--iterations`: each request is in the log of both.",
            hint="See what is wrong with `carbjax validate --rejects FILE`.",
        )


def _market_intensity(settings: LedgerSettings) -> "float | Intensity | None":
    """The constant or the series that was asked for."""
    from carbjax._carbon import read_intensity
    from carbjax._carbon.intensity import MAX_INTENSITY

    asked, given = settings.ledger, settings.ledger.market_intensity
    if given is None:
        return None
    try:
        constant = float(given)
    except ValueError:
        return read_intensity(
            str(given),
            settings.system.intensity_kind,
            column=asked.market_column,
            tz=settings.system.intensity_tz,
        )
    if not 0 <= constant <= MAX_INTENSITY:
        raise ConfigError(
            f"`--market-intensity` is {given}.",
            hint=f"Give gCO2e/kWh, 0 to {MAX_INTENSITY:g}, or a file.",
        )
    return constant


def _follow(
    settings: LedgerSettings, source: str, out: str, fresh: bool, advance: "Advance"
) -> "FleetLedger":
    """The ledger of a server that logged its iterations."""
    from carbjax._ledger import make_recorded_ledger
    from carbjax._serving.configuration import make_system

    asked = settings.ledger
    assert asked.iterations is not None
    advance("Loading the system")
    system = make_system(settings.system)
    advance("Joining the logs")
    return make_recorded_ledger(
        source,
        asked.iterations,
        system,
        out,
        meter=asked.meter,
        unix_minus_clock_s=asked.unix_minus_clock_s,
        market_intensity=_market_intensity(settings),
        format=asked.format,
        tz=asked.tz,
        tenants=asked.tenants,
        fresh=fresh,
    )


def _servers(manifest: dict[str, Any]) -> list[str]:
    """A line for each model: how many servers, of which kind."""
    lines = []
    for model, system in manifest["systems"].items():
        mine = [group for group in manifest["groups"] if group["model"] == model]
        count = sum(len(group["backends"]) for group in mine)
        how = "as recorded" if manifest["method"] == "recorded" else system["policy"]
        lines.append(
            f"{count} x {system['accelerator']}, {model}, {how}, "
            f"{system['carbon_intensity']['name']}"
        )
    lines[0] = f"{manifest['requests']:,} requests on {lines[0]}"
    return lines


def _print(found: "FleetLedger", seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    manifest = found.manifest
    table = Table("", "kWh", "operational g", "embodied g", "total g", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, part in manifest["totals"].items():
        kwh = part["energy_j"] / JOULES_PER_KWH
        grams = (part[k] for k in ("operational_gco2e", "embodied_gco2e", "gco2e"))
        table.add_row(name, f"{kwh:,.4f}", *(f"{x:,.4f}" for x in grams))
    console = Console()
    for line in _servers(manifest):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    worst = max(abs(value) for value in manifest["residual"].values())
    lines = [f"What requests were charged misses what was emitted by {worst:.1e} at most."]
    meter = manifest.get("meter")
    if meter is not None:
        factor = meter["measured_over_modelled"]
        lines += [f"Iterations drew {factor:.3f} times what the model says."]
        lines += [f"Note: {note}" for note in meter["notes"]]
    lines += [f"Note: {flag}" for flag in manifest["flags"]]
    lines += [f"Wrote {found.folder}.", f"Took {seconds:.1f} s."]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
