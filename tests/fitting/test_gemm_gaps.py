"""Gaps between measured sizes are filled evenly, and only gaps."""

import numpy as np

from carbjax._fitting.gemm_gaps import gap_rows
from carbjax._profiles.profile import Profile
from carbjax._surrogate.gemm import Gemm

ROOFLINE = Gemm(1e-6, 0.0, 1e-12, 0.0, 1e-15)
M = 64.0


def profile_of(n, k, slower) -> Profile:
    """Products that take `slower` times what the roofline says."""
    n, k = np.asarray(n, float), np.asarray(k, float)
    latency = np.asarray(slower) * np.asarray(ROOFLINE.latency(M, n, k, 2.0))
    return Profile.of("gemm", latency, num_tokens=np.full(len(n), M), n=n, k=k, source="x")


def test_between_two_sizes_the_ratio_to_the_roofline_goes_evenly():
    rows = profile_of([4096, 4096 * 4], [512, 512], [2.0, 8.0])
    between, expected = gap_rows(rows, ROOFLINE)
    ratio = np.exp(expected) / np.asarray(ROOFLINE.latency(*between.T))
    np.testing.assert_allclose(ratio, 2.0 * (between[:, 1] / 4096), rtol=1e-12)
    assert (between[:, 1] > 4096).all() and (between[:, 1] < 4 * 4096).all()
    assert len(between) > 3 and (between[:, 2] == 512).all() and (between[:, 0] == M).all()


def test_k_is_filled_as_n_is():
    along_n, _ = gap_rows(profile_of([512, 2048], [512, 512], 1.0), ROOFLINE)
    along_k, _ = gap_rows(profile_of([512, 512], [512, 2048], 1.0), ROOFLINE)
    np.testing.assert_allclose(along_k[:, 2], along_n[:, 1])


def test_sizes_that_double_at_most_leave_no_gap():
    rows = profile_of([512, 1024, 2048], [512, 512, 512], 1.0)
    between, expected = gap_rows(rows, ROOFLINE)
    assert between.shape == (0, 4) and expected.shape == (0,)


def test_rows_of_other_products_are_no_neighbours():
    rows = profile_of([512, 4096], [512, 1024], 1.0)
    assert len(gap_rows(rows, ROOFLINE)[0]) == 0
