"""Error against budget: what a row holds, and how N_eps is read off a curve."""

import numpy as np
import pyarrow as pa
import pytest

from experiments import (
    sample_efficiency,
    sample_efficiency_figure,
    sample_efficiency_tables,
    shapiq_errors,
)
from tests.reference.shapley import shapley_by_subsets


class Near:
    """A closed form that is this table, and doubts nothing."""

    taken = np.zeros((0, 8), bool)

    def __init__(self, table):
        self.table = table

    def shapley(self):
        return np.outer(shapiq_errors.exact_shapley(self.table), [0, 1, 0, 0, 0])

    def values_and_doubts(self, coalitions):
        values = self.table[coalitions @ (1 << np.arange(8))]
        return np.outer(values, [0, 1, 0, 0, 0]), np.zeros((len(values), 0))

    def doubts_shapley(self):
        return np.zeros((8, 0))


@pytest.fixture
def stored():
    """A game whose control knows all but a little."""
    rng = np.random.default_rng(61)
    values = rng.random(2**8).cumsum()
    near = values + 0.1 * rng.random(2**8)
    control = sample_efficiency.StoredControl(Near(near))
    controls = {"crowding": control, "blended": control}
    return sample_efficiency.Stored(
        "8/light/0", values, controls, shapiq_errors.exact_shapley(near)
    )


def test_the_truth_is_the_shapley_value(stored):
    def value(coalition):
        return stored.values[sum(1 << i for i in coalition)]

    truth = shapiq_errors.exact_shapley(stored.values)
    np.testing.assert_allclose(truth, shapley_by_subsets(value, 8), rtol=1e-12)


def test_rows_and_figure(stored, monkeypatch, tmp_path):
    monkeypatch.setattr(sample_efficiency, "BUDGETS", (20, 80))
    rows = sample_efficiency.measure(stored, 2)
    assert tuple(rows.column_names) == shapiq_errors.FIELDS
    estimators = {each["estimator"] for each in rows.to_pylist()}
    assert estimators == {name for name, _ in sample_efficiency.OURS} | {"streaming"}
    assert all(0 <= row["median"] <= row["p90"] for row in rows.to_pylist())
    images = sample_efficiency_figure.write(rows, tmp_path / "sample_efficiency.csv")
    assert all(image.stat().st_size > 0 for image in images)


def test_a_peer_that_is_right_or_refuses():
    class Peer:
        def __init__(self, shares):
            self.shares = shares

        def approximate(self, budget, game):
            if budget < 10:
                raise ValueError("too few")
            assert game(np.ones(3, bool))[0] == 7.0
            return {(i,): x for i, x in enumerate(self.shares)}

    values = np.arange(8.0)
    peer = Peer(shapiq_errors.exact_shapley(values))
    rows = list(shapiq_errors.curve(values, lambda n, s: peer, [2, 6], 3, 0.01))
    assert [row[1] for row in rows] == ["inf", "inf"]
    rows = list(shapiq_errors.curve(np.arange(16.0) * 0, None, [20], 3, 0.01))
    assert rows == []


def test_needed_evaluations_are_read_between_budgets():
    row = dict(library="carbjax", estimator="odd", control="closed_form", seconds=0.0)
    points = [(10, 0.2), (40, 0.02), (80, 0.005)]
    rows = pa.Table.from_pylist(
        [row | dict(game="12/light/0", budget=b, median=e, p90=e) for b, e in points]
    )
    ((five, one),) = sample_efficiency_tables.evaluations_needed(rows, 12)[
        "carbjax", "odd", "closed_form"
    ]
    assert 10 < five < 40 < one < 80
    assert np.log(five / 10) / np.log(4) == pytest.approx(np.log(4) / np.log(10))


def test_ours_are_compared_with_the_best_of_each_game():
    needed = {
        ("carbjax", "odd", "closed_form"): np.array([[10.0, 50.0], [20.0, 100.0]]),
        ("shapiq", "a", "none"): np.array([[100.0, 500.0], [900.0, np.inf]]),
        ("shapiq", "b", "none"): np.array([[300.0, 250.0], [400.0, 700.0]]),
    }
    np.testing.assert_allclose(sample_efficiency_tables.gain(needed), [[10, 20], [5, 7]])
