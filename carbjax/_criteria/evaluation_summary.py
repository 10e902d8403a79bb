"""One line a method: what each criterion says of it."""

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from rich import box
from rich.table import Table

from carbjax._criteria.evaluation_rows import Row, to_table
from carbjax._criteria.evaluation_scaling import LETTERS

_NUMBERS = (
    "relative",
    "relative_lower",
    "relative_upper",
    "kendall_tau",
    "num_broken",
    "worst_relative",
    *(f"exponent_{letter}" for letter in LETTERS.values()),
)
_TEXTS = ("method", "status", "reason", "broken", "verdict")
_REWARDS = ("R_prompt", "R_decode", "padding_rewarded")


def summarise(rows: Sequence[Row], methods: Sequence[str], eps: Sequence[str]) -> pa.Table:
    """A row a method: `method` and `status`, then what the criteria found.

    - `relative`, with the ends of its interval, and `kendall_tau`: medians.
    - `broken`: the axioms that it breaks; `num_broken`; `worst_relative`: the largest
      gap in mean shares.
    - `verdict`, and `exponent_C`, `_I`, `_t`, `_R`.
    - `N_5%` and so on for each eps; `R_prompt`, `R_decode`, `padding_rewarded`.

    Unknown is null. `status` is "refused" where no criterion could judge the method, and
    "partly" where some could not; `reason` has the first of the reasons.
    """
    columns = (*_TEXTS, *_NUMBERS, *(f"N_{label}" for label in eps), *_REWARDS)
    lines = [_line(rows, name, eps) for name in methods]
    schema = pa.schema(
        [(name, pa.string() if name in _TEXTS else pa.float64()) for name in columns]
    )
    return to_table(lines, schema)


def _line(rows: Sequence[Row], name: str, eps: Sequence[str]) -> dict[str, Any]:
    mine = [row for row in rows if row.method == name and row.workload is None]
    good = {(row.quantity, row.group): row for row in mine if row.status == "ok"}
    bad = [row for row in mine if row.status == "refused"]

    def value(quantity: str, group: str | None = None) -> float | None:
        found = good.get((quantity, group))
        return None if found is None else found.value

    distance = good.get(("relative", None))
    broken = [g for (q, g), row in good.items() if q == "broken" and row.value and g]
    gaps = [row.value for (q, _), row in good.items() if q == "violation_relative"]
    verdict = good.get(("polynomial", None))
    return {
        "method": name,
        "status": "ok" if not bad else "partly" if good else "refused",
        "reason": bad[0].reason if bad else None,
        "relative": value("relative"),
        "relative_lower": None if distance is None else distance.lower,
        "relative_upper": None if distance is None else distance.upper,
        "kendall_tau": value("kendall_tau"),
        "num_broken": value("num_broken"),
        "broken": ", ".join(broken) if gaps else None,
        "worst_relative": max((gap for gap in gaps if gap is not None), default=None),
        "verdict": None if verdict is None else verdict.reason,
        **{f"exponent_{k}": value("exponent", k) for k in LETTERS.values()},
        **{f"N_{label}": value("N_eps", label) for label in eps},
        **{name: value(name) for name in _REWARDS},
    }


def screen(summary: pa.Table, title: str) -> Table:
    """The summary for a terminal, nearest to the truth first."""
    eps = [name for name in summary.column_names if name.startswith("N_")]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("method", no_wrap=True)
    for heading in (
        "distance %",
        "tau",
        "axioms broken",
        "worst gap %",
        "growth C/I/t/R",
        *eps,
        "R_prompt",
        "R_decode",
    ):
        table.add_column(heading, justify="right")
    for line in sorted(summary.to_pylist(), key=_rank):
        table.add_row(*_cells(line, eps))
    return table


def _rank(line: dict[str, Any]) -> tuple[bool, float]:
    return line["relative"] is None, line["relative"] or 0.0


def _cells(line: dict[str, Any], eps: list[str]) -> list[str]:
    if line["status"] == "refused":
        return [line["method"], "refused", *[""] * (7 + len(eps))]
    growth = [_text(line[f"exponent_{k}"], ".1f") for k in LETTERS.values()]
    return [
        line["method"],
        _span(line),
        _text(line["kendall_tau"], ".2f"),
        _text(line["num_broken"], ".0f"),
        _percent(line["worst_relative"]),
        " ".join(growth),
        *(_text(line[name], ".0f") for name in eps),
        _text(line["R_prompt"], ".3f"),
        _text(line["R_decode"], ".3f"),
    ]


def _span(line: dict[str, Any]) -> str:
    ends = [_percent(line[f"relative_{end}"]) for end in ("lower", "upper")]
    middle = _percent(line["relative"])
    return middle if "-" in ends else f"{middle} ({ends[0]} to {ends[1]})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g}"


def _text(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return "never" if math.isinf(value) else f"{value:{form}}"
