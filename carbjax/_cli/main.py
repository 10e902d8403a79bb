"""The command `carbjax`: finds the subcommand, and turns bad input into exit code 2."""

import contextlib
import difflib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from carbjax._cli.devices import explain_plugins, missing_devices
from carbjax._errors import CarbjaxError, ExtrapolationWarning, InputError
from carbjax._version import __version__

# Summaries stand here so that `carbjax --help` imports no command.
COMMANDS = {
    "attribute": "Say who is responsible for which grams of CO2e in a trace.",
    "run": "The same, as a configuration file (TOML) says.",
    "validate": "Read a trace and report what it holds, or what is wrong.",
    "ledger": "Charge every request of a fleet's traces, and prove that sums close.",
    "evaluate": "Judge attribution methods by the criteria, as a TOML file says.",
    "report": "Write what an evaluation found as one HTML page.",
    "fetch": "Bring a public data set onto this machine, by name.",
    "fit": "Fit a surrogate to measured operator calls.",
    "profile": "Measure operator calls, time and energy, on this GPU.",
    "doctor": "Show devices, versions, precision and folders in use.",
}


_NO_COMMAND = "No such command {!r} (did you mean {!r}?)"


class LazyGroup(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            near = difflib.get_close_matches(cmd_name, COMMANDS, n=1)
            return ctx.fail(_NO_COMMAND.format(cmd_name, near[0])) if near else None
        return importlib.import_module(f"carbjax._cli.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _one_line_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with _one_line_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        _fail(str(error), 2)
    except CarbjaxError as error:
        _fail(str(error), 1)
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        if error.ctx is None:
            raise
        message = " ".join(error.format_message().split()).rstrip(".")
        _fail(f"{message}. Try `{error.ctx.command_path} --help`.", 2)
    except (RuntimeError, AssertionError):
        reason = missing_devices()
        if reason is None:
            raise
        _fail(reason, 2)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"carbjax: {message}", err=True)
    raise click.exceptions.Exit(code)


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
    """Nothing; exits with 0 when all went well, 2 for bad input, 1 for another error."""
    warnings.simplefilter("ignore", ExtrapolationWarning)  # a note of the answer says it
    explain_plugins()
    try:
        carbjax()
    except SystemExit as end:
        _leave(int(end.code or 0))


def _leave(code: int) -> NoReturn:
    # Not through the interpreter's end: threads of libraries that are still starting
    # there abort the process, and the exit code is lost.
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    os._exit(code)
