"""Makes a ledger of a fleet, and sums it up for a person or for a program."""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from carbjax._runtime import enable_compilation_cache, set_precision
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
    set_precision(64)
    if use_cache:
        enable_compilation_cache()
    # Imported here: precision must be set before anything makes an array.
    from carbjax._cli.progress import progress
    from carbjax._ledger import find_backends, make_ledger
    from carbjax._serving.configuration import make_system

    asked = settings.ledger
    start = time.perf_counter()
    with progress(_STAGES) as advance:
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
        found = make_ledger(
            backends,
            system,
            out,
            market_intensity=asked.market_intensity,
            workers=asked.workers,
            engine=asked.engine,
            slice_rows=asked.slice_rows,
            fresh=fresh,
        )
    seconds = time.perf_counter() - start
    if as_json:
        answer = {k: v for k, v in found.manifest.items() if k not in _BIG_PARTS}
        click.echo(json.dumps(answer | {"out": out, "took_s": round(seconds, 3)}, indent=2))
    else:
        _print(found, len(backends), seconds)


def _print(found: "FleetLedger", num_backends: int, seconds: float) -> None:
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
    console.print(
        f"{manifest['requests']:,} requests on {num_backends} x {system['accelerator']}, "
        f"{system['model']}, {system['policy']}, {system['carbon_intensity']}",
        highlight=False,
    )
    console.print(table)
    worst = max(abs(value) for value in manifest["residual"].values())
    lines = [f"What requests were charged misses what was emitted by {worst:.1e} at most."]
    lines += [f"Note: {flag}" for flag in manifest["flags"]]
    lines += [f"Wrote {found.folder}.", f"Took {seconds:.1f} s."]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
