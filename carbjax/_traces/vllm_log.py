"""What vLLM logs of each iteration with `--enable-logging-iteration-details`.

Source: `vllm-project/vllm`, `vllm/v1/engine/core.py` (later `vllm/v1/metrics/loggers.py`):
`Iteration(7): 2 context requests, 7957 context tokens, 43 generation requests, 43
generation tokens, iteration elapsed time: 1125.94 ms`, with `(dummy)` for an empty one.
The stamp is local time without a year, in whole seconds.
"""

import dataclasses
import datetime as dt
import re
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from carbjax._traces.columns import Table
from carbjax._traces.source import Source
from carbjax._traces.stamps import instants
from carbjax._units import SECONDS_PER_MILLISECOND

_LINE = re.compile(
    r"Iteration\((?P<number>\d+)\): (?P<counts>(?:\d+ \w+ \w+, ){4})"
    r"iteration elapsed time: (?P<ms>\d+(?:\.\d+)?) ms"
)
_COUNTED = (
    "context requests",
    "context tokens",
    "generation requests",
    "generation tokens",
)
_STAMP = re.compile(r"\b\d\d-\d\d \d\d:\d\d:\d\d\b")
_ENGINE = re.compile(r"EngineCore_DP(\d+)|Engine (\d+):")
_UNKNOWN_YEAR = 1972  # a leap year: 02-29 is a day


@dataclasses.dataclass(frozen=True)
class IterationCounts:
    """How many requests and tokens took part in each iteration."""

    context_requests: Int[np.ndarray, " iterations"]
    context_tokens: Int[np.ndarray, " iterations"]
    generation_requests: Int[np.ndarray, " iterations"]
    generation_tokens: Int[np.ndarray, " iterations"]
    rows: Int[np.ndarray, " iterations"]


def is_vllm_log(source: Source) -> bool:
    """Whether a line of the file tells of an iteration."""
    return b"Iteration(" in source.data and not source.is_parquet


def read_vllm_log(
    source: Source, zone: ZoneInfo | None, near: dt.datetime | None
) -> tuple[IterationCounts, Float[np.ndarray, " iterations"], np.ndarray | None]:
    """Counts, durations in s, and the stamps in ns, if any.

    They are Unix time with a zone and an instant that is `near`, which tells the year.

    Lines about other things are passed over. Raises the source's error where a line of
    an iteration cannot be read, one is missing, or several engines wrote.
    """
    rows, found = [], []
    for row, line in enumerate(source.data.decode("utf-8").split("\n"), start=1):
        if "Iteration(" not in line:
            continue
        match = _LINE.search(line)
        counts = [] if match is None else re.findall(r"(\d+) (\w+ \w+),", match["counts"])
        if match is None or tuple(name for _, name in counts) != _COUNTED:
            raise source.fail(
                "the line tells of an iteration in words that are not known.",
                row=row,
                hint="Is it cut short, or of another version of vLLM?",
            )
        rows.append(row)
        engine, stamp = _ENGINE.search(line), _STAMP.search(line)
        found.append(
            (
                int(match["number"]),
                *(int(count) for count, _ in counts),
                float(match["ms"]) * SECONDS_PER_MILLISECOND,
                stamp and stamp[0],
                engine and engine[0],
            )
        )
    number, *counted, duration_s, stamps, engines = zip(*found, strict=True)
    _require_one_run(source, rows, number, engines)
    duration = np.array(duration_s)
    # 0.00 ms is rounded: at most half of the last digit.
    duration = np.maximum(duration, 0.005 * SECONDS_PER_MILLISECOND)
    columns = [np.array(column, np.int64) for column in (*counted, rows)]
    return IterationCounts(*columns), duration, _instants(source, rows, stamps, zone, near)


def _require_one_run(source: Source, rows, number, engines) -> None:
    for i in range(1, len(rows)):
        if engines[i] != engines[0]:
            problem = f"{engines[i]} wrote this line, and {engines[0]} those before it."
            hint = "Give the lines of each engine in a file of their own."
        elif number[i] != number[i - 1] + 1:
            problem = f"Iteration({number[i]}) follows Iteration({number[i - 1]})."
            hint = "Are lines missing, or was the server started anew? Give each run alone."
        else:
            continue
        raise source.fail(problem, row=rows[i], hint=hint)


def _instants(source: Source, rows, stamps, zone, near) -> np.ndarray | None:
    if not all(stamps):
        return None
    year = _UNKNOWN_YEAR if near is None else _nearest_year(stamps[0], near)
    months = np.array([int(stamp[:2]) for stamp in stamps])
    new_years = np.concatenate([[0], np.cumsum(np.diff(months) < 0)])
    years = year + new_years
    texts = [f"{y}-{s}" for y, s in zip(years, stamps, strict=True)]
    table = Table(
        source.file,
        {"stamp": pa.array(texts, pa.string())},
        len(texts),
        lambda index: rows[index],
        None,
        source.error,
    )
    return instants(table, "stamp", zone or ZoneInfo("UTC"))


def _nearest_year(stamp: str, near: dt.datetime) -> int:
    """The year in which the stamp lies closest to an instant."""

    def distance(year: int) -> dt.timedelta:
        month, day = int(stamp[:2]), int(stamp[3:5])
        start = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
        return abs(start + dt.timedelta(days=30.5 * (month - 1) + day) - near)

    return min((near.year + step for step in (-1, 0, 1)), key=distance)
