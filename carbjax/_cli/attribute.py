"""`carbjax attribute`: from a trace to a ledger, with options."""

import click

from carbjax._cli.options import (
    json_option,
    runtime_options,
    settings_from,
    settings_options,
)


@click.command("attribute")
@click.argument("trace")
@settings_options
@runtime_options
@json_option
def command(
    trace: str,
    precision: str,
    no_compilation_cache: bool,
    as_json: bool,
    **options: str | None,
) -> None:
    """Say who is responsible for which grams of CO2e in TRACE.

    TRACE is a file, plain or gz: Azure LLM, BurstGPT, Mooncake, vLLM's benchmark,
    OpenTelemetry spans, or the columns request_id, tenant_id, arrival, prompt_tokens and
    decode_tokens, of which the first two may be absent. Or it is `sample`, a small
    made-up trace that ships with carbjax.

    By default idle and embodied carbon is spread by use (--idle usage), so that all of
    the footprint is somebody's; --idle unattributed leaves it with the provider.

    \b
    Examples:
      carbjax attribute sample
      carbjax attribute trace.csv --tz UTC --limit 16 --method shapley
      carbjax attribute trace.csv --tz UTC --intensity grid.csv --out ledger.parquet
      carbjax attribute trace.csv --players tenant --tenants map.csv --figure who.png
    """
    settings = settings_from(trace, options)
    from carbjax._cli.show import attribute_and_show

    attribute_and_show(settings, int(precision), not no_compilation_cache, as_json)
