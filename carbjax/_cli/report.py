"""`carbjax report`: an evaluation as a page that can be sent to somebody."""

import json

import click

from carbjax._cli.options import json_option


@click.command("report")
@click.argument("results")
@click.option("--out", help="HTML file to write.  [default: report.html in RESULTS]")
@json_option
def command(results: str, out: str | None, as_json: bool) -> None:
    """Write one HTML page of what `carbjax evaluate` found.

    RESULTS is the folder that it wrote. The page holds its figures and needs no other
    file and no network. Needs Jinja2: `pip install "carbjax[report]"`.

    \b
    Examples:
      carbjax report results/evaluation
      carbjax report results/evaluation --out page.html
    """
    # Reading is slow to import, and `--help` needs none of it.
    from carbjax._report import write_report

    page = write_report(results, out)
    if as_json:
        click.echo(json.dumps({"page": str(page), "bytes": page.stat().st_size}, indent=2))
    else:
        click.echo(f"{page}: open it in any browser, or send it")
