"""`carbjax ledger`: the traces of a fleet in, a folder of Parquet out."""

import functools as ft

import click

from carbjax._cli.options import json_option, settings_of, settings_options
from carbjax._settings.ledger import LedgerSettings


@click.command("ledger")
@click.argument("sources", nargs=-1, required=True)
@click.option("--out", metavar="FOLDER", required=True, help="Where the ledger goes.")
@click.option(
    "--resume/--fresh",
    default=True,
    show_default=True,
    help="Go on with a ledger that was interrupted, or replace it.",
)
@click.option(
    "--rejects",
    is_flag=True,
    help="Set rows that cannot be used aside, in the folder's rejects/; default: an error.",
)
@ft.partial(settings_options, model=LedgerSettings)
@click.option(
    "--no-compilation-cache", is_flag=True, help="Keep no compiled programs between runs."
)
@json_option
def command(
    sources: tuple[str, ...],
    out: str,
    resume: bool,
    rejects: bool,
    no_compilation_cache: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Charge every request in SOURCES with its grams, and prove that the sums close.

    SOURCES are traces (as for `carbjax attribute`) and folders of Parquet files, where
    those below `backend=NAME` are of one backend; each backend is a server of its own,
    and serves one model: that of `--model`, or of `model=NAME` in its path.
    Memory stays constant however long the Parquet is. A ledger that was
    interrupted goes on where it stopped, with the same result to the byte.

    \b
    Examples:
      carbjax ledger fleet/ --out ledger --intensity grid.csv
      carbjax ledger trace.csv --tz UTC --out ledger --backends 8 --max-num-seqs 64
      carbjax ledger fleet/ --out ledger --systems models.toml --rejects
      carbjax ledger requests.csv --iterations vllm.log --meter nvml.csv --out ledger
    """
    settings = settings_of(LedgerSettings, options, {})
    from carbjax._cli.ledgering import make_and_show

    make_and_show(
        settings,
        sources,
        out=out,
        fresh=not resume,
        rejects=rejects,
        use_cache=not no_compilation_cache,
        as_json=as_json,
    )
