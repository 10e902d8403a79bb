"""The paper's two case studies (section 4.2), computed through the public interface.

    python -m experiments.case_studies

1. Leave-one-out does not divide what was emitted: most of it stays with the provider.
2. Token-based attribution contradicts itself: the same requests owe 7 T_a when they are
   accounted together, and 8.5 T_a when they are accounted part by part and added up.

The inputs of the first are the paper's. Those of the second are NOT: only its two
results were at hand, and the inputs below were reconstructed to have exactly these. T_a
is what the tokens of tenant a emit at 100 gCO2e/kWh.
"""

import datetime as dt
from typing import NamedTuple

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

import carbjax as cj  # noqa: E402

# v of nobody, of the first player, of the second, and of both, gCO2e.
LEAVE_ONE_OUT_GAME = (30.0, 40.0, 40.0, 42.0)

UNIT_INTENSITY = 100.0  # gCO2e/kWh, at which T_a is counted
HOURS = {"dirty": 1000.0, "clean": 400.0}  # gCO2e/kWh
TENANTS = ("a", "b")
# Who sends the requests of each hour. They are equal, and each is alone on the machine.
SENDERS = {"dirty": "aaab", "clean": "abbb"}
PROMPT_TOKENS, ANSWER_TOKENS = 500, 100
EPOCH = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
SECONDS_PER_HOUR, SECONDS_BETWEEN = 3600, 600
LINEARITY_METHODS = ("tokens", "shapley", "streaming")


class BothWays(NamedTuple):
    """What each tenant owes by one method, in T_a."""

    together: np.ndarray  # of all requests at once
    by_parts: np.ndarray  # hour by hour, added up


def main() -> None:
    cj.enable_compilation_cache()
    console = Console()
    console.print(leave_one_out_table())
    console.print(linearity_table({name: both_ways(name) for name in LINEARITY_METHODS}))


def attribute_table_game(method: str) -> cj.Attribution:
    """The first case study's carbon by one method."""
    return cj.methods()[method](cj.TableGame(np.array(LEAVE_ONE_OUT_GAME)))


def both_ways(method: str) -> BothWays:
    """The second case study by one method, together and by parts."""
    workload, system = two_hours(), grid_system()
    hour = workload.arrival_s // SECONDS_PER_HOUR
    parts = [workload.select(hour == i) for i in range(len(HOURS))]
    together = cj.attribute(workload, system, method).shares
    by_parts = [cj.attribute(part, system, method).shares for part in parts]
    return BothWays(together / unit_g(), np.sum(by_parts, axis=0) / unit_g())


def two_hours() -> cj.Workload:
    """Both tenants' requests, those of the dirty hour first."""
    senders = "".join(SENDERS[hour] for hour in HOURS)
    arrivals = np.array(
        [
            i * SECONDS_PER_HOUR + SECONDS_BETWEEN * (k + 1)
            for i, hour in enumerate(HOURS)
            for k in range(len(SENDERS[hour]))
        ]
    )
    return cj.Workload(
        arrivals,
        np.full(len(arrivals), PROMPT_TOKENS),
        np.full(len(arrivals), ANSWER_TOKENS),
        player=np.array([TENANTS.index(sender) for sender in senders]),
        epoch=EPOCH,
        player_names=TENANTS,
    )


def grid_system() -> cj.System:
    """A server on a grid that is dirty for one hour and clean for the next."""
    edges_s = EPOCH.timestamp() + SECONDS_PER_HOUR * np.arange(len(HOURS) + 1)
    values = np.array(list(HOURS.values()))
    return cj.System.load(carbon_intensity=cj.Intensity(edges_s, values))


def unit_g() -> float:
    """T_a in gCO2e: tenant a's requests alone, at `UNIT_INTENSITY`."""
    workload = two_hours()
    alone = workload.select(workload.player == TENANTS.index("a"))
    system = cj.System.load(carbon_intensity=UNIT_INTENSITY)
    return float(cj.attribute(alone, system, "tokens").shares.sum())


def leave_one_out_table() -> Table:
    nobody, first, second, both = LEAVE_ONE_OUT_GAME
    table = Table(
        title="1. Does it divide what was emitted? (gCO2e)\n"
        f"v(none) {nobody:g}, v(1) {first:g}, v(2) {second:g}, v(1, 2) {both:g}",
        title_justify="left",
    )
    for heading in ("method", "player 1", "player 2", "provider", "total"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for method in ("leave_one_out", "shapley"):
        found = attribute_table_game(method)
        amounts = (*found.shares, found.unattributed, found.total)
        table.add_row(method, *(f"{grams:.6g}" for grams in amounts))
    return table


def linearity_table(results: dict[str, BothWays]) -> Table:
    table = Table(
        title="2. Is the whole the sum of its parts? (T_a)\n"
        "Inputs reconstructed from the paper's two results.\n"
        + "\n".join(
            f"{hour} hour, {HOURS[hour]:g} gCO2e/kWh: requests of {', '.join(senders)}"
            for hour, senders in SENDERS.items()
        ),
        title_justify="left",
    )
    table.add_column("method")
    table.add_column("tenant")
    for heading in ("together", "hour by hour", "contradiction"):
        table.add_column(heading, justify="right")
    for method, (together, by_parts) in results.items():
        for tenant, whole, added in zip(TENANTS, together, by_parts, strict=True):
            # Rounding first: no sign in front of a contradiction of 1e-15.
            gap = round(float(added - whole), 9) + 0.0
            table.add_row(method, tenant, f"{whole:.6g}", f"{added:.6g}", f"{gap:.6g}")
    return table


if __name__ == "__main__":
    main()
