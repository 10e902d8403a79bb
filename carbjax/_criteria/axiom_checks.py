"""What each axiom asks of a method, measured on one small workload.

Every check takes the bench and the players' requests, and returns the gap, or None where
the axiom says nothing of them.
"""

import numpy as np

from carbjax._criteria.axiom_bench import Bench, Run, largest_gap
from carbjax._criteria.axiom_parts import (
    by_fleet,
    by_iterations,
    by_phases,
    by_traces,
)
from carbjax._criteria.shrink import Gap
from carbjax._criteria.small_workloads import Request, Units


def gap_of(grams: float, run: Run, note: str = "") -> Gap:
    """The gap, relative to the mean share of the run."""
    relative = grams / run.scale_g if run.scale_g > 0 else float("inf") * (grams > 0)
    return Gap(grams, relative, note)


def efficiency(bench: Bench, units: Units) -> Gap | None:
    """|sum of the shares - (v(all) - v(none))|."""
    run = bench.run(units)
    shares = bench.charge(run).shares
    return gap_of(abs(float(shares.sum()) - run.net_g), run)


def closure(bench: Bench, units: Units) -> Gap | None:
    """|sum of the shares + unattributed - v(all)|."""
    run = bench.run(units)
    found = bench.charge(run)
    added = float(found.shares.sum()) + found.unattributed
    return gap_of(abs(added - run.timeline.carbon_g), run)


def null_player(bench: Bench, units: Units) -> Gap | None:
    """What a request without tokens is charged."""
    run = bench.run(with_null(units))
    return gap_of(abs(float(bench.charge(run).shares[-1])), run)


def symmetry(bench: Bench, units: Units) -> Gap | None:
    """How much two players with equal requests, next to each other, differ."""
    run = bench.run(with_twin(units))
    shares = bench.charge(run).shares
    return gap_of(abs(float(shares[0] - shares[1])), run)


def phases(bench: Bench, units: Units) -> Gap | None:
    """Prefill and decode attributed apart and added up, against both together."""
    return _linear(bench, bench.run(units), by_phases)


def iterations(bench: Bench, units: Units) -> Gap | None:
    """Iterations attributed apart and added up, against the trace."""
    return _linear(bench, bench.run(units), by_iterations)


def split_traces(bench: Bench, units: Units) -> Gap | None:
    """Two halves far apart in time attributed apart, against both in one trace."""
    whole, apart = by_traces(bench, units)
    return gap_of(largest_gap(bench.charge(whole).shares, apart), whole)


def fleet(bench: Bench, units: Units) -> Gap | None:
    """Two servers on different grids attributed apart, against both together.

    None for a method that serves one workload on one system by itself: its bill of a
    fleet is the sum over the servers.
    """
    found = by_fleet(bench, units)
    if found is None:
        return None
    together, apart, run = found
    return gap_of(largest_gap(together, apart), run)


def with_null(units: Units) -> Units:
    """One more player, who asks for nothing, in the middle of the others."""
    middle = float(np.median([r.arrival_s for unit in units for r in unit]))
    return (*units, (Request(middle, 0, 0),))


def with_twin(units: Units) -> Units:
    """The first player twice."""
    return (units[0], *units)


def _linear(bench: Bench, run: Run, parts) -> Gap | None:
    found = parts(bench, run)
    if found is None:
        return None
    together, apart, note = found
    return gap_of(largest_gap(together, apart), run, note)
