"""Calls the command line as a user does, within this process."""

import pathlib

from click.testing import CliRunner, Result

from carbjax._cli.main import carbjax

HEADER = "request_id,tenant_id,arrival,prompt_tokens,decode_tokens\n"
GOOD = HEADER + "a,ann,0.0,100,5\nb,bob,0.1,200,3\nc,ann,0.3,50,4\n"


def call(*arguments: object) -> Result:
    """The result; the compilation cache stays off, so that tests leave nothing behind."""
    words = [str(argument) for argument in arguments]
    if words[0] != "validate":
        words.append("--no-compilation-cache")
    return CliRunner().invoke(carbjax, words)


def write(folder: pathlib.Path, content: str, name: str = "trace.csv") -> pathlib.Path:
    path = folder / name
    path.write_text(content)
    return path
