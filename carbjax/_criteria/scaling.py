"""What a method costs as players, iterations, tokens or requests grow."""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from carbjax._attribution.methods import Method, find_method, needs_game
from carbjax._criteria.guard import Refusal, name_of, run_guarded
from carbjax._criteria.memory import PeakMemory
from carbjax._criteria.power_law import Growth, fit_growth
from carbjax._criteria.scaling_workloads import AXES, DEFAULT_POINTS, Sized, sized
from carbjax._errors import InputError
from carbjax._games.serving import ServingGame
from carbjax._progress import report
from carbjax._serving.serve import serve
from carbjax._serving.system import System

_TWO_DECADES = 100.0
_ENOUGH_S = 1.0  # of measuring: calls that take long are not repeated

Clock = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Point:
    """One size: seconds of the quickest call, and what the first took above that.

    `compile_s` holds compilation and everything else that is done once. `peak_bytes` is
    how much memory grew by (`PeakMemory`), None where unknown.
    """

    size: int
    seconds: float
    compile_s: float
    peak_bytes: int | None


@dataclasses.dataclass(frozen=True)
class AxisScaling:
    """Cost against one size; `stopped` says why the axis ends before its last point."""

    axis: str
    points: tuple[Point, ...]
    growth: Growth
    stopped: str | None

    @property
    def covers_two_decades(self) -> bool:
        sizes = [point.size for point in self.points]
        return bool(sizes) and max(sizes) / min(sizes) >= _TWO_DECADES

    @property
    def verdict(self) -> str:
        """ "polynomial", "exponential" or "unknown", as far as the points go."""
        if self.doubt:
            return "unknown"
        return "exponential" if self.growth.is_exponential else "polynomial"

    @property
    def doubt(self) -> str | None:
        """Why the points do not tell how the cost grows; None where they do."""
        if self.growth.is_exponential is None:
            return "the last step alone is steep, and may lead to another algorithm"
        long_enough = self.covers_two_decades and len(self.points) >= 3
        if self.growth.is_exponential or long_enough:
            return None
        return "not three points over two decades"


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Cost of a method by axis; `verdict` is against POLY(C, I, t, R)."""

    method: str
    axes: Mapping[str, AxisScaling]

    @property
    def verdict(self) -> str:
        """The worst of the axes: "exponential", else "unknown", else "polynomial"."""
        verdicts = {axis.verdict for axis in self.axes.values()}
        for worst in ("exponential", "unknown"):
            if worst in verdicts:
                return worst
        return "polynomial"


def scaling(
    method: str | Method,
    *,
    system: System | None = None,
    axes: tuple[str, ...] = AXES,
    points: Mapping[str, tuple[int, ...]] | None = None,
    limit_s: float = 10.0,
    repeats: int = 5,
    with_game: bool | None = None,
    known_s: tuple[int, float] = (0, 0.0),
    key: PRNGKeyArray | None = None,
    clock: Clock = time.perf_counter,
) -> Scaling:
    """Wall time and memory of the method against C, I, t and R, one varied at a time.

    - `method`: a name or a callable of the registry's protocol.
    - `system`: what is served on; its caps and policy are set by the axis
      (`scaling_workloads.sized`). By default `System.load()`.
    - `axes`: of "players", "iterations", "tokens", "requests".
    - `points`: sizes by axis; by default two decades each.
    - `limit_s`: an axis ends where the next point would take as long, as the last two
      let one expect, and says so.
    - `with_game`: whether the method is given a `ServingGame`, made anew in each call;
      known of named ones, else true.
    - `known_s`: from so many requests on a call is known to take at least so long.
    - `clock`: seconds.

    A call includes making the game and serving. Raises `InputError` for another axis.
    """
    _require(axes)
    if with_game is None:
        with_game = needs_game(method) if isinstance(method, str) else True
    system = System.load() if system is None else system
    charge = find_method(method) if isinstance(method, str) else method
    sizes = DEFAULT_POINTS if points is None else {**DEFAULT_POINTS, **points}
    bench = _Bench(charge, with_game, repeats, known_s, key, clock)
    found = {
        axis: _measure_axis(bench, axis, sizes[axis], system, limit_s) for axis in axes
    }
    return Scaling(name_of(method), found)


@dataclasses.dataclass(frozen=True)
class _Bench:
    """One method, timed."""

    method: Method
    with_game: bool
    repeats: int
    known_s: tuple[int, float]
    key: PRNGKeyArray | None
    clock: Clock

    def check(self, run: Sized) -> Refusal | None:
        """What is wrong with the method's answer, if anything; it is then compiled."""
        found = self._call(run)
        return found if isinstance(found, Refusal) else None

    def time(self, run: Sized) -> float:
        """Seconds of the quickest call: other work on the machine only slows one down."""
        found = [self._seconds(run)]
        while len(found) < self.repeats and sum(found) < _ENOUGH_S:
            found.append(self._seconds(run))
        return min(found)

    def least_s(self, run: Sized) -> float:
        """What a call is known to take at least."""
        requests, seconds = self.known_s
        return seconds if run.workload.num_requests >= requests else 0.0

    def _seconds(self, run: Sized) -> float:
        start = self.clock()
        self._call(run)
        return self.clock() - start

    def _call(self, run: Sized):
        game = ServingGame(run.workload, run.system) if self.with_game else None
        return run_guarded(
            self.method,
            workload=run.workload,
            system=run.system,
            game=game,
            timeline=serve(run.workload, run.system),
            key=jax.random.key(0) if self.key is None else self.key,
            twice=False,
            closed=False,  # judged elsewhere; here it is time that counts
        )


def _measure_axis(
    bench: _Bench, axis: str, sizes: tuple[int, ...], system: System, limit_s: float
) -> AxisScaling:
    points: list[Point] = []
    stopped = None
    for done, size in enumerate(sizes):
        run = sized(axis, size, system)
        expected = max(_expected(points, size), bench.least_s(run))
        if expected >= limit_s:
            stopped = f"{axis} = {size} would take about {expected:.3g} s"
            break
        point = _measure(bench, run)
        if isinstance(point, Refusal):
            stopped = f"{axis} = {size}: {point.reason}"
            break
        points.append(point)
        report(f"{axis} {size}", done + 1, len(sizes))
    growth = fit_growth([p.size for p in points], [p.seconds for p in points])
    return AxisScaling(axis, tuple(points), growth, stopped)


def _measure(bench: _Bench, run: Sized) -> Point | Refusal:
    start = bench.clock()
    refusal = bench.check(run)
    first_s = bench.clock() - start
    if refusal is not None:
        return refusal
    with PeakMemory() as memory:
        seconds = bench.time(run)
    return Point(run.size, seconds, max(first_s - seconds, 0.0), memory.bytes)


def _expected(points: list[Point], size: int) -> float:
    """Seconds that the next point takes if cost goes on as it grew last.

    Exponentially in the size if it last grew by a power above 4, else by that power. After
    one point as long as that took.
    """
    if len(points) < 2:
        return points[0].seconds if points else 0.0
    before, last = points[-2:]
    grown = math.log(max(last.seconds / before.seconds, 1.0))
    power = grown / math.log(last.size / before.size)
    if power > 4:
        exponent = grown / (last.size - before.size) * (size - last.size)
    else:
        exponent = power * math.log(size / last.size)
    return float(last.seconds * np.exp(min(exponent, 100.0)))


def _require(axes: tuple[str, ...]) -> None:
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise InputError(
            f"there is no axis {unknown[0]!r}.", hint=f"Choose of {', '.join(AXES)}."
        )
