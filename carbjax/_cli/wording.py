"""Errors of the library in the words of the command line."""

import contextlib
from collections.abc import Iterator

from carbjax._cli.options import option_name
from carbjax._errors import WorkloadError
from carbjax._settings.sections import SystemSettings


@contextlib.contextmanager
def about_trace(path: str) -> Iterator[None]:
    """Within it a `WorkloadError` names the trace, and options beside arguments."""
    try:
        yield
    except WorkloadError as error:
        raise type(error)(
            _with_options(error.problem),
            file=path if error.file is None else error.file,
            row=error.row,
            column=error.column,
            hint=None if error.hint is None else _with_options(error.hint),
        ) from None


def _with_options(text: str) -> str:
    for name in SystemSettings.model_fields:
        option = option_name(("system", name))
        if option not in text:
            text = text.replace(f"`{name}`", f"`{name}` / `{option}`")
    return text
