"""ServeGen client files: how often a tenant asks, and how long its requests are.

Source: `alibaba/ServeGen`, Apache-2.0, Xiang et al., 2025. `chunk-<id>-trace.csv` has no
header: start of a window (s), requests/s, coefficient of variation, `Gamma` or `Weibull`,
shape, scale; rate 0 and no pattern where the client is silent. `chunk-<id>-dataset.json`
holds distributions of lengths by the start of longer periods, each a Python dictionary
{tokens: probability} written as text.
"""

import csv
import dataclasses
import functools
import json
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from carbjax._errors import TraceError
from carbjax._traces.source import open_source
from carbjax._units import INT32_MAX

_TRACE, _DATASET = "-trace.csv", "-dataset.json"
_NAMES = ("start_s", "rate", "cv", "pattern", "shape", "scale")
# With a lower shape nearly all gaps are nothing, and one in millions is for ever.
_LOWEST_SHAPE = {"Gamma": 1e-3, "Weibull": 0.1}
_MOST_RATE = 1e7  # requests/s
_LENGTHS = ("input_tokens", "output_tokens")
_ROUNDING = 1e-6  # of a sum of probabilities
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclasses.dataclass(frozen=True)
class Lengths:
    """A distribution of tokens: `up_to` are the sums of probabilities."""

    tokens: Int[np.ndarray, " lengths"]
    up_to: Float[np.ndarray, " lengths"]

    def draw(self, uniform: Float[np.ndarray, " draws"]) -> Int[np.ndarray, " draws"]:
        return self.tokens[np.searchsorted(self.up_to, uniform, "right")]


@dataclasses.dataclass(frozen=True)
class Client:
    """One client of ServeGen; windows follow each other without gaps."""

    name: str
    window_s: float
    rate: Float[np.ndarray, " windows"]  # requests/s
    shape: Float[np.ndarray, " windows"]  # 1 where silent
    is_weibull: Bool[np.ndarray, " windows"]
    dataset: str  # the file
    period_s: Float[np.ndarray, " periods"]  # starts of periods with lengths
    long_s: float  # a period
    texts: tuple[tuple[str, str], ...]  # of prompts and of answers, by period

    def period(self, start_s: float) -> int:
        """The period with lengths that covers an instant, else the nearest."""
        middle = (self.period_s[1:] + self.period_s[:-1]) / 2
        before = int(np.searchsorted(self.period_s, start_s, "right")) - 1
        if before >= 0 and start_s < self.period_s[before] + self.long_s:
            return before
        return int(np.searchsorted(middle, start_s))

    def lengths(self, period: int) -> tuple[Lengths, Lengths]:
        """The distributions of prompts and answers in a period."""
        prompt, answer = (
            _distribution(self.dataset, self.period_s[period], name, text)
            for name, text in zip(_LENGTHS, self.texts[period], strict=True)
        )
        return prompt, answer


