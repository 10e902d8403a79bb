"""`carbjax fit`: a system's parameters from the profiles of a GPU."""

import json
from typing import TYPE_CHECKING, Any

import click

from carbjax._cli.options import json_option, runtime_options

if TYPE_CHECKING:
    from carbjax._profiles.profile import Profile
    from carbjax._surrogate.surrogate import Surrogate

_STAGES = 3
_SUFFIX = ".json"
_WIDTH_WITHOUT_TERMINAL = 100


@click.command("fit")
@click.argument("profiles", metavar="PROFILE...", nargs=-1, required=True)
@click.option("--out", required=True, help="The parameter file to write, .json.")
@click.option("--accelerator", help="The GPU that was measured; default: that of --base.")
@click.option("--base", help="A shipped fit that fills in what the profiles lack.")
@click.option(
    "--figure",
    "figures",
    multiple=True,
    help="Points and curve of each operator, .png, .svg or .pdf; may be repeated.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the fits.")
@runtime_options
@json_option
def command(
    profiles: tuple[str, ...],
    out: str,
    accelerator: str | None,
    base: str | None,
    figures: tuple[str, ...],
    seed: int,
    precision: str,
    no_compilation_cache: bool,
    as_json: bool,
) -> None:
    """Fit the operators of a GPU to PROFILEs, and report errors on held-out rows.

    A PROFILE is a table of carbjax, Vidur, aiconfigurator or LLMServingSim. The parameter
    file is then a surrogate: `cj.System.load("h200-sxm", surrogate="system.json")`.

    \b
    Examples:
      carbjax fit profile.parquet --base h200-sxm --out system.json
      carbjax fit mlp.csv attention.csv --base a100-sxm --out a100.json --figure a100.png
    """
    from carbjax._runtime import enable_compilation_cache, set_precision

    set_precision(int(precision))
    if not no_compilation_cache:
        enable_compilation_cache()
    # Imported here: precision must be set before anything makes an array.
    from carbjax._cli.progress import progress
    from carbjax._fitting import fit_profile
    from carbjax._profiles import read_profile

    _require_outputs(out, figures)
    with progress(_STAGES) as advance:
        advance("Reading the profiles")
        profile = read_profile(profiles)
        advance("Fitting the operators")
        surrogate = fit_profile(profile, accelerator=accelerator, base=base, seed=seed)
        advance("Writing")
        surrogate.save(out)
        _draw(surrogate, profile, figures)
    if as_json:
        click.echo(json.dumps(_answer(surrogate, profile), indent=2, allow_nan=False))
    else:
        _print(surrogate, profile, (out, *figures))


def _require_outputs(out: str, figures: tuple[str, ...]) -> None:
    from carbjax._files import require_writable

    require_writable(out, (_SUFFIX,))
    if figures:
        # Matplotlib is slow to import, and few runs draw.
        from carbjax._plots import FIGURE_SUFFIXES

        for figure in figures:
            require_writable(figure, FIGURE_SUFFIXES)


def _draw(surrogate: "Surrogate", profile: "Profile", figures: tuple[str, ...]) -> None:
    if not figures:
        return
    from carbjax._fitting.series import series_of
    from carbjax._plots.operators import write_operator_figure

    title = f"{surrogate.name}: measured calls (points) and their fit (curves)"
    series = series_of(surrogate, profile)
    for figure in figures:
        write_operator_figure(series, figure, title)


def _print(surrogate: "Surrogate", profile: "Profile", written: tuple[str, ...]) -> None:
    from rich.console import Console

    from carbjax._fitting.report import from_dict

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    heading = f"{surrogate.name}, fitted to {profile.summary()}"
    console.print(heading, highlight=False, markup=False, soft_wrap=True)
    console.print(from_dict(surrogate.errors).table())
    notes = [f"Note: {remark}." for remark in surrogate.record["remarks"]]
    notes += [f"Wrote {path}" for path in written]
    console.print("\n".join(notes), highlight=False, markup=False, soft_wrap=True)


def _answer(surrogate: "Surrogate", profile: "Profile") -> dict[str, Any]:
    from carbjax._version import __version__

    told = ("accelerator", "seed", "rows", "errors", "uncertainty", "validity", "remarks")
    return {
        "carbjax": __version__,
        **{key: surrogate.record[key] for key in told},
        "quarantined": dict(profile.quarantined),
        "averaged": profile.averaged,
    }
