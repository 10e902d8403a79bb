"""Integrals along a ray of functions whose Aumann-Shapley shares are known."""

import numpy as np
import pytest

from carbjax._attribution.path_integral import integrate
from carbjax._attribution.path_jumps import find_jump, jump_parts

ONE = np.ones(1)
SHARPNESS = 1e-10


def _integrate(function, gradient, whole, *, accuracy=1e-4, max_nodes=4000):
    """The path integral of `gradient` from nothing to `whole`."""

    def values(tau):
        return np.array([[function(t * whole)] for t in tau])

    def along(tau):
        return values(tau), np.array([[whole * gradient(t * whole)] for t in tau])

    return integrate(
        along,
        lambda piece: find_jump(values, piece, SHARPNESS),
        start=0.0,
        end=1.0,
        weight=ONE,
        tolerance=lambda growth: accuracy * growth,
        max_nodes=max_nodes,
    )


def _step(x):
    return 5.0 * (x[0] + 3 * x[1] > 2.0)


def test_a_quadratic_form_is_integrated_exactly():
    """Shares of x'Ax are x_i (Ax)_i: marginal costs at the end, halved and doubled."""
    matrix = np.array([[2.0, 1.0], [1.0, 4.0]])
    whole = np.array([1.0, 3.0])
    found = _integrate(lambda x: x @ matrix @ x, lambda x: 2 * matrix @ x, whole)
    np.testing.assert_allclose(found.parts[0], whole * (matrix @ whole), rtol=1e-12)
    assert not found.jumps


def test_a_kink_is_closed_in_on():
    """max(x0, 1 + x1 / 2): x1 pays before the tie at tau = 2/3, x0 after it."""
    whole = np.array([2.0, 1.0])
    found = _integrate(
        lambda x: max(x[0], 1 + x[1] / 2),
        lambda x: np.array([1.0, 0.0]) if x[0] > 1 + x[1] / 2 else np.array([0.0, 0.5]),
        whole,
    )
    np.testing.assert_allclose(found.parts[0], [2 / 3, 1 / 3], atol=2e-4)
    assert found.is_accurate and found.error < 1e-4


def test_shares_are_refined_where_only_who_pays_changes():
    """max(x0, x1 + bend) with equal slopes: the sum has no kink, the shares do."""
    whole = np.array([1.0, 1.0])
    found = _integrate(
        lambda x: x.mean(),
        lambda x: np.array([1.0, 0.0]) if x[0] > 0.3 else np.array([0.0, 1.0]),
        whole,
    )
    np.testing.assert_allclose(found.parts[0], [0.7, 0.3], atol=2e-4)


def test_a_jump_is_found_and_shared_by_what_moves_it():
    """Normal to x0 + 3 x1 = 2 at (1, 2) tau: parts 1/7 and 6/7, at tau = 2/7."""
    whole = np.array([1.0, 2.0])

    def moved(tau, coordinates, shift):
        points = tau[:, None] * whole
        points[np.arange(len(tau)), coordinates] *= 1 + shift
        return np.array([[_step(x)] for x in points])

    found = _integrate(lambda x: x[0] + _step(x), lambda x: np.array([1.0, 0.0]), whole)
    (jump,) = found.jumps
    assert jump.tau == pytest.approx(2 / 7, abs=1e-9)
    assert jump.height == pytest.approx([5.0], abs=1e-6)
    np.testing.assert_allclose(found.parts[0], [1.0, 0.0], atol=1e-6)
    bare = type(jump)(jump.start, jump.end, np.zeros(1), np.full(1, 5.0))
    parts = jump_parts(moved, bare, ONE, np.arange(2), 1e-6)
    np.testing.assert_allclose(parts, [1 / 7, 6 / 7], rtol=1e-3)


def test_a_jump_that_no_coordinate_moves_is_not_shared():
    whole = np.array([1.0, 2.0])
    found = _integrate(lambda x: x[0] + _step(x), lambda x: np.array([1.0, 0.0]), whole)

    def unmoved(tau, coordinates, shift):
        return np.where(tau > found.jumps[0].tau, 5.0, 0.0)[:, None]

    assert jump_parts(unmoved, found.jumps[0], ONE, np.arange(2), 1e-6) is None


def test_too_few_nodes_are_said_to_be():
    found = _integrate(
        lambda x: abs(x[0] - 0.3),
        lambda x: np.sign(x - 0.3),
        np.array([1.0]),
        max_nodes=30,
    )
    assert not found.is_accurate
    assert found.num_nodes <= 30
