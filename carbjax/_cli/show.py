"""Carries a run out and shows what came of it, to a person or to a program."""

import json

import click

from carbjax._runtime import enable_compilation_cache, set_precision
from carbjax._settings.sections import RunSettings


def attribute_and_show(
    settings: RunSettings, bits: int, use_cache: bool, as_json: bool
) -> None:
    """Nothing; what `settings` ask for is done, and summed up on standard output."""
    set_precision(bits)
    if use_cache:
        enable_compilation_cache()
    # Imported here: precision must be set before anything makes an array.
    from carbjax._cli.answer import answer
    from carbjax._cli.pipeline import NUM_STAGES, carry_out
    from carbjax._cli.progress import progress
    from carbjax._cli.screen import print_outcome

    with progress(NUM_STAGES) as advance:
        outcome = carry_out(settings, advance)
    if as_json:
        click.echo(json.dumps(answer(outcome), indent=2, allow_nan=False))
    else:
        print_outcome(outcome)
