"""Laws of the two games, and of the shares of each iteration."""

from functools import partial

import numpy as np
import pytest

from .carbon import JOULES_PER_KWH, Machine
from .games import replay_components, replay_value, reschedule_components, serve
from .shapley import shapley_by_subsets
from .shares import (
    attributable,
    iteration_equal_shares,
    iteration_token_shares,
    time_shares,
    token_shares,
    unattributed,
)
from .simulator import Caps, Request
from .streaming import fixed_part, iteration_shares, streaming_shares
from .workloads import cases, random_machine

PROVISIONING = ["always_on", "on_demand"]
ONE_GRAM_A_JOULE = ((0.0, 100.0, JOULES_PER_KWH),)
CAPS = Caps(max_num_seqs=8, max_num_batched_tokens=4)
# With a budget of 4: p0:3, d0 p1:3, d0 p1:2, d1.
REQUESTS = [Request(0.0, 3, 3), Request(0.5, 5, 2)]


def serve_at_one_gram_a_joule(energy, **machine):
    def cost(f):
        return 1.0 + 0.0 * f.num_tokens, energy(f)

    settings = dict(idle_power_w=0.0, host_power_w=0.0, pue=1.0, embodied_g_per_s=0.0)
    chosen = Machine(
        **{**settings, **machine}, intensity=ONE_GRAM_A_JOULE, provisioning="always_on"
    )
    return serve(REQUESTS, "chunked_prefill", CAPS, cost, chosen)


def random_served(provisioning, count=6, max_requests=4):
    rng = np.random.default_rng(11)
    for case in cases(seed=11, count=count, max_requests=max_requests, max_answer=12):
        result = case.simulate()
        if result.iterations:
            machine = random_machine(rng, provisioning, result.begin_s, result.end_s)
            yield serve(case.requests, case.policy, case.caps, case.cost_fn, machine)


@pytest.mark.parametrize("provisioning", PROVISIONING)
def test_the_games_agree_on_everybody_and_on_nobody(provisioning):
    for served in random_served(provisioning):
        for coalition in (frozenset(range(served.num_players)), frozenset()):
            replayed = replay_components(served, coalition)
            assert replayed == pytest.approx(reschedule_components(served, coalition))


def test_replay_removes_the_tokens_of_the_absent():
    served = serve_at_one_gram_a_joule(lambda f: 10.0 + f.num_tokens)
    # Alone in the batches that ran, request 0 keeps 3 of them and request 1 keeps 3.
    assert replay_value(served, frozenset({0})) == pytest.approx(13 + 11 + 11)
    assert replay_value(served, frozenset({1})) == pytest.approx(13 + 12 + 11)
    assert replay_value(served, frozenset({0, 1})) == pytest.approx(13 + 14 + 13 + 11)


@pytest.mark.parametrize("provisioning", PROVISIONING)
@pytest.mark.parametrize(
    "method",
    [
        iteration_equal_shares,
        iteration_token_shares,
        time_shares,
        lambda served: token_shares(served, 1.0, 4.0),
        streaming_shares,
    ],
)
def test_shares_and_the_unattributed_make_the_whole(method, provisioning):
    for served in random_served(provisioning, count=3):
        whole = replay_value(served, frozenset(range(served.num_players)))
        assert sum(method(served)) + unattributed(served) == pytest.approx(whole, rel=1e-9)


def test_baselines_by_hand():
    served = serve_at_one_gram_a_joule(lambda f: 10.0 + f.num_tokens)
    assert attributable(served) == pytest.approx(51)
    assert iteration_equal_shares(served) == pytest.approx([13 + 7 + 6.5, 7 + 6.5 + 11])
    by_tokens = [13 + 14 / 4 + 13 / 3, 14 * 3 / 4 + 13 * 2 / 3 + 11]
    assert iteration_token_shares(served) == pytest.approx(by_tokens)
    # Request 0 is served over [0, 3], request 1 over [1, 4].
    assert time_shares(served) == pytest.approx([51 / 2, 51 / 2])
    assert token_shares(served, 1.0, 2.0) == pytest.approx([51 * 9 / 18, 51 * 9 / 18])
    assert token_shares(served, 1.0, 0.0) == pytest.approx([51 * 3 / 8, 51 * 5 / 8])


def test_requests_of_one_player_are_paid_together():
    served = serve_at_one_gram_a_joule(lambda f: 10.0 + f.num_tokens)
    together = served._replace(player=[0, 0])
    assert iteration_equal_shares(together) == pytest.approx([51.0])


def test_streaming_of_a_linear_cost_is_the_shapley_value_of_replay():
    served = serve_at_one_gram_a_joule(
        lambda f: 10.0 + 3 * f.num_tokens + f.decode_kv + 0.1 * f.prefill_pairs,
        idle_power_w=4.0,
    )
    truth = shapley_by_subsets(partial(replay_value, served), 2)
    assert streaming_shares(served) == pytest.approx(truth, rel=1e-9)


def test_streaming_of_a_quadratic_cost_by_hand():
    served = serve_at_one_gram_a_joule(lambda f: 6.0 + f.num_tokens**2)
    mixed = served.result.iterations[1]
    assert fixed_part(served, mixed) == pytest.approx(6.0)
    # The mean price over the ray of 4 tokens is 4: the decode brings 1, the chunk 3.
    assert iteration_shares(served, mixed) == pytest.approx([3 + 4, 3 + 12], rel=1e-9)


def test_fixed_part_keeps_the_launches_of_the_kernels_in_use():
    served = serve_at_one_gram_a_joule(
        lambda f: 6.0 + f.num_tokens + np.where(f.decode_tokens > 0, 2.0, 0.0)
    )
    fixed = [fixed_part(served, iteration) for iteration in served.result.iterations]
    assert fixed == pytest.approx([6, 8, 8, 8])


@pytest.mark.parametrize("provisioning", PROVISIONING)
def test_null_players_get_nothing(provisioning):
    seen = 0
    for served in random_served(provisioning, count=12):
        streamed = streaming_shares(served)
        truth = shapley_by_subsets(partial(replay_value, served), served.num_players)
        for i, request in enumerate(served.requests):
            if request.is_null:
                seen += 1
                assert truth[i] == pytest.approx(0.0, abs=1e-12)
                assert streamed[i] == 0.0
    assert seen > 0
