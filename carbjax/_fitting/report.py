"""How far a fit is from measurements that it has not seen."""

import dataclasses as dc
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float
from rich import box
from rich.table import Table

from carbjax._errors import ProfileError
from carbjax._fitting.splits import Rows, Split

_PERCENT = 100.0
_DECIMALS = 2

Predict = Callable[[Rows], Float[ArrayLike, " rows"]]
"""From the rows that may be seen to a prediction of every row."""


class Errors(NamedTuple):
    """Relative errors in percent: mean, median and 95th percentile of their size, and bias.

    A bias above 0 says that the prediction is too large on average.
    """

    mape: float
    median: float
    p95: float
    bias: float
    rows: int

    def as_dict(self) -> dict[str, float]:
        """Plain numbers, as parameter files hold them."""
        return {name: round(value, _DECIMALS) for name, value in self._asdict().items()}


class Line(NamedTuple):
    """The errors of one quantity, such as "gemm latency", on one split."""

    quantity: str
    split: str
    errors: Errors


@dc.dataclass(frozen=True)
class Report:
    """The errors of a fit, a line for each quantity and split."""

    lines: tuple[Line, ...] = ()

    def __add__(self, other: "Report") -> "Report":
        return Report(self.lines + other.lines)

    def of(self, quantity: str, split: str) -> Errors:
        """The errors of that quantity and split; `KeyError` where there are none."""
        return {(line.quantity, line.split): line.errors for line in self.lines}[
            quantity, split
        ]

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Plain numbers by "quantity, split", as parameter files hold them."""
        return {
            f"{line.quantity}, {line.split}": line.errors.as_dict() for line in self.lines
        }

    def table(self, title: str = "Errors on held-out rows (%)") -> Table:
        """The lines for a screen."""
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("quantity", no_wrap=True)
        table.add_column("split", no_wrap=True)
        for name in ("MAPE", "median", "p95", "bias", "rows"):
            table.add_column(name, justify="right", no_wrap=True)
        for name, lines in _by_quantity(self.lines):
            for i, (_, split, e) in enumerate(lines):
                percents = (e.mape, e.median, e.p95)
                table.add_row(
                    "" if i else name,
                    split,
                    *(f"{x:.1f}" for x in percents),
                    f"{e.bias:+.1f}",
                    f"{e.rows:,}",
                    end_section=i == len(lines) - 1,
                )
        return table


def errors(
    predicted: Float[ArrayLike, " rows"], measured: Float[np.ndarray, " rows"]
) -> Errors:
    """Relative errors of a prediction.

    Raises `ProfileError` where there is no row, or a prediction is no number.
    """
    predicted = np.asarray(predicted, dtype=np.float64)
    if not len(measured):
        raise ProfileError("there is no row to judge a fit by.")
    relative = _PERCENT * (predicted / measured - 1)
    if not np.isfinite(relative).all():
        raise ProfileError(
            f"a fit predicts {predicted[~np.isfinite(relative)][0]} for a measured row.",
            hint="It has not converged; give more rows, or rows that span more sizes.",
        )
    size = np.abs(relative)
    return Errors(
        mape=float(size.mean()),
        median=float(np.median(size)),
        p95=float(np.percentile(size, 95)),
        bias=float(relative.mean()),
        rows=len(size),
    )


def judge(
    quantity: str,
    predict: Predict,
    measured: Float[np.ndarray, " rows"],
    splits: tuple[Split, ...],
) -> Report:
    """The errors on rows that a fit has not seen, all folds of a split together.

    `predict` is called once a fold, with the rows to fit. Splits that leave nothing to
    see or nothing to judge by (a grid of one size) have no line.
    """
    lines = []
    for split in splits:
        if split.is_empty:
            continue
        predicted = np.full(len(measured), np.nan)
        judged = np.zeros(len(measured), bool)
        for train, test in split.folds:
            predicted[test] = np.asarray(predict(train))[test]
            judged |= test
        lines.append(
            Line(quantity, split.name, errors(predicted[judged], measured[judged]))
        )
    return Report(tuple(lines))


def from_dict(record: Mapping[str, Mapping[str, float]]) -> Report:
    """The report that `Report.as_dict` made plain, as parameter files hold it."""
    lines = []
    for key, values in record.items():
        quantity, _, split = key.partition(", ")
        rows = int(values["rows"])
        percents = {k: float(v) for k, v in values.items() if k != "rows"}
        lines.append(Line(quantity, split, Errors(**percents, rows=rows)))
    return Report(tuple(lines))


def _by_quantity(lines: tuple[Line, ...]) -> Iterator[tuple[str, list[Line]]]:
    for name in dict.fromkeys(line.quantity for line in lines):
        yield name, [line for line in lines if line.quantity == name]
