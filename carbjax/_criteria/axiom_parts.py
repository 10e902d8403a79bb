"""A run as the sum of parts, for linearity: attributed apart and added up."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from carbjax._attribution.attribution import Attribution
from carbjax._carbon.emissions import COMPONENTS, Emissions
from carbjax._criteria.axiom_bench import FAR_S, Bench, Run, part_game, sum_games
from carbjax._criteria.iteration_parts import iteration_runs
from carbjax._criteria.small_workloads import Units, shifted
from carbjax._serving.serve import Timeline
from carbjax._workload import Workload

_APART_S = 60.0
_CLEAN = 0.25  # intensity of the other server's grid
_PHASE_COLUMNS = ((0,), (1,), (2, 3))  # prefill, decode, and the machine itself

Shares = Float[np.ndarray, " players"]


class Both(NamedTuple):
    """Shares of the whole, the parts' shares added up, and what the parts were."""

    together: Shares
    apart: Shares
    note: str


def by_phases(bench: Bench, run: Run) -> Both | None:
    """Prefill and decode. None where only one of them emits anything.

    A game is split by its components; a timeline into prompts until the first token and
    answers after it. Of a method that serves the workload itself the columns are held
    against those of v: the gap is what they miss, spread over nobody.
    """
    if run.game is not None and bench.route == "game":
        games = [part_game(run.game, columns) for columns in _PHASE_COLUMNS]
        parts = [bench.charge_game(game).shares for game in games if game is not None]
        whole = bench.charge_game(run.game).shares
        return Both(whole, np.sum(parts, axis=0), "components of the game")
    whole = bench.charge(run)
    if bench.route == "run":
        return _columns(whole)
    parts = [bench.charge(part).shares for part in _phase_runs(run)]
    return Both(whole.shares, np.sum(parts, axis=0), "timelines of the phases")


def by_iterations(bench: Bench, run: Run) -> Both | None:
    """Each iteration, or all before an instant and all after it.

    Emissions are linear in the intensity, so a grid that emits nothing after an instant
    and one that emits nothing before it make two runs of the same schedule that add up to
    the run. Methods that go by a timeline are given each iteration's own.
    """
    if bench.route == "timeline":
        parts = [bench.charge(part).shares for part in iteration_runs(run)]
        return Both(bench.charge(run).shares, np.sum(parts, axis=0), "iterations")
    when_s = _middle_s(run.timeline)
    if when_s is None:
        return None
    note = f"iterations before and after {when_s:.6g} s"
    systems = [
        bench.at(*g, when_s)
        for g in (
            (bench.intensity_g, bench.intensity_g),
            (bench.intensity_g, 0.0),
            (0.0, bench.intensity_g),
        )
    ]
    # What being there costs is in the first part alone.
    systems[2] = dataclasses.replace(systems[2], accelerator=_weightless(systems[2]))
    whole, *parts = (bench.charge(bench.rerun(run, s)).shares for s in systems)
    return Both(whole, np.sum(parts, axis=0), note)


def by_traces(bench: Bench, units: Units) -> tuple[Run, Shares]:
    """Both halves of the players in one trace, and their shares attributed apart."""
    half = (len(units) + 1) // 2
    first, second = bench.run(units[:half]), bench.run(units[half:])
    later = shifted(units[half:], first.timeline.end_s + _APART_S)
    apart = [bench.charge(part).shares for part in (first, second)]
    return bench.run(units[:half] + later), np.concatenate(apart)


