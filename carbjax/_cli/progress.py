"""What long work is at, on standard error, where somebody watches."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Advance = Callable[[str], None]


@contextlib.contextmanager
def progress(num_stages: int) -> Iterator[Advance]:
    """A function that is told each stage as it begins, while a bar shows it."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    )
    with bar:
        task = bar.add_task("Starting", total=num_stages + 1)
        yield lambda stage: bar.update(task, description=stage, advance=1)
