"""Shares as ranges: what is not known of the inputs, carried through to the bill."""

import dataclasses
from collections.abc import Mapping

import jax.random as jr
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from carbjax._attribution.attribute import attribute
from carbjax._attribution.attribution import Attribution
from carbjax._criteria.perturbed_cost import Factors, perturbed
from carbjax._criteria.uncertainties import Ends, Uncertainties, published_uncertainties
from carbjax._errors import InputError
from carbjax._progress import report
from carbjax._serving.system import System
from carbjax._surrogate.specialise import SpecialisedCost
from carbjax._workload import Workload

_ROUNDING = 1e-12
SOURCES = ("embodied", "pue", "intensity", "surrogate")

Shares = Float[np.ndarray, " players"]


@dataclasses.dataclass(frozen=True)
class SourceRange:
    """Quantiles of every player's share, gCO2e; `part` of the variance of all sources."""

    low: Shares
    median: Shares
    high: Shares
    part: Shares


@dataclasses.dataclass(frozen=True)
class ShareRanges:
    """Every player's share, and between what it lies at `level`, gCO2e.

    - `shares`, `unattributed`: with the inputs as they were given.
    - `low`, `median`, `high`: with all inputs drawn from their ranges.
    - `sources`: the same with one input alone drawn, by name of `SOURCES`. `part` is its
      variance over the sum of all sources': they act nearly apart, since shares are linear
      in intensity, PUE and embodied carbon.
    - `unattributed_low`, `unattributed_high`: of what nobody was charged for.
    """

    shares: Shares
    low: Shares
    median: Shares
    high: Shares
    unattributed: float
    unattributed_low: float
    unattributed_high: float
    sources: Mapping[str, SourceRange]
    level: float
    flags: tuple[str, ...]


def share_ranges(
    workload: Workload,
    system: System,
    method: str = "streaming",
    uncertainties: Uncertainties | None = None,
    *,
    idle: str = "unattributed",
    level: float = 0.9,
    num_draws: int = 4096,
    num_runs: int = 16,
    key: PRNGKeyArray | None = None,
) -> ShareRanges:
    """The method's shares with what is not known of embodied carbon, PUE, intensity, costs.

    - `method`, `idle`: as of `attribute`.
    - `uncertainties`: by default `published_uncertainties(system)`.
    - `level`: of the ranges, 5% a side at 0.9.
    - `num_draws`: of the inputs. Shares are linear in PUE, intensity and embodied carbon,
      so each draw is closed form.
    - `num_runs`: times that everything is served and attributed anew with other costs;
      every draw takes one of them.

    All players meet the same draw: what is uncertain is common to them. Raises
    `InputError`.
    """
    _require(level, num_draws, num_runs)
    if uncertainties is None:
        uncertainties = published_uncertainties(system)
    key = jr.key(0) if key is None else key
    rng = np.random.default_rng(np.asarray(jr.key_data(key)).tolist())
    found = attribute(workload, system, method, idle=idle, key=key)
    systems = _other_systems(system, uncertainties, num_runs, rng)
    bills = [_bill(found)]
    for done, other in enumerate(systems, start=1):
        bills.append(_bill(attribute(workload, other, method, idle=idle, key=key)))
        report("runs", done, len(systems))
    drawn = _draw(system, uncertainties, len(systems), num_draws, rng)
    return _summed_up(found, np.array(bills), drawn, level, uncertainties)


@dataclasses.dataclass(frozen=True)
class _Draws:
    """Multiples of the inputs, and which run was taken; 0 is the one as given."""

    embodied: Float[np.ndarray, " draws"]
    pue: Float[np.ndarray, " draws"]
    intensity: Float[np.ndarray, " draws"]
    run: Int[np.ndarray, " draws"]

    def only(self, source: str) -> "_Draws":
        """The draws with all other sources as given."""
        one, first = np.ones_like(self.pue), np.zeros_like(self.run)
        return _Draws(
            self.embodied if source == "embodied" else one,
            self.pue if source == "pue" else one,
            self.intensity if source == "intensity" else one,
            self.run if source == "surrogate" else first,
        )

    def bill(
        self, bills: Float[np.ndarray, "runs 2 payers"]
    ) -> Float[np.ndarray, "draws payers"]:
        operational, embodied = bills[self.run, 0], bills[self.run, 1]
        electricity = (self.pue * self.intensity)[:, None]
        return electricity * operational + self.embodied[:, None] * embodied


