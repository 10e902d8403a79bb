"""The random cases reach the corners they are meant to reach, and repeat."""

import numpy as np
import pytest

from .costs import attention_part, combined, random_cost
from .features import Features
from .workloads import cases

SOME = list(cases(seed=0, count=90, max_answer=100))


def test_cases_repeat():
    assert list(cases(seed=0, count=90, max_answer=100)) == SOME


def test_cases_reach_the_corners():
    results = [case.simulate() for case in SOME]
    requests = [request for case in SOME for request in case.requests]
    assert {r.num_decode_tokens for r in requests} >= {0, 1, 2, 100}
    assert {r.num_prefill_tokens for r in requests} >= {0, 1}
    assert any(r.is_null for r in requests)
    assert {case.caps.max_num_seqs for case in SOME} == set(range(1, 9))
    assert any(r.end_s - r.begin_s > r.busy_s * (1 + 1e-6) for r in results)
    phases = [{p.phase for p in it.participants} for r in results for it in r.iterations]
    assert {"prefill", "decode"} in phases
    over_budget = [
        it.features.num_tokens > case.caps.max_num_batched_tokens
        for case, result in zip(SOME, results, strict=True)
        for it in result.iterations
    ]
    assert any(over_budget)
    simultaneous = [
        len({r.arrival_s for r in case.requests}) < len(case.requests) for case in SOME
    ]
    assert any(simultaneous)


def test_nobody_begins_before_arriving_and_all_finish():
    for case in SOME:
        result = case.simulate()
        for i, request in enumerate(case.requests):
            if not request.is_null:
                assert request.arrival_s <= result.start_s[i] < result.finish_s[i]
        clock = [t for it in result.iterations for t in (it.start_s, it.end_s)]
        assert clock == sorted(clock)


@pytest.mark.parametrize("seed", range(5))
def test_costs_are_positive_and_grow_with_every_feature(seed):
    rng = np.random.default_rng(seed)
    parameters = random_cost(rng)
    scale = np.array([2000, 64, 1e6, 4000, 64, 1e5, 1e9])
    for form in parameters:
        for _ in range(50):
            batch = scale * rng.random(7) ** 3
            # Squares of contexts add up to at most the square of their sum.
            batch[6] = min(batch[6], batch[5] ** 2)
            value = combined(form, Features(*batch))
            assert value > 0
            for m in range(7):
                more = batch.copy()
                more[m] *= 1.01
                assert combined(form, Features(*more)) >= value


def test_attention_that_is_not_in_use_costs_nothing():
    for form in random_cost(np.random.default_rng(0)):
        assert attention_part(form, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0) == 0.0
        prefill = attention_part(form, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0)
        decode = attention_part(form, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0)
        assert form["prefill_launch"] < prefill < form["prefill_launch"] * 1.1
        assert form["decode_launch"] + form["kv_floor"] < decode
