"""The command `carbjax`: finds the subcommand, and turns bad input into exit code 2."""

import importlib
import sys

import click

from carbjax._errors import InputError
from carbjax._version import __version__

# Summaries stand here so that `carbjax --help` imports no command.
COMMANDS = {
    "attribute": "Say who is responsible for which grams of CO2e in a trace.",
    "run": "The same, as a configuration file (TOML) says.",
    "validate": "Read a trace and report what it holds, or what is wrong.",
    "doctor": "Show devices, versions, precision and folders in use.",
}


class LazyGroup(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"carbjax._cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except InputError as error:
            click.echo(f"carbjax: {error}", err=True)
            ctx.exit(2)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="carbjax")
def carbjax() -> None:
    """Who is responsible for which grams of CO2e in LLM serving.

    \b
    Try it:
      carbjax attribute sample
      carbjax attribute TRACE.csv --tz UTC --intensity 250 --out ledger.parquet
      carbjax attribute --help
    """


def main() -> None:
    """Nothing; exits with 0 when all went well and 2 for bad input."""
    sys.exit(carbjax())
