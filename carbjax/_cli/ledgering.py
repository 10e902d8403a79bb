"""Makes a ledger of a fleet, and sums it up for a person or for a program."""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from carbjax._errors import ConfigError
from carbjax._runtime import enable_compilation_cache, set_precision, use_one_thread
from carbjax._settings.ledger import LedgerSettings
from carbjax._units import JOULES_PER_KWH

if TYPE_CHECKING:
    from carbjax._ledger import FleetLedger

_STAGES = 3
_BIG_PARTS = ("groups", "inputs")  # of a manifest: a line a backend, a line a file


def make_and_show(
    settings: LedgerSettings,
    sources: Sequence[str],
    *,
    out: str,
    fresh: bool,
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
    make = _simulate if settings.ledger.iterations is None else _follow
    with progress(_STAGES) as advance:
        found = make(settings, sources, out, fresh, advance)
    seconds = time.perf_counter() - start
    if as_json:
        answer = {k: v for k, v in found.manifest.items() if k not in _BIG_PARTS}
        click.echo(json.dumps(answer | {"out": out, "took_s": round(seconds, 3)}, indent=2))
    else:
        _print(found, seconds)


def _simulate(
    settings: LedgerSettings, sources: Sequence[str], out: str, fresh: bool, advance
) -> "FleetLedger":
    """The ledger of traces, served as the scheduler would."""
    from carbjax._ledger import find_backends, make_ledger
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
    )
    advance("Loading the system")
    system = make_system(settings.system)
    advance(f"Serving {sum(b.num_requests for b in backends):,} requests")
    return make_ledger(
        backends,
        system,
        out,
        market_intensity=asked.market_intensity,
        workers=asked.workers,
        engine=asked.engine,
        slice_rows=asked.slice_rows,
        fresh=fresh,
    )


def _follow(
    settings: LedgerSettings, sources: Sequence[str], out: str, fresh: bool, advance
) -> "FleetLedger":
    """The ledger of a server that logged its iterations."""
    from carbjax._ledger import make_recorded_ledger
    from carbjax._serving.configuration import make_system

    asked = settings.ledger
    if len(sources) != 1 or asked.backends is not None or asked.iterations is None:
        raise ConfigError(
            "with `--iterations` there is one server, and one log of its requests.",
            hint="Make a ledger of each server.",
        )
    advance("Loading the system")
    system = make_system(settings.system)
    advance("Joining the logs")
    return make_recorded_ledger(
        sources[0],
        asked.iterations,
        system,
        out,
        meter=asked.meter,
        unix_minus_clock_s=asked.unix_minus_clock_s,
        market_intensity=asked.market_intensity,
        format=asked.format,
        tz=asked.tz,
        tenants=asked.tenants,
        fresh=fresh,
    )


def _print(found: "FleetLedger", seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    manifest = found.manifest
    system = manifest["system"]
    table = Table("", "kWh", "operational g", "embodied g", "total g", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, part in manifest["totals"].items():
        kwh = part["energy_j"] / JOULES_PER_KWH
        grams = (part[k] for k in ("operational_gco2e", "embodied_gco2e", "gco2e"))
        table.add_row(name, f"{kwh:,.4f}", *(f"{x:,.4f}" for x in grams))
    console = Console()
    num_backends = sum(len(group) for group in manifest["groups"])
    how = "as recorded" if manifest["method"] == "recorded" else system["policy"]
    console.print(
        f"{manifest['requests']:,} requests on {num_backends} x {system['accelerator']}, "
        f"{system['model']}, {how}, {system['carbon_intensity']}",
        highlight=False,
        markup=False,
    )
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
