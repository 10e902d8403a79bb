"""`carbjax profile`: measure a layer's operators on this machine's GPU."""

import json

import click

from carbjax._cli.options import json_option


@click.command("profile")
@click.option("--model", required=True, help="Name of the model whose layer is measured.")
@click.option("--out", help="Parquet file to write; needed but for `--dry-run`.")
@click.option(
    "--tensor-parallel",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Measure the share of one GPU of so many (all-reduce is not measured).",
)
@click.option(
    "--dry-run", is_flag=True, help="Show the plan and what it takes; run nothing."
)
@click.option(
    "--time-only", is_flag=True, help="Latency without power, on any device of JAX."
)
@click.option("--accelerator", help="GPU to assume in a dry run.  [default: h200-sxm]")
@click.option(
    "--block", "blocks", multiple=True, help="Measure this block alone; may be repeated."
)
@click.option(
    "--memory-gb",
    type=click.FloatRange(min=0, min_open=True),
    help="Leave out points that need more memory than this.",
)
@click.option("--share", is_flag=True, help="Measure even if other processes use the GPU.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the order and the data."
)
@click.option(
    "--no-compilation-cache", is_flag=True, help="Keep no compiled programs between runs."
)
@json_option
def command(as_json: bool, no_compilation_cache: bool, **options) -> None:
    """Measure latency and power of a layer's operators, 99 points in some 6 minutes.

    Power comes from the energy counter of an NVIDIA GPU (Volta or later). Exit code 2,
    and the way out, where there is none.

    \b
    Examples:
      carbjax profile --model llama-3.1-8b --dry-run
      carbjax profile --model llama-3.1-8b --out profile.parquet
      carbjax profile --model llama-3.1-8b --out times.parquet --time-only
    """
    # JAX is slow to import, and `--help` needs none of it.
    from carbjax._cli.profiling import (
        Request,
        dry_run,
        dry_run_lines,
        run_profile,
        summary_lines,
    )
    from carbjax._runtime import enable_compilation_cache

    request = Request(**options)
    if request.dry_run:
        answer = dry_run(request)
        lines = dry_run_lines(answer)
    else:
        if not no_compilation_cache:
            enable_compilation_cache()
        answer = run_profile(request)
        lines = summary_lines(answer)
    click.echo(json.dumps(answer, indent=2) if as_json else "\n".join(lines))
