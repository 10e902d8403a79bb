"""Measured growth of cost as parts of an evaluation."""

from carbjax._criteria.evaluation_bench import Bench
from carbjax._criteria.evaluation_methods import Effort, Judged
from carbjax._criteria.evaluation_rows import Row, refused
from carbjax._criteria.evaluation_store import Part
from carbjax._criteria.scaling import AxisScaling, scaling

_CRITERION = "scalability"
LETTERS = {"players": "C", "iterations": "I", "tokens": "t", "requests": "R"}
_POLYNOMIAL = {"polynomial": 1.0, "exponential": 0.0, "unknown": None}
# Seconds that one call may take: enough to tell an exponential from a power.
_LONGEST_CALL_S = 4.0
_REPEATS = 3


def judge_axis(bench: Bench, method: Judged, axis: str, effort: Effort) -> Part:
    """Cost of the method against one size, as far as it does not take too long."""
    requests = min(cut.workload.num_requests for cut in bench.cuts)
    found = scaling(
        method.given,
        system=bench.system,
        axes=(axis,),
        limit_s=_LONGEST_CALL_S,
        repeats=_REPEATS,
        with_game=method.needs_game,
        known_s=(requests, effort.cpu_s or 0.0),
        key=bench.key,
    ).axes[axis]
    if not found.points:
        reason = found.stopped or "no size was measured"
        return Part(rows=(refused(_CRITERION, method.name, reason),))
    return Part(rows=_rows(method.name, found), points=_points(method.name, found))


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
    return (
        row("exponent", growth.exponent).within(growth.interval),
        row("tail_exponent", growth.tail_exponent),
        verdict._replace(reason="; ".join(filter(None, (found.verdict, found.stopped)))),
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
