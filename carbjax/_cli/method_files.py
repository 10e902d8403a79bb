"""A researcher's own methods, from files of Python that register them."""

import importlib.util
import pathlib
import sys
import traceback
from collections.abc import Sequence

from carbjax._attribution.methods import methods
from carbjax._errors import ConfigError


def load_methods(files: Sequence[str]) -> dict[str, str]:
    """The file of each method that `files` register, by the method's name.

    The files are run. Raises `ConfigError` naming the file that is missing, that raises,
    or that registers nothing.
    """
    found: dict[str, str] = {}
    for file in files:
        known = methods().keys()
        _run(pathlib.Path(file))
        new = methods().keys() - known
        if not new:
            raise ConfigError(
                "no method was registered.",
                file=file,
                hint="Call `carbjax.register_method(name, method)` in it.",
            )
        found |= dict.fromkeys(sorted(new), file)
    return found


def _run(path: pathlib.Path) -> None:
    if not path.is_file():
        raise ConfigError("there is no such file.", file=path, hint="Give a Python file.")
    name = f"carbjax_methods_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError("this is not Python.", file=path, hint="End its name in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pickle and inspect look
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        said = str(error).strip().splitlines()
        what = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
        raise ConfigError(
            f"running it raises {what}.", file=path, row=_row(error, path)
        ) from None


def _row(error: Exception, path: pathlib.Path) -> int | None:
    """The line of the file that it comes from, the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if frame.filename == str(path)]
    return own[-1] if own else getattr(error, "lineno", None)
