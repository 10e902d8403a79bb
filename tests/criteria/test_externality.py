"""Who else gains or loses when one user shortens."""

import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._criteria.externality import externality
from carbjax._errors import InputError
from carbjax._serving.serve import serve
from carbjax._workload import Workload
from tests.criteria.counted_methods import PRICE_G, flat, small_case


@pytest.mark.parametrize(
    "method, idle",
    [
        ("streaming", "unattributed"),
        ("streaming", "usage"),
        ("tokens", "equal"),
        ("leave_one_out", "usage"),
    ],
)
def test_rows_close_against_the_change_of_the_total(method, idle):
    workload, system = small_case()
    found = externality(workload, system, method, idle=idle)
    scale = np.abs(found.total_g).max()
    np.testing.assert_allclose(found.residual_g, 0, atol=1e-7 * scale)
    standing = float(serve(workload, system).standing.total)
    before = serve(workload, system).carbon_g - standing
    for i, total in zip(found.requests, found.total_g, strict=True):
        decode = workload.num_decode_tokens.copy()
        decode[i] //= 2
        cut = serve(workload.with_tokens(workload.num_prefill_tokens, decode), system)
        after = cut.carbon_g - float(cut.standing.total)
        np.testing.assert_allclose(total, after - before, atol=1e-9 * standing)


def test_an_entry_is_the_change_of_that_share():
    workload, system = small_case()
    found = externality(workload, system, "time", what="prompt", factor=0.25)
    prefill = workload.num_prefill_tokens.copy()
    prefill[2] //= 4
    cut = workload.with_tokens(prefill, workload.num_decode_tokens)
    before, after = (attribute(x, system, "time").shares for x in (workload, cut))
    np.testing.assert_allclose(found.change_g[2], after - before, atol=1e-12)


def test_at_a_flat_price_nobody_else_is_touched():
    workload, system = small_case()
    workload = Workload(
        workload.arrival_s, [8, 7, 1, 6], [2, 3, 4, 5], [0, 1, 1, 0], workload.epoch
    )
    found = externality(workload, small_case()[1], flat, requests=[3, 2])
    np.testing.assert_allclose(found.own_g, [-3 * PRICE_G, -2 * PRICE_G])
    np.testing.assert_allclose(found.others_g, [0, 0], atol=1e-15)
    np.testing.assert_array_equal(found.player, [0, 1])


def test_cutting_nothing_changes_nothing():
    workload, system = small_case()
    found = externality(workload, system, "streaming", factor=1.0)
    assert not found.change_g.any() and not found.total_g.any()


@pytest.mark.parametrize("bad", [{"what": "answer"}, {"factor": -1.0}, {"requests": [7]}])
def test_bad_arguments_are_named(bad):
    workload, system = small_case()
    with pytest.raises(InputError, match=next(iter(bad)).rstrip("s")):
        externality(workload, system, **bad)
