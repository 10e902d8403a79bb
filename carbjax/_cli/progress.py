"""What long work is at, on standard error, where somebody watches."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from carbjax._progress import listening

Advance = Callable[[str], None]


@contextlib.contextmanager
def progress(num_stages: int) -> Iterator[Advance]:
    """A function that is told each stage as it begins, while a bar shows it."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    )
    with bar:
        task = bar.add_task("Starting", total=num_stages + 1)
        detail = bar.add_task("", total=None, visible=False)

        def advance(stage: str) -> None:
            bar.update(detail, visible=False)
            bar.update(task, description=stage, advance=1)

        def count(what: str, done: int, total: int) -> None:
            bar.update(detail, description=what, completed=done, total=total, visible=True)

        with listening(count) if console.is_terminal else contextlib.nullcontext():
            yield advance
