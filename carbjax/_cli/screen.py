"""An outcome on one screen."""

import numpy as np
from rich.console import Console
from rich.table import Table

from carbjax._carbon.emissions import COMPONENTS
from carbjax._cli.pipeline import Outcome
from carbjax._cli.sample import is_sample
from carbjax._ledger import player_labels, players_are_requests, tokens_of_players
from carbjax._units import JOULES_PER_WH

_TOP = 10
_DIGITS = 4
_WIDTH_WITHOUT_TERMINAL = 100


def print_outcome(outcome: Outcome) -> None:
    """Nothing; prints the largest shares, totals by component, and what was written."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    for line in _heading(outcome):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(_table(outcome))
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


def _table(outcome: Outcome) -> Table:
    found = outcome.attribution
    player = "request" if players_are_requests(outcome.workload) else "tenant"
    table = Table(title=f"Who is responsible (gCO2e, method {found.method})")
    table.add_column(player, no_wrap=True)
    for name in ("prompt", "decode", "Wh", *COMPONENTS, "total", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = _rows(outcome)
    names, values = [name for name, _ in rows], np.array([row for _, row in rows])
    tokens, amounts = values[:, :2], values[:, 2:]
    decimals = _decimals(amounts[:, -1].max())
    wh_decimals = _decimals(amounts[:, 0].max())
    for i, name in enumerate(names):
        if i in (len(names) - 1, len(names) - 2):
            table.add_section()
        share = 100 * amounts[i, -1] / found.total if found.total else 0.0
        table.add_row(
            name,
            *(f"{count:,.0f}" for count in tokens[i]),
            f"{amounts[i, 0]:.{wh_decimals}f}",
            *(f"{grams:.{decimals}f}" for grams in amounts[i, 1:]),
            f"{share:.1f}%",
        )
    return table


def _rows(outcome: Outcome) -> list[tuple[str, np.ndarray]]:
    """Name; prompt, decode, Wh, each component and the total, of each line shown."""
    found, workload = outcome.attribution, outcome.workload
    columns = [
        *tokens_of_players(workload),
        found.energy_j / JOULES_PER_WH,
        *(found.components[name] for name in COMPONENTS),
        found.shares,
    ]
    each = np.stack([np.asarray(column, float) for column in columns], axis=1)
    order = np.argsort(-found.shares, kind="stable")
    labels = player_labels(workload)
    rows = [(labels[i], each[i]) for i in order[:_TOP]]
    others = order[_TOP:]
    if len(others):
        rows.append((f"{len(others)} others", each[others].sum(axis=0)))
    rest = found.unattributed_components
    left = np.array(
        [
            0,
            0,
            found.unattributed_energy_j / JOULES_PER_WH,
            *(rest[name] for name in COMPONENTS),
            found.unattributed,
        ]
    )
    return [*rows, ("unattributed", left), ("total", each.sum(axis=0) + left)]


def _decimals(largest: float) -> int:
    """Decimals that show the largest value with `_DIGITS` digits."""
    if not largest > 0:
        return 0
    return max(0, _DIGITS - 1 - int(np.floor(np.log10(largest))))


def _footnotes(outcome: Outcome) -> list[str]:
    found, output = outcome.attribution, outcome.settings.output
    total = {
        name: float(found.components[name].sum()) + found.unattributed_components[name]
        for name in ("idle", "embodied")
    }
    parts = ", ".join(
        f"{name} {grams:.4g} g ({grams / found.total:.0%})" if found.total else name
        for name, grams in total.items()
    )
    idle = outcome.settings.attribution.idle
    spread = "left unattributed" if idle == "unattributed" else f"spread by {idle}"
    lines = [
        f"Of the total: {parts}; the machine's share is {spread}.",
        f"Shares and unattributed miss the total by {found.residual:.1e} g.",
        *(f"Note: {flag}" for flag in found.flags),
        *(f"Wrote {path}" for path in (output.out, output.figure) if path is not None),
    ]
    return [*lines, f"Took {outcome.seconds:.1f} s."]
