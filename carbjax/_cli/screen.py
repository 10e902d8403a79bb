"""An outcome on one screen."""

from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from carbjax._carbon.emissions import COMPONENTS
from carbjax._cli.pipeline import Outcome
from carbjax._cli.sample import is_sample
from carbjax._ledger import player_labels, players_are_requests, tokens_of_players
from carbjax._units import JOULES_PER_WH

_TOP = 10
_DIGITS = 4
_WIDTH_WITHOUT_TERMINAL = 1000  # nothing is cut where another program reads


def print_outcome(outcome: Outcome) -> None:
    """Nothing; prints the largest shares, totals by component, and what was written."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    for line in _heading(outcome):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    _print_table(console, outcome)
    for line in _footnotes(outcome):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _heading(outcome: Outcome) -> list[str]:
    settings, workload = outcome.settings, outcome.workload
    system = settings.system
    sample = " (made up, ships with carbjax)" if is_sample(settings.trace.path) else ""
    count = f"{workload.num_requests} requests"
    if not players_are_requests(workload):
        count += f" of {workload.num_players} tenants"
    return [
        f"{settings.trace.path}{sample}: {count}",
        f"{system.model} on {system.tensor_parallel} x {system.accelerator}, "
        f"{system.policy}, {system.provisioning}, PUE {system.pue:g}, "
        f"{_intensity(outcome)}",
    ]


def _intensity(outcome: Outcome) -> str:
    intensity = outcome.intensity
    if intensity.is_constant:
        return intensity.name
    return f"{intensity.name or intensity.source} ({intensity.kind})"


def _print_table(console: Console, outcome: Outcome) -> None:
    """Nothing; a terminal too narrow for all columns gets those that fit, whole."""
    unbounded = console.options.update(max_width=_WIDTH_WITHOUT_TERMINAL)
    for parts in (COMPONENTS, ()):
        table = _table(outcome, parts)
        if Measurement.get(console, unbounded, table).maximum <= console.width:
            break
    console.print(table)
    if parts != COMPONENTS:
        console.print(f"A wider terminal shows {', '.join(COMPONENTS)} apart.")


def _table(outcome: Outcome, parts: tuple[str, ...]) -> Table:
    """The rows, with these components in columns of their own."""
    found = outcome.attribution
    player = "request" if players_are_requests(outcome.workload) else "tenant"
    table = Table(
        title=f"gCO2e by {player}, method {found.method}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column(player, overflow="fold")  # the first to give way
    for name in ("prompt", "decode", *(f"{c} g" for c in parts), "total g", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = _rows(outcome)
    # So that the largest share is told apart, however small beside the total.
    decimals = _decimals(rows[0].grams[-1])
    percent_decimals = max(1, _decimals(100 * _ratio(rows[0].grams[-1], found.total)) - 2)
    for row in rows:
        grams = (*row.grams[: len(parts)], row.grams[-1])
        table.add_row(
            row.name,
            *(f"{tokens:,}" for tokens in row.tokens),
            *(f"{g:z.{decimals}f}" for g in grams),
            f"{_ratio(row.grams[-1], found.total):z.{percent_decimals}%}",
            end_section=row.ends_section,
        )
    return table


class _Row(NamedTuple):
    name: str
    tokens: tuple[int, int]  # prompt, decode
    grams: tuple[float, ...]  # each component, and their sum
    ends_section: bool = False


def _rows(outcome: Outcome) -> list[_Row]:
    """The largest shares, all others together, what nobody was charged, and the total."""
    found, workload = outcome.attribution, outcome.workload
    labels = player_labels(workload)
    order = np.argsort(-found.shares, kind="stable")
    prompt, decode = tokens_of_players(workload)

    def together(name: str, players: np.ndarray, ends_section: bool = False) -> _Row:
        parts = [found.components[c][players].sum() for c in COMPONENTS]
        tokens = int(prompt[players].sum()), int(decode[players].sum())
        return _Row(name, tokens, (*parts, sum(parts)), ends_section)

    rows = [together(labels[i], order[[k]]) for k, i in enumerate(order[:_TOP])]
    others = order[_TOP:]
    if len(others):
        rows.append(together(f"{len(others)} others", others))
    rest = tuple(found.unattributed_components[c] for c in COMPONENTS)
    left = _Row("unattributed", (0, 0), (*rest, found.unattributed), ends_section=True)
    served = together("", order)
    total = [a + b for a, b in zip(served.grams, left.grams, strict=True)]
    return [*rows, left, _Row("total", served.tokens, tuple(total))]


def _decimals(largest: float) -> int:
    """Decimals that show the largest value with `_DIGITS` digits."""
    if not largest > 0:
        return 0
    return max(0, _DIGITS - 1 - int(np.floor(np.log10(largest))))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _footnotes(outcome: Outcome) -> list[str]:
    found, output = outcome.attribution, outcome.settings.output
    total = {
        name: float(found.components[name].sum()) + found.unattributed_components[name]
        for name in ("idle", "embodied")
    }
    parts = ", ".join(
        f"{name} {grams:.4g} g ({_ratio(grams, found.total):.0%})"
        for name, grams in total.items()
    )
    idle = outcome.settings.attribution.idle
    spread = "left unattributed" if idle == "unattributed" else f"spread by {idle}"
    flags = [flag for flag in found.flags if flag != f"idle {spread}"]  # said above them
    energy_j = found.energy_j.sum() + found.unattributed_energy_j
    lines = [
        f"Electricity: {energy_j / JOULES_PER_WH:.4g} Wh at the site's meter.",
        f"Of the total: {parts}; the machine's share is {spread}.",
        f"Shares and unattributed miss the total by {found.residual:.1e} g.",
        *(f"Note: {flag}" for flag in flags),
        *(f"Wrote {path}" for path in (output.out, output.figure) if path is not None),
    ]
    return [*lines, f"Took {outcome.seconds:.1f} s."]
