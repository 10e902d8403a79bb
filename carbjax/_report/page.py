"""One HTML file that holds everything it shows."""

import base64
import datetime as dt
import hashlib
import json
import math
import os
import pathlib
from typing import Any

from carbjax._errors import ConfigError
from carbjax._files import replacing, require_writable
from carbjax._report.axioms import axioms_table, examples_by_method
from carbjax._report.fairness import distance_chart, fairness_table
from carbjax._report.incentives import reward_panels, rewards_table
from carbjax._report.others import other_numbers
from carbjax._report.reading import read_evaluation
from carbjax._report.record import CRITERIA, Evaluation
from carbjax._report.refusals import reasons_of, remarks_of
from carbjax._report.samples import samples_charts, samples_table
from carbjax._report.scalability import cost_panels, growth_table
from carbjax._report.summary import summary_table
from carbjax._report.verdict import verdict
from carbjax._report.wording import clean, pieces, plain

PAGE_SUFFIXES = (".html", ".htm")
_PARTS = pathlib.Path(__file__).parent / "page"


def write_report(
    results: str | os.PathLike[str], out: str | os.PathLike[str] | None = None
) -> pathlib.Path:
    """Where the page stands: `out`, by default report.html in the folder `results`.

    `results` is what `carbjax evaluate` wrote. The page needs no other file and no
    network. Raises `InputError` where the folder cannot be read, `OutputError` where
    the page cannot be written, `ConfigError` without Jinja2 (`carbjax[report]`).
    """
    evaluation = read_evaluation(results)
    path = pathlib.Path(results) / "report.html" if out is None else pathlib.Path(out)
    require_writable(path, PAGE_SUFFIXES)
    page = render(evaluation)
    with replacing(path) as temporary:
        temporary.write_text(page, "utf-8")
    return path


def render(evaluation: Evaluation) -> str:
    """The page of an evaluation, as HTML. Raises `ConfigError` without Jinja2."""
    style, script = ((_PARTS / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return (
        _environment()
        .get_template("page.html")
        .render(
            style=style,
            script=script,
            # Nothing but this script runs, even if a name should slip through unescaped.
            script_hash=_hash(script),
            style_hash=_hash(style),
            **_contents(evaluation),
        )
    )


def _contents(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "about": evaluation.about,
        "finished": _day(evaluation.about.finished_at),
        "configuration": _json(evaluation.about.configuration),
        "system": _system(evaluation.about.system),
        "num_methods": len(evaluation.judged),
        "evaluated": {n.criterion for n in evaluation.numbers},
        "verdict": verdict(evaluation),
        "summary": summary_table(evaluation),
        "distances": distance_chart(evaluation),
        "fairness": fairness_table(evaluation),
        "axioms": axioms_table(evaluation),
        "examples": examples_by_method(evaluation),
        "growth": growth_table(evaluation),
        "has_scaling": evaluation.scaling is not None,
        "costs": cost_panels(evaluation),
        "samples": samples_table(evaluation),
        "sample_charts": samples_charts(evaluation),
        "rewards": rewards_table(evaluation),
        "has_curves": evaluation.curves is not None,
        "curves": reward_panels(evaluation),
        "others": {c: other_numbers(evaluation, c) for c in CRITERIA},
        "remarks": {c: remarks_of(evaluation, c) for c in CRITERIA},
        "refused": reasons_of(evaluation, "refused"),
        "inapplicable": reasons_of(evaluation, "not_applicable"),
    }


def _environment() -> Any:
    try:
        import jinja2
    except ImportError:
        raise ConfigError(
            "the report needs Jinja2, which is not installed.",
            hint='Install it with `pip install "carbjax[report]"`.',
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PARTS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = lambda v: plain(math.nan if v is None else v)
    environment.filters["pieces"] = pieces
    environment.filters["order"] = _order
    return environment


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _order(value: float | None) -> str:
    """What JavaScript's Number reads; nothing for None."""
    if value is None:
        return ""
    return repr(value).replace("inf", "Infinity")


def _day(stamp: str | None) -> str | None:
    """The instant in UTC for people; as it stands where it is no ISO stamp."""
    if stamp is None:
        return None
    try:
        instant = dt.datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    instant = instant.replace(tzinfo=instant.tzinfo or dt.UTC).astimezone(dt.UTC)
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def _system(system: Any) -> str:
    if isinstance(system, dict):
        return ", ".join(f"{key} {value}" for key, value in system.items())
    return "" if system is None else str(system)


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, default=str)