def by_fleet(bench: Bench, units: Units) -> tuple[Shares, Shares, Run] | None:
    """Two servers with requests of every player on both.

    Each player's first half of requests is on one, the rest on the other; where somebody
    has but one request, all are on one, and the other serves everybody the next player's.
    """
    if bench.route == "run":
        return None
    if min(map(len, units)) > 1:
        near = tuple(unit[: (len(unit) + 1) // 2] for unit in units)
        far = tuple(unit[(len(unit) + 1) // 2 :] for unit in units)
    else:
        near, far = units, units[1:] + units[:1]
    clean = _CLEAN * bench.intensity_g
    system = bench.at(clean, clean, FAR_S)
    runs = bench.run(near), bench.run(far, system)
    apart = sum(bench.charge(run).shares for run in runs)
    whole = merge(*runs)
    if bench.route == "game":
        assert whole.game is not None
        return bench.charge_game(whole.game).shares, np.asarray(apart), whole
    return bench.charge(whole).shares, np.asarray(apart), whole


def merge(one: Run, other: Run) -> Run:
    """Two servers as one run: requests of both, emissions and values added."""
    a, b = one.workload, other.workload
    workload = Workload(
        np.r_[a.arrival_s, b.arrival_s],
        np.r_[a.num_prefill_tokens, b.num_prefill_tokens],
        np.r_[a.num_decode_tokens, b.num_decode_tokens],
        np.r_[a.player, b.player],
        a.epoch,
    )
    s, t = one.timeline, other.timeline
    timeline = Timeline(
        start_s=min(s.start_s, t.start_s),
        end_s=max(s.end_s, t.end_s),
        busy_s=s.busy_s + t.busy_s,
        energy_j=s.energy_j + t.energy_j,
        num_iterations=s.num_iterations + t.num_iterations,
        emissions=s.emissions + t.emissions,
        standing=s.standing + t.standing,
        scheduled_s=np.r_[s.scheduled_s, t.scheduled_s],
        ttft_s=np.r_[s.ttft_s, t.ttft_s],
        finish_s=np.r_[s.finish_s, t.finish_s],
    )
    game = None
    if one.game is not None and other.game is not None:
        game = sum_games(one.game, other.game)
    return Run(workload, one.system, timeline, game)


def _columns(whole: Attribution) -> Both:
    """The shares by phase, added up, against what v says of the phase."""
    gaps = []
    for name in COMPONENTS[:2]:
        of_v = float(getattr(whole.whole, name)) - whole.unattributed_components[name]
        gaps.append(of_v - float(whole.components[name].sum()))
    together = np.array([max(gaps, key=abs)])
    return Both(together, np.zeros(1), "columns against those of v")


def _phase_runs(run: Run) -> list[Run]:
    """The run's prompts, its answers, and what neither explains."""
    workload, timeline = run.workload, run.timeline
    none = np.zeros(workload.num_requests, int)
    first_s = workload.arrival_s + timeline.ttft_s
    prefill, decode = workload.num_prefill_tokens, workload.num_decode_tokens
    parts = [
        _phase(run, prefill, none, 0, timeline.scheduled_s, first_s),
        _phase(run, none, decode, 1, first_s, timeline.finish_s),
    ]
    rest = _only(run, (2, 3))
    if float((rest - timeline.standing).total) > 0:
        parts.append(run._replace(timeline=dataclasses.replace(timeline, emissions=rest)))
    return [part for part in parts if part.net_g > 0]


def _phase(
    run: Run,
    prefill: np.ndarray,
    decode: np.ndarray,
    column: int,
    start_s: np.ndarray,
    end_s: np.ndarray,
) -> Run:
    """One phase of the run: its tokens, its emissions, and when requests were in it."""
    asked = (prefill > 0) | (decode > 0)
    timeline = dataclasses.replace(
        run.timeline,
        emissions=_only(run, (column,)) + run.timeline.standing,
        scheduled_s=np.where(asked, start_s, np.nan),
        finish_s=np.where(asked, end_s, np.nan),
    )
    return Run(run.workload.with_tokens(prefill, decode), run.system, timeline, None)


def _only(run: Run, columns: tuple[int, ...]) -> Emissions:
    """These components of what the run emitted, the others 0."""
    names = [COMPONENTS[i] for i in columns]
    zero = jax.tree.map(np.zeros_like, run.timeline.emissions)
    kept = {name: getattr(run.timeline.emissions, name) for name in names}
    return dataclasses.replace(zero, **kept)


def _middle_s(timeline: Timeline) -> float | None:
    """The end of an iteration near the middle of the run; None if there is but one."""
    ends = np.unique(timeline.finish_s[np.isfinite(timeline.finish_s)])
    inside = ends[(ends > timeline.start_s) & (ends < timeline.end_s)]
    return float(inside[len(inside) // 2]) if len(inside) else None


def _weightless(system):
    """The accelerator, as if making it had emitted nothing."""
    return dataclasses.replace(
        system.accelerator, embodied_carbon_kg=0.0, server_embodied_carbon_kg=0.0
    )
