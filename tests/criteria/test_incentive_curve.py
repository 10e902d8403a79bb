"""Curves of rewards, elasticities, and answers that stop early."""

import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._attribution.elasticities import elasticities
from carbjax._criteria.elasticity import finite_elasticity, has_derivative
from carbjax._criteria.incentive_curve import compress, incentive_curve
from carbjax._criteria.incentives import reduction_reward
from carbjax._criteria.stopping import stopping_curve
from carbjax._errors import InputError
from carbjax._serving.serve import serve
from tests.criteria.counted_methods import PRICE_G, counted, flat, small_case


def _lengths(workload):
    return workload.with_tokens([8, 40, 1, 6], [2, 30, 4, 5])


@pytest.mark.parametrize(
    "against, values",
    [
        ("prompt", [4, 9]),
        ("decode", [1, 6]),
        ("load", [0.5, 3.0]),
        ("max_num_seqs", [1, 4]),
    ],
)
def test_a_point_is_the_reward_of_the_changed_workload(against, values):
    workload, system = small_case()
    workload = _lengths(workload)
    curve = incentive_curve(
        workload, system, "time", against=against, values=values, requests=[1, 3]
    )
    assert curve.prompt.shape == curve.decode_elasticity.shape == (2, 2)
    for i, value in enumerate(values):
        changed, machine = workload, system
        if against == "load":
            changed = compress(workload, value)
        elif against == "max_num_seqs":
            machine = type(system)(**{**vars(system), "max_num_seqs": value})
        else:
            prefill = np.array(workload.num_prefill_tokens)
            decode = np.array(workload.num_decode_tokens)
            (prefill if against == "prompt" else decode)[3] = value
            changed = workload.with_tokens(prefill, decode)
        expected = reduction_reward(changed, machine, "time", requests=[3])
        np.testing.assert_allclose(curve.decode[i, 1], expected.decode[0], atol=1e-12)
        np.testing.assert_allclose(curve.base_g[i, 1], expected.base_g[0], rtol=1e-12)


def test_elasticity_is_the_exponent_of_a_power_law():
    workload, system = small_case()
    workload = _lengths(workload)
    square = counted(lambda p, d: PRICE_G * p**2)
    asked = np.arange(4)
    slopes = finite_elasticity(workload, system, square, "prompt", asked)
    np.testing.assert_allclose(slopes, [2, 2, 2, 2], rtol=1e-9)
    slopes = finite_elasticity(workload, system, square, "decode", asked)
    np.testing.assert_array_equal(slopes, np.zeros(4))
    empty = workload.with_tokens([0, 40, 1, 6], [2, 30, 4, 5])
    slopes = finite_elasticity(empty, system, flat, "prompt", asked)
    assert np.isnan(slopes[0]) and np.isfinite(slopes[1:]).all()


def test_iterations_are_differentiated_where_they_can_be():
    workload, system = small_case()
    workload = _lengths(workload)
    curve = incentive_curve(
        workload, system, "iteration_equal", against="decode", values=[6], requests=[1]
    )
    changed = workload.with_tokens([8, 40, 1, 6], [2, 6, 4, 5])
    slopes = elasticities(changed, system, method="iteration_equal")
    assert curve.elasticity_by == "derivative"
    np.testing.assert_allclose(curve.decode_elasticity, [[slopes.decode_tokens[1]]])
    np.testing.assert_allclose(curve.prompt_elasticity, [[slopes.prefill_tokens[1]]])
    assert not has_derivative(workload, "time", "unattributed")
    assert not has_derivative(workload, "streaming", "usage")


def test_stopping_saves_what_serving_the_shorter_answer_does():
    workload, system = small_case()
    workload = _lengths(workload)
    curve = stopping_curve(workload, system, "streaming", request=1, tokens=[0, 12, 30])
    cut = workload.with_tokens([8, 40, 1, 6], [2, 12, 4, 5])
    base = attribute(workload, system).shares[1]
    after = attribute(cut, system).shares[1]
    np.testing.assert_allclose(curve.share_g[1], after, rtol=1e-9)
    np.testing.assert_allclose(curve.saved_g[1:], [base - after, 0], atol=1e-12 * base)
    above_idle = [
        run.carbon_g - float(run.standing.total)
        for run in (serve(workload, system), serve(cut, system))
    ]
    np.testing.assert_allclose(curve.total_saved_g[1], above_idle[0] - above_idle[1])


def test_at_a_flat_price_every_token_of_an_answer_costs_the_same():
    workload, system = small_case()
    curve = stopping_curve(_lengths(workload), system, flat, request=1)
    np.testing.assert_array_equal(curve.tokens, np.arange(31))
    np.testing.assert_allclose(curve.token_g, PRICE_G)


@pytest.mark.parametrize("tokens", [[3, 2], [0, 31], [-1, 2], [0.5, 1.0], []])
def test_stops_must_lie_within_the_answer(tokens):
    workload, system = small_case()
    with pytest.raises(InputError, match="`tokens`"):
        stopping_curve(_lengths(workload), system, flat, request=1, tokens=tokens)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"against": "weather"}, "`against`"),
        ({"values": []}, "`values`"),
        ({"values": [1.5]}, "`values`"),
        ({"against": "load", "values": [0.0]}, "`load`"),
        ({"factor": [0.5, 0.2]}, "one curve"),
    ],
)
def test_bad_arguments_are_named(bad, message):
    workload, system = small_case()
    with pytest.raises(InputError, match=message):
        incentive_curve(workload, system, flat, **{"values": [1], **bad})