def read_clients(paths: Paths) -> tuple[Client, ...]:
    """The clients of folders, or of trace files, each beside its dataset.

    In the order given, in a folder by number. Raises `TraceError`.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    traces = [trace for path in given for trace in _traces_of(pathlib.Path(path))]
    if not traces:
        raise TraceError("no client files were given.", hint="Name a folder.")
    many = len({trace.parent for trace in traces}) > 1
    return tuple(_client(trace, many) for trace in traces)


def _traces_of(path: pathlib.Path) -> list[pathlib.Path]:
    if not path.is_dir():
        return [path]
    found = [p for p in path.iterdir() if _stem(p) is not None]
    if not found:
        raise TraceError(
            "the folder holds no client of ServeGen.",
            file=path,
            hint="Give a folder with chunk-<id>-trace.csv and chunk-<id>-dataset.json, "
            "plain or gz.",
        )
    return sorted(found, key=lambda p: (len(str(_stem(p))), str(_stem(p))))


def _stem(trace: pathlib.Path) -> str | None:
    name = trace.name.removesuffix(".gz")
    return name.removesuffix(_TRACE) if name.endswith(_TRACE) else None


def _client(trace: pathlib.Path, many_folders: bool) -> Client:
    stem = _stem(trace)
    if stem is None:
        raise TraceError(
            "this is no client's trace.", file=trace, hint="Name chunk-<id>-trace.csv."
        )
    number = stem.removeprefix("chunk-")
    window_s, rate, shape, is_weibull = _windows(trace)
    dataset = trace.with_name(stem + _DATASET)
    if not dataset.exists():
        dataset = dataset.with_name(dataset.name + ".gz")
    period_s, long_s, texts = _periods(dataset)
    name = f"{trace.parent.name}/{number}" if many_folders else number
    return Client(
        name, window_s, rate, shape, is_weibull, str(dataset), period_s, long_s, texts
    )


def _windows(path: pathlib.Path):
    source = open_source(path, TraceError)
    columns: list[list] = [[] for _ in range(4)]
    for row, fields in enumerate(csv.reader(source.data.decode().splitlines()), start=1):
        if not fields:
            continue
        if len(fields) != len(_NAMES):
            raise source.fail(
                f"the line has {len(fields)} values, not {len(_NAMES)}.",
                row=row,
                hint=f"They are {', '.join(_NAMES)}, without a header.",
            )
        for column, value in zip(columns, _window(path, row, fields), strict=True):
            column.append(value)
    start_s, rate, shape, is_weibull = map(np.array, columns)
    steps = np.diff(start_s)
    if len(steps) == 0 or steps[0] <= 0 or (steps != steps[0]).any() or start_s[0] != 0:
        row = 1 + int(np.argmax(steps != steps[0])) + 1 if len(steps) else 1
        raise TraceError(
            "the windows do not follow each other from second 0.", file=path, row=row
        )
    return float(steps[0]), rate, shape, is_weibull


def _window(path: pathlib.Path, row: int, fields: list[str]) -> tuple:
    def number(column: int, low: float, high: float = 1e12) -> float:
        try:
            value = float(fields[column])
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise TraceError(
                f"{fields[column]!r} is not a number from {low:g} to {high:g}.",
                file=path,
                row=row,
                column=_NAMES[column],
            )
        return value

    start_s, rate = number(0, 0.0), number(1, 0.0, _MOST_RATE)
    pattern = fields[3].strip()
    if rate == 0:
        return start_s, 0.0, 1.0, False
    if pattern not in _LOWEST_SHAPE:
        raise TraceError(
            f"{pattern!r} is no pattern of arrivals.",
            file=path,
            row=row,
            column="pattern",
            hint=f"Known are {', '.join(_LOWEST_SHAPE)}.",
        )
    return start_s, rate, number(4, _LOWEST_SHAPE[pattern]), pattern == "Weibull"


def _periods(path: pathlib.Path):
    source = open_source(path, TraceError)
    try:
        periods = json.loads(source.data)
        found = sorted(
            (float(start), tuple(str(of[name]) for name in _LENGTHS))
            for start, of in periods.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise source.fail(
            f"this is no dataset of ServeGen ({cause!r}).",
            hint="Give {window: {input_tokens: …, output_tokens: …}} as published.",
        ) from None
    known = [(start, texts) for start, texts in found if "{}" not in texts]
    if not known:
        raise source.fail("the client has no lengths in any period.")
    starts, texts = zip(*known, strict=True)
    steps = np.diff([start for start, _ in found])
    return np.array(starts), float(steps.min(initial=np.inf)), texts


@functools.lru_cache(maxsize=4096)
def _distribution(file: str, start_s: float, name: str, text: str) -> Lengths:
    where = f"{name} of period {start_s:g}"
    try:
        numbers = np.array(text.strip()[1:-1].replace(":", ",").split(","), float)
        tokens, parts = numbers[::2], numbers[1::2]
        good = len(tokens) == len(parts) and bool(np.isfinite(numbers).all())
    except ValueError:
        good, tokens, parts = False, np.zeros(0), np.zeros(0)
    if not good:
        raise TraceError(
            "this is no distribution {tokens: probability}.", file=file, column=where
        )
    if (tokens < 0).any() or (tokens != np.floor(tokens)).any() or tokens.max() > INT32_MAX:
        raise TraceError("lengths are not whole tokens.", file=file, column=where)
    if (parts < 0).any() or abs(parts.sum() - 1) > _ROUNDING:
        raise TraceError(
            f"the probabilities add up to {parts.sum():g}.", file=file, column=where
        )
    up_to = np.cumsum(parts)
    # The last sum is 1 but for rounding, and no draw lies beyond it.
    up_to[-1] = np.inf
    return Lengths(tokens.astype(np.int64), up_to)
