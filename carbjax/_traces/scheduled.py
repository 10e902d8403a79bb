"""JSON lines that say which tokens of which requests each iteration held."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from carbjax._traces.format import LATEST_RELATIVE_S
from carbjax._traces.json_lines import first_keys
from carbjax._traces.source import Source
from carbjax._units import INT32_MAX

_CLOCK, _TOKENS, _CACHED = "clock", "tokens", "cached"
_KNOWN = {"start_s", "end_s", "energy_j", _TOKENS, _CACHED}
_SAME_CLOCK_S = 1.0  # wall clocks are slewed; one that jumps was set


@dataclasses.dataclass(frozen=True)
class ScheduledTokens:
    """Tokens by iteration and request, in the order of the log."""

    iteration: Int[np.ndarray, " rows"]
    request: list[str]
    tokens: Int[np.ndarray, " rows"]
    cached: dict[str, int]  # of a prompt, found in the prefix cache


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """The columns of the log; of `unix_minus_clock_s` None where nothing tells it."""

    start_s: Float[np.ndarray, " iterations"]
    end_s: Float[np.ndarray, " iterations"]
    energy_j: Float[np.ndarray, " iterations"]
    rows: Int[np.ndarray, " iterations"]
    clock: str
    unix_minus_clock_s: float | None
    tokens: ScheduledTokens
    notes: tuple[str, ...]


def is_scheduled(source: Source) -> bool:
    """Whether the file is such a log."""
    keys = first_keys(source)
    return _CLOCK in keys or {"start_s", _TOKENS} <= keys


def read_scheduled(source: Source) -> Scheduled:
    """The log, checked line by line; the source's error names the line and the name."""
    offsets, times, iteration, request, tokens = [], [], [], [], []
    cached: dict[str, int] = {}
    for row, line in enumerate(source.data.decode("utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        record = _object(source, row, line)
        if _CLOCK in record:
            offsets.append(_offset(source, row, record[_CLOCK]))
            continue
        times.append(_times(source, row, record))
        for name, number in _counts(source, row, record, _TOKENS).items():
            iteration.append(len(times) - 1)
            request.append(name)
            tokens.append(number)
        cached.update(_counts(source, row, record, _CACHED))
    if not times:
        raise source.fail("the log has no iterations.", hint="Is it cut short?")
    rows, start_s, end_s, energy_j = map(np.array, zip(*times, strict=True))
    clock = _clock(source, rows, start_s)
    offset, notes = _one_offset(source, offsets)
    return Scheduled(
        start_s,
        end_s,
        energy_j,
        rows,
        clock,
        0.0 if clock == "unix" else offset,
        ScheduledTokens(
            np.array(iteration, np.int64), request, np.array(tokens, np.int64), cached
        ),
        notes,
    )


def _object(source: Source, row: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as cause:
        raise source.fail(
            f"the line is not JSON ({cause}).", row=row, hint="Is the log cut short?"
        ) from None
    if not isinstance(record, dict):
        raise source.fail("the line is not a JSON object.", row=row)
    unknown = sorted(set(record) - _KNOWN - {_CLOCK})
    if unknown:
        raise source.error(
            "this name is not known.",
            file=source.file,
            row=row,
            column=unknown[0],
            hint=f"Known are {', '.join(sorted(_KNOWN))}; and {_CLOCK}.",
        )
    return record


def _times(source: Source, row: int, record: dict[str, Any]) -> tuple:
    start, end = (_number(source, row, record, name) for name in ("start_s", "end_s"))
    if end <= start:
        raise source.error(
            f"the iteration ends at {end} s and starts at {start} s.",
            file=source.file,
            row=row,
            column="end_s",
            hint="Are they of two clocks, or swapped?",
        )
    energy = math.nan
    if record.get("energy_j") is not None:
        energy = _number(source, row, record, "energy_j")
        if energy <= 0:
            raise source.error(
                f"the energy is {energy} J.",
                file=source.file,
                row=row,
                column="energy_j",
                hint="Leave it out where it was not measured, or the counter was reset.",
            )
    return row, start, end, energy


def _number(source: Source, row: int, record: dict[str, Any], name: str) -> float:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        problem = "there is no number."
    elif not abs(value) < 1e300:
        problem = f"{value} is not finite."
    else:
        return float(value)
    raise source.error(
        problem, file=source.file, row=row, column=name, hint="Give a number of seconds."
    )


def _counts(source: Source, row: int, record: dict[str, Any], name: str) -> dict[str, int]:
    found = record.get(name, {})
    good = isinstance(found, dict) and all(
        isinstance(n, int) and not isinstance(n, bool) and 0 < n <= INT32_MAX
        for n in found.values()
    )
    if not good:
        raise source.error(
            "this is not a number of tokens above 0 for each request.",
            file=source.file,
            row=row,
            column=name,
            hint='Give an object such as {"request-1": 512, "request-2": 1}.',
        )
    return found


def _offset(source: Source, row: int, event: Any) -> tuple[int, float]:
    event = event if isinstance(event, dict) else {}
    unix, own = (_number(source, row, event, n) for n in ("unix_s", "monotonic_s"))
    return row, unix - own


def _one_offset(
    source: Source, offsets: list[tuple[int, float]]
) -> tuple[float | None, tuple[str, ...]]:
    if not offsets:
        return None, ()
    first = offsets[0][1]
    for row, offset in offsets:
        if abs(offset - first) > _SAME_CLOCK_S:
            raise source.error(
                f"the clocks are {offset - first:+.3f} s further apart than at first.",
                file=source.file,
                row=row,
                column=_CLOCK,
                hint="Was the wall clock set, or the machine started anew? Give the parts "
                "of the log one by one.",
            )
    drift = max(abs(offset - first) for _, offset in offsets)
    return first, (f"The clocks drift apart by up to {drift:.3g} s.",) if drift else ()


def _clock(source: Source, rows: np.ndarray, start_s: np.ndarray) -> str:
    is_unix = start_s > LATEST_RELATIVE_S
    other = np.flatnonzero(is_unix != is_unix[0])
    if len(other):
        raise source.error(
            f"{start_s[other[0]]} s is of another clock than the lines before it: Unix "
            "and monotonic seconds are mixed.",
            file=source.file,
            row=int(rows[other[0]]),
            column="start_s",
            hint="Take all times of one clock.",
        )
    return "unix" if is_unix[0] else "monotonic"
