"""`carbjax run`: from a trace to a ledger, as a configuration file says."""

import click

from carbjax._cli.options import json_option, runtime_options
from carbjax._settings.checking import read_tables


@click.command("run")
@click.argument("config")
@runtime_options
@json_option
def command(config: str, precision: str, no_compilation_cache: bool, as_json: bool) -> None:
    """Attribute as CONFIG, a TOML file, says.

    It has the tables [trace], [system], [attribution] and [output]; their keys are the
    options of `carbjax attribute` in long form, and the defaults the same. Paths are
    relative to the file's folder.

    \b
    Example:
      carbjax run configs/sample.toml

    \b
      [trace]
      path = "sample"
      players = "tenant"
      [system]
      accelerator = "h100-sxm"
      carbon_intensity = 250.0
      [attribution]
      method = "streaming"
      [output]
      out = "ledger.parquet"
    """
    settings = read_tables(config)
    from carbjax._cli.show import attribute_and_show

    attribute_and_show(settings, int(precision), not no_compilation_cache, as_json)
