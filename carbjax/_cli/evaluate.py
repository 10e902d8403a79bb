"""`carbjax evaluate`: methods against criteria, as a configuration file says."""

import click

from carbjax._cli.options import json_option, runtime_options
from carbjax._settings.evaluation import read_evaluation


@click.command("evaluate")
@click.argument("config")
@click.option("--out", metavar="FOLDER", help="Where results go, in place of [output] out.")
@click.option(
    "--resume/--fresh",
    default=True,
    show_default=True,
    help="Take finished tasks from the folder, or start anew.",
)
@runtime_options
@json_option
def command(
    config: str,
    out: str | None,
    resume: bool,
    precision: str,
    no_compilation_cache: bool,
    as_json: bool,
) -> None:
    """Judge attribution methods by the four criteria, as CONFIG, a TOML file, says.

    It has the tables [evaluation], [workloads], [system] and [output]. Results are
    written to a folder that `carbjax report` reads; an evaluation that was interrupted
    goes on from there. A method that cannot be judged is reported, and the others go on.

    \b
    Example:
      carbjax evaluate configs/evaluation.toml --out results

    \b
      [evaluation]
      methods = ["streaming", "tokens", "mine"]   # default: all
      method_files = ["mine.py"]                  # calls carbjax.register_method
      [workloads]
      trace = "sample"
      count = 4
      requests = 8
      [system]
      accelerator = "h100-sxm"
      [output]
      out = "results"
    """
    settings = read_evaluation(config)
    from carbjax._cli.evaluating import evaluate_and_show

    evaluate_and_show(
        settings,
        config,
        out=out,
        fresh=not resume,
        bits=int(precision),
        use_cache=not no_compilation_cache,
        as_json=as_json,
    )
