"""Which axioms a method breaks, by how much, and the smallest example that shows it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._attribution.methods import Method
from carbjax._criteria import axiom_checks as checks
from carbjax._criteria.axiom_bench import EPOCH, Bench, Refused
from carbjax._criteria.axiom_games import GameViolation, check_games
from carbjax._criteria.guard import Refusal, name_of, run_guarded
from carbjax._criteria.shrink import Gap, shrink
from carbjax._criteria.small_workloads import (
    Units,
    random_units,
    size_of,
    to_workload,
    units_of,
)
from carbjax._progress import report
from carbjax._serving.system import System
from carbjax._workload import Workload

_PLAYERS = 3
_TOLERANCE = 1e-4

Check = Callable[[Bench, Units], Gap | None]
AXIOMS: Mapping[str, Check] = {
    "null_player": checks.null_player,
    "symmetry": checks.symmetry,
    "efficiency": checks.efficiency,
    "closure": checks.closure,
    "linearity_phases": checks.phases,
    "linearity_iterations": checks.iterations,
    "linearity_traces": checks.split_traces,
    "linearity_fleet": checks.fleet,
}
_FEWEST = {"linearity_traces": 2}
# What the reader of the example sees beside the players themselves.
_DRESSED = {"null_player": checks.with_null, "symmetry": checks.with_twin}


@dataclasses.dataclass(frozen=True)
class Violation:
    """By how much an axiom is broken at most, and where.

    - `grams`: the largest gap over the workloads, gCO2e; NaN where none could be judged.
    - `relative`: the largest gap in mean shares of its workload, NaN likewise.
    - `broken`: whether that is above the tolerance.
    - `num_workloads`: judged.
    - `example`, `example_gap`: the smallest workload found that shows it, and its gap.
    - `note`: how the whole was cut, or why nothing was judged.
    """

    axiom: str
    grams: float
    relative: float
    broken: bool
    num_workloads: int
    example: Workload | None = None
    example_gap: Gap | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class AxiomReport:
    """What a method breaks. `refusal` says why where it cannot be judged at all.

    `route` is what the method looks at: "game", "timeline" or "run". `games` holds the
    gaps on random games where a game is enough for it.
    """

    method: str
    route: str | None
    violations: Mapping[str, Violation]
    games: Mapping[str, GameViolation]
    refusal: Refusal | None = None

    @property
    def broken(self) -> tuple[str, ...]:
        """The axioms that the method breaks."""
        found = [name for name, v in self.violations.items() if v.broken]
        return tuple(found)

    def __getitem__(self, axiom: str) -> Violation:
        return self.violations[axiom]

    def __str__(self) -> str:
        if self.refusal is not None:
            return str(self.refusal)
        rows = [f"{self.method} (goes by the {self.route})"]
        for name, v in self.violations.items():
            verdict = "broken" if v.broken else "kept" if v.num_workloads else "-"
            rows.append(f"  {name:22}{verdict:8}{v.grams:10.3g} g  {v.note}")
        return "\n".join(rows)


def check_axioms(
    method: str | Method,
    *,
    system: System | None = None,
    workloads: Sequence[Workload] | None = None,
    axioms: Sequence[str] = tuple(AXIOMS),
    num_workloads: int = 4,
    tolerance: float = _TOLERANCE,
    seed: int = 0,
    key: PRNGKeyArray | None = None,
) -> AxiomReport:
    """The axioms that the method breaks, in gCO2e, each with a small example.

    - `method`: a name of `carbjax.methods()`, or a callable of the same protocol.
    - `system`: served on, `System.load()` by default; a grid whose intensity varies
      counts as its mean.
    - `workloads`: to look for gaps in; by default random ones of three players. Those of
      more than about ten players take long: games are tabulated.
    - `tolerance`: in mean shares; below it a gap is rounding.
    - `seed`: of the random workloads; `key`: for methods that sample.

    A method that raises, is not deterministic, or gives a wrong shape or NaN comes back
    with `refusal`. Where it raises on some workloads alone these are left out, and the
    note says so.
    """
    system = System.load() if system is None else system
    bench = Bench(method, system, key)
    refusal = _refusal(bench)
    if refusal is not None:
        return AxiomReport(name_of(method), None, {}, {}, refusal)
    found = {}
    for done, axiom in enumerate(axioms):
        pool = _pool(axiom, workloads, num_workloads, seed)
        found[axiom] = _check(bench, axiom, pool, tolerance)
        report("axioms", done + 1, len(axioms))
    games = check_games(bench, tolerance, seed) if bench.route == "game" else {}
    return AxiomReport(name_of(method), bench.route, found, games)


def _refusal(bench: Bench) -> Refusal | None:
    """What is wrong with the method before any axiom, on one ordinary workload."""
    run = bench.run(random_units(np.random.default_rng(0), _PLAYERS))
    found = run_guarded(
        bench.method,
        workload=run.workload,
        system=run.system,
        game=run.game,
        timeline=run.timeline,
        key=bench.key,
        closed=False,
    )
    return found if isinstance(found, Refusal) else None


def _pool(
    axiom: str, workloads: Sequence[Workload] | None, number: int, seed: int
) -> list[Units]:
    """The players' requests to try, two requests each where there are two servers."""
    if workloads is not None:
        return [units_of(workload) for workload in workloads]
    rng = np.random.default_rng(seed)
    each = 2 if axiom == "linearity_fleet" else 1
    return [random_units(rng, _PLAYERS, each) for _ in range(number)]


def _check(bench: Bench, axiom: str, pool: list[Units], tolerance: float) -> Violation:
    """The worst of the pool, made smaller."""
    reasons: list[str] = []

    def measure(units: Units) -> Gap | None:
        try:
            return AXIOMS[axiom](bench, units)
        except Refused as refused:
            reasons.append(refused.refusal.reason)
            return None

    gaps = [(gap, units) for units in pool if (gap := measure(units)) is not None]
    note = f"{len(reasons)} refused: {reasons[0]}" if reasons else ""
    if not gaps:
        return Violation(axiom, np.nan, np.nan, False, 0, note=note or _silence(axiom))
    grams = max(gap.grams for gap, _ in gaps)
    worst, units = max(gaps, key=lambda pair: (pair[0].relative, -size_of(pair[1])[1]))
    note = "; ".join(text for text in (worst.note, note) if text)
    broken = worst.relative > tolerance
    violation = Violation(axiom, grams, worst.relative, broken, len(gaps), note=note)
    if not broken:
        return violation
    fewest = _FEWEST.get(axiom, 1)
    units, gap = shrink(units, measure, worst, tolerance=tolerance, fewest=fewest)
    dress = _DRESSED.get(axiom, lambda same: same)
    example = to_workload(dress(units), EPOCH)
    return dataclasses.replace(violation, example=example, example_gap=gap)


def _silence(axiom: str) -> str:
    """Why an axiom says nothing of all the workloads."""
    if axiom == "linearity_fleet":
        return "serves each run by itself: bills of servers add up by construction"
    return "the workloads have nothing to cut in two"
