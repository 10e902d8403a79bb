"""Padding that pays off is found, and shrunk to what matters."""

import jax.random as jr
import numpy as np
import pytest

from carbjax._criteria.monotonicity import check_monotonicity, random_workloads
from carbjax._errors import InputError
from carbjax._workload import Workload
from tests.criteria.counted_methods import counted, flat, small_case


def _some():
    epoch = small_case()[0].epoch
    return [
        Workload([0.0, 1.0, 2.0], [8, 7, 3], [2, 3, 4], epoch=epoch),
        Workload([0.0, 1.0, 2.0], [5, 6, 90], [9, 1, 7], epoch=epoch),
    ]


def test_a_price_a_token_never_rewards_padding():
    report = check_monotonicity(flat, small_case()[1], workloads=_some(), padding=(1, 9))
    assert not report.rewards_padding and report.smallest is None
    assert report.num_checked == 2 * 3 * 2 * 2 and report.num_falls == 0


def test_a_price_that_falls_with_the_prompt_is_caught_and_shrunk():
    def price(p, d):
        return np.where(p + d > 0, 1e-6 * (1 + d) / (1 + p), 0.0)

    falling = counted(price)
    report = check_monotonicity(falling, small_case()[1], workloads=_some(), padding=(1, 9))
    assert report.rewards_padding and report.num_falls == 2 * 3 * 2
    worst = report.worst
    assert (worst.part, worst.added) == ("prompt", 9)
    counts = [(w.num_prefill_tokens, w.num_decode_tokens) for w in _some()]
    falls = [(price(p, d) - price(p + 9, d)) / price(p, d).mean() for p, d in counts]
    np.testing.assert_allclose(worst.fall_of_mean, np.max(falls))
    np.testing.assert_allclose(worst.fall, 1 - 6 / 15)  # the prompt has 5, an answer of 9
    small = report.smallest
    assert small.workload.num_requests == 1 and small.fall >= worst.fall / 2
    assert small.workload.num_decode_tokens[0] == 1


def test_what_counts_as_a_fall_is_said():
    slight = counted(lambda p, d: np.where(p + d > 0, 1e-6 * (1 - 1e-4 * p + d), 0.0))
    system = small_case()[1]
    for tolerance, caught in ((1e-6, True), (1e-2, False)):
        report = check_monotonicity(
            slight, system, workloads=_some(), padding=(1,), tolerance=tolerance
        )
        assert report.rewards_padding is caught


def test_random_workloads_are_the_same_for_the_same_key():
    first, again, other = (random_workloads(jr.key(k), 2, 3)[1] for k in (1, 1, 2))
    np.testing.assert_array_equal(first.arrival_s, again.arrival_s)
    assert (first.num_prefill_tokens != other.num_prefill_tokens).any()


def test_padding_must_be_some():
    with pytest.raises(InputError, match="`padding`"):
        check_monotonicity(flat, small_case()[1], padding=())