def _bill(found: Attribution) -> Float[np.ndarray, "2 payers"]:
    """Operational and embodied gCO2e of the players, then of nobody."""
    shares, rest = found.emissions, found.remainder
    return np.array(
        [
            np.append(shares.operational, rest.operational),
            np.append(shares.embodied, rest.embodied),
        ]
    )


def _draw(
    system: System,
    given: Uncertainties,
    num_runs: int,
    num_draws: int,
    rng: np.random.Generator,
) -> _Draws:
    def uniform(ends: Ends | None, known: float) -> Float[np.ndarray, " draws"]:
        low, high = (known, known) if ends is None else ends
        return rng.uniform(low, high, num_draws)

    gpu = system.accelerator
    server = gpu.server_embodied_carbon_kg / gpu.gpus_per_server
    made = server + uniform(given.embodied_kg, gpu.embodied_carbon_kg)
    years = uniform(given.lifetime_years, gpu.lifetime_years)
    rate = (server + gpu.embodied_carbon_kg) / gpu.lifetime_years
    return _Draws(
        embodied=made / years / rate if rate > 0 else np.ones(num_draws),
        pue=uniform(given.pue, system.pue) / system.pue,
        intensity=uniform(given.intensity, 1.0),
        run=rng.integers(1, num_runs + 1, num_draws)
        if num_runs
        else np.zeros(num_draws, int),
    )


def _other_systems(
    system: System, given: Uncertainties, num_runs: int, rng: np.random.Generator
) -> list[System]:
    """The system with its operators' costs drawn, in antithetic pairs."""
    if not given.operators or not isinstance(system.cost, SpecialisedCost):
        return []
    names = list(given.operators)
    sd = np.array([given.operators[name] for name in names])
    half = rng.standard_normal(((num_runs + 1) // 2, *sd.shape))
    normal = np.stack([half, -half], 1).reshape(-1, *sd.shape)[:num_runs]
    systems = []
    for factors in np.exp(sd * normal):
        by_name = {n: Factors(*f) for n, f in zip(names, factors.tolist(), strict=True)}
        cost = perturbed(system.cost, by_name)
        systems.append(dataclasses.replace(system, cost=cost))
    return systems


def _summed_up(
    found: Attribution,
    bills: Float[np.ndarray, "runs 2 payers"],
    drawn: _Draws,
    level: float,
    given: Uncertainties,
) -> ShareRanges:
    tails = (1 - level) / 2, 0.5, (1 + level) / 2
    low, median, high = np.quantile(drawn.bill(bills), tails, axis=0)
    alone = {source: drawn.only(source).bill(bills)[:, :-1] for source in SOURCES}
    variances = {source: values.var(axis=0) for source, values in alone.items()}
    whole = sum(variances.values())
    # Rounding is no range.
    known = whole <= (_ROUNDING * found.shares) ** 2
    safe = np.where(known, np.nan, whole)
    sources = {}
    for source, values in alone.items():
        least, middle, most = np.quantile(values, tails, axis=0)
        sources[source] = SourceRange(least, middle, most, variances[source] / safe)
    return ShareRanges(
        shares=found.shares,
        low=low[:-1],
        median=median[:-1],
        high=high[:-1],
        unattributed=found.unattributed,
        unattributed_low=float(low[-1]),
        unattributed_high=float(high[-1]),
        sources=sources,
        level=level,
        flags=(*found.flags, *given.flags),
    )


def _require(level: float, num_draws: int, num_runs: int) -> None:
    if not 0 < level < 1:
        raise InputError(f"`level` is {level}.", hint="Give a part, such as 0.9.")
    for name, number in (("num_draws", num_draws), ("num_runs", num_runs)):
        if number < 1:
            raise InputError(f"`{name}` is {number}.", hint="Give at least 1.")
