"""Carries an evaluation out, and shows what came of it to a person or to a program."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from carbjax._errors import ConfigError
from carbjax._runtime import enable_compilation_cache, set_precision
from carbjax._settings.evaluation import EvaluationSettings
from carbjax._settings.sections import TraceSettings

if TYPE_CHECKING:
    from carbjax._criteria.evaluation import Evaluation

_WIDTH_WITHOUT_TERMINAL = 140
_MOST_FLAGS = 20


def evaluate_and_show(
    settings: EvaluationSettings,
    config: str,
    *,
    out: str | None,
    fresh: bool,
    bits: int,
    use_cache: bool,
    as_json: bool,
) -> None:
    """Nothing; the results are written, and summed up on standard output."""
    folder = out or settings.output.out
    if folder is None:
        raise ConfigError(
            "`output.out` is missing.", file=config, hint="Give it, or --out FOLDER."
        )
    set_precision(bits)
    if use_cache:
        enable_compilation_cache()
    # Imported here: precision must be set before anything makes an array.
    from carbjax._cli.progress import progress

    start = time.perf_counter()
    with progress(3) as advance:
        found = _carry_out(settings, folder, fresh, advance)
    seconds = time.perf_counter() - start
    if as_json:
        answer = _answer(found, folder, seconds)
        click.echo(json.dumps(answer, indent=2, allow_nan=False))
    else:
        _print(found, folder, seconds)


def _carry_out(
    settings: EvaluationSettings, folder: str, fresh: bool, advance
) -> "Evaluation":
    from carbjax._cli.method_files import load_methods
    from carbjax._cli.pipeline import read_workload
    from carbjax._cli.wording import about_trace
    from carbjax._criteria.cuts import cut_workloads
    from carbjax._criteria.evaluation import evaluate
    from carbjax._serving.configuration import make_system

    asked, wanted = settings.evaluation, settings.workloads
    advance("Reading methods and the trace")
    sources = load_methods(asked.method_files)
    trace = TraceSettings(
        path=wanted.trace, format=wanted.format, tz=wanted.tz, epoch=wanted.epoch
    )
    with about_trace(wanted.trace):
        requests = read_workload(trace)
        advance("Loading the system")
        system = make_system(settings.system)
        cuts = cut_workloads(
            requests.workload,
            wanted.count,
            num_requests=wanted.requests,
            loads=wanted.loads,
            seed=asked.seed,
        )
        advance("Evaluating")
        return evaluate(
            asked.methods,
            workloads=cuts,
            system=system,
            criteria=asked.criteria,
            eps=asked.eps,
            estimators=asked.estimators,
            alpha=asked.alpha,
            repeats=asked.repeats,
            level=asked.level,
            seed=asked.seed,
            out=folder,
            fresh=fresh,
            limit_s=asked.limit_s,
            workers=asked.workers,
            sources=sources,
            configuration=settings.model_dump(mode="json", by_alias=True),
        )


def _print(found: "Evaluation", folder: str, seconds: float) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    console.print(found.table())
    flags = found.flags[:_MOST_FLAGS]
    lines = [f"Note: {flag}" for flag in flags]
    if len(found.flags) > len(flags):
        lines.append(f"and {len(found.flags) - len(flags)} notes more")
    lines += [f"Wrote {folder}. See it with: carbjax report {folder}"]
    for line in [*lines, f"Took {seconds:.1f} s."]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _answer(found: "Evaluation", folder: str, seconds: float) -> Mapping[str, Any]:
    """Plain data; numbers that are infinite are text, unknown ones null."""
    from carbjax._criteria.evaluation_store import plain

    return plain(
        {
            **found.information,
            "summary": found.summary.to_pylist(),
            "examples": found.examples,
            "out": folder,
            "took_s": round(seconds, 3),
        }
    )
