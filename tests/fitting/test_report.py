"""Errors are what a plain loop over the rows says, and a report keeps them apart."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

import carbjax as cj
from carbjax._fitting import splits
from carbjax._fitting.report import Report, errors, from_dict, judge


def test_errors_are_those_of_a_plain_loop():
    measured = np.array([1.0, 2.0, 4.0, 5.0])
    predicted = np.array([1.1, 1.8, 4.0, 6.0])
    relative = [100 * (p - t) / t for p, t in zip(predicted, measured, strict=True)]
    found = errors(predicted, measured)
    assert found.mape == pytest.approx(sum(abs(r) for r in relative) / 4)
    assert found.bias == pytest.approx(sum(relative) / 4)
    assert found.median == pytest.approx(10.0)
    assert found.rows == 4 and found.median <= found.p95 <= 20.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_prediction_that_is_no_number_is_refused(bad):
    with pytest.raises(cj.ProfileError, match="predicts"):
        errors(np.array([1.0, bad]), np.ones(2))
    with pytest.raises(cj.ProfileError, match="no row"):
        errors(np.ones(0), np.ones(0))


def test_a_row_is_judged_by_a_fit_that_has_not_seen_it():
    """A table of what was seen, 1 elsewhere, is right nowhere that it is judged."""
    measured = np.linspace(2.0, 3.0, 20)
    every = (splits.shuffled(20), splits.interpolation(measured))
    report = judge(
        "gemm latency", lambda train: np.where(train, measured, 1.0), measured, every
    )
    assert report.of("gemm latency", "cv5").rows == 20
    for line in report.lines:
        assert (
            line.errors.mape == pytest.approx(-line.errors.bias) and line.errors.mape > 50
        )


def test_a_split_with_nothing_to_judge_by_has_no_line():
    one_size = np.full(8, 64.0)
    report = judge("x", lambda train: one_size, one_size, (splits.interpolation(one_size),))
    assert report == Report()


def test_a_report_survives_json_and_fits_a_screen():
    measured = np.linspace(2.0, 3.0, 20)
    cv, lines = splits.shuffled(20), splits.held_out_lines(measured)
    report = judge("gemm latency", lambda train: measured * 1.25, measured, (cv, lines))
    report += judge("gemm power", lambda train: measured, measured, (cv,))
    assert len(report.lines) == 3
    assert from_dict(json.loads(json.dumps(report.as_dict()))) == report
    screen = io.StringIO()
    Console(width=80, file=screen).print(report.table())
    text = screen.getvalue()
    assert text.count("gemm latency") == 1 and "+25.0" in text and "held-out lines" in text
