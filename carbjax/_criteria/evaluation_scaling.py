"""Measured growth of cost as parts of an evaluation."""

from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_methods import Effort, Judged
from carbjax._criteria.evaluation_rows import Row, refused
from carbjax._criteria.evaluation_store import Part
from carbjax._criteria.scaling import AxisScaling, scaling

_CRITERION = "scalability"
LETTERS = {"players": "C", "iterations": "I", "tokens": "t", "requests": "R"}
_POLYNOMIAL = {"polynomial": 1.0, "exponential": 0.0, "unknown": None}
_LONGEST_CALL_S = 4.0
_LONGEST_WITH_PLAYERS_S = 20.0  # 9 to 14 players, which tell 2^C from a power, take less
_REPEATS = 3


def judge_axis(bench: Bench, method: Judged, axis: str, effort: Effort) -> Part:
    """Cost of the method against one size, as far as it does not take too long."""
    requests = min(cut.workload.num_requests for cut in bench.cuts)
    known_s = effort.cpu_s or 0.0
    found = scaling(
        method.given,
        system=bench.system,
        axes=(axis,),
        limit_s=_longest_call_s(axis, known_s),
        repeats=_REPEATS,
        with_game=method.needs_game,
        known_s=(requests, known_s),
        key=bench.key,
    ).axes[axis]
    if not found.points:
        reason = found.stopped or "no size was measured"
        return Part(rows=(refused(_CRITERION, method.name, reason),))
    return Part(rows=_rows(method.name, found), points=_points(method.name, found))


def _longest_call_s(axis: str, known_s: float) -> float:
    """What a call may take, unless those of the workloads are known to take long."""
    if axis == "players" and known_s < _LONGEST_CALL_S:
        return _LONGEST_WITH_PLAYERS_S
    return _LONGEST_CALL_S


def _rows(name: str, found: AxisScaling) -> tuple[Row, ...]:
    growth = found.growth

    def row(quantity: str, value: float | None) -> Row:
        return Row(
            _CRITERION,
            name,
            quantity,
            value,
            group=LETTERS[found.axis],
            num_values=len(found.points),
            reason=found.stopped,
        )

    verdict = row("polynomial", _POLYNOMIAL[found.verdict])
    why = (found.verdict, found.doubt, found.stopped)
    return (
        row("exponent", growth.exponent).within(growth.interval),
        row("tail_exponent", growth.tail_exponent),
        verdict._replace(reason="; ".join(filter(None, why))),
    )


def _points(name: str, found: AxisScaling) -> tuple[dict, ...]:
    return tuple(
        {
            "method": name,
            "axis": LETTERS[found.axis],
            "size": point.size,
            "seconds": point.seconds,
            "compile_s": point.compile_s,
            "peak_bytes": point.peak_bytes,
        }
        for point in found.points
    )
