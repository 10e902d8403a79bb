"""The paper's two case studies have the paper's answers."""

import numpy as np
import pytest

from experiments import case_studies


@pytest.mark.parametrize(
    ("method", "shares", "left"), [("leave_one_out", 2.0, 38.0), ("shapley", 6.0, 30.0)]
)
def test_leave_one_out_leaves_most_with_the_provider(method, shares, left):
    found = case_studies.attribute_table_game(method)
    np.testing.assert_allclose(found.shares, [shares, shares], rtol=1e-12)
    assert found.unattributed == pytest.approx(left, rel=1e-12)
    assert abs(found.residual) < 1e-12 * found.total


def test_tokens_contradict_themselves():
    together, by_parts = case_studies.both_ways("tokens")
    np.testing.assert_allclose(together, [7.0, 7.0], rtol=1e-9)
    np.testing.assert_allclose(by_parts, [8.5, 5.5], rtol=1e-9)


@pytest.mark.parametrize(
    "method", [pytest.param("shapley", marks=pytest.mark.slow), "streaming"]
)
def test_linear_methods_do_not(method):
    """Nobody shares the machine, so each owes what its own tokens emit."""
    together, by_parts = case_studies.both_ways(method)
    np.testing.assert_allclose(together, [8.5, 5.5], rtol=1e-9)
    np.testing.assert_allclose(by_parts, together, rtol=1e-9)
