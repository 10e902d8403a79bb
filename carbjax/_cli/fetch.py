"""`carbjax fetch`: public data sets by name, with their licences."""

import json
from typing import TYPE_CHECKING

import click

from carbjax._cli.options import json_option

if TYPE_CHECKING:
    from carbjax._datasets import DataSet, Fetched


@click.command("fetch")
@click.argument("name", required=False)
@click.option("--offline", is_flag=True, help="Use the mirror and the cache alone.")
@click.option(
    "--cache", metavar="FOLDER", help="Keep downloads there. [default: the user's cache]"
)
@json_option
def command(name: str | None, offline: bool, cache: str | None, as_json: bool) -> None:
    """Bring the public data set NAME onto this machine, and print where it lies.

    Without NAME the sets are listed. Each file is of a fixed commit and has its checksum
    tested. Files in the folder CARBJAX_DATA are used before any is downloaded.

    \b
    Examples:
      carbjax fetch
      carbjax fetch azure-2023
      carbjax fetch electricity-maps --offline --json
    """
    from carbjax._datasets import DATA_SETS, fetch

    if name is None:
        listed = [_facts(data_set) for data_set in DATA_SETS.values()]
        click.echo(json.dumps(listed, indent=2) if as_json else _listing(listed))
        return
    from carbjax._cli.progress import progress

    with progress(1) as advance:
        advance(f"Fetching {name}")
        found = fetch(name, offline=offline, cache=cache)
    if as_json:
        click.echo(json.dumps(_answer(found), indent=2))
    else:
        click.echo("\n".join(_lines(found)))


def _facts(data_set: "DataSet") -> dict[str, object]:
    sizes = [file.size for file in data_set.files]
    return {
        "name": data_set.name,
        "about": data_set.about,
        "licence": data_set.licence,
        "cite": data_set.cite,
        "source": f"https://github.com/{data_set.repository}/tree/{data_set.commit}",
        "note": data_set.note,
        "num_files": len(sizes),
        "bytes": None if None in sizes else sum(size for size in sizes if size),
    }


def _answer(found: "Fetched") -> dict[str, object]:
    paths = {name: str(path) for name, path in found.paths.items()}
    return {**_facts(found.data_set), "origin": found.origin, "paths": paths}


def _listing(listed: list[dict[str, object]]) -> str:
    lines = []
    for facts in listed:
        size = facts["bytes"]
        shown = f"{size / 1e6:.1f} MB" if isinstance(size, int) else "size not known"
        lines += [
            f"{facts['name']} ({facts['num_files']} files, {shown})",
            f"  {facts['about']}",
            f"  licence: {facts['licence']}",
        ]
    return "\n".join(lines)


def _lines(found: "Fetched") -> list[str]:
    facts = _facts(found.data_set)
    return [
        *(str(path) for path in found.paths.values()),
        f"  from the {found.origin}; {facts['source']}",
        f"  licence: {facts['licence']}",
        f"  cite: {facts['cite']}",
        *([f"  note: {facts['note']}"] if facts["note"] else []),
    ]
