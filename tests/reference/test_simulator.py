"""The simulator against timelines worked out on paper, one rule of serving a test.

Iterations last 1 s, so the j-th of an unbroken run starts at j - 1. A schedule is
written as "p0:3 d1": request 0 reads 3 prompt tokens while request 1 decodes.
"""

import math

import pytest

from .features import Features
from .simulator import POLICIES, Caps, Request, Result, simulate

ROOMY = Caps(max_num_seqs=8, max_num_batched_tokens=100)
both_admitting_prompts = pytest.mark.parametrize("policy", ["prefill_first", "static"])
every_policy = pytest.mark.parametrize("policy", POLICIES)


def one_second(features: Features) -> tuple[float, float]:
    return 1.0, 10.0


def serve(requests, policy, caps=ROOMY) -> Result:
    return simulate([Request(*r) for r in requests], policy, caps, one_second)


def schedule(result: Result) -> list[str]:
    def word(p):
        tokens = f":{p.features.num_tokens:.0f}" if p.phase == "prefill" else ""
        return f"{p.phase[0]}{p.request}{tokens}"

    return [" ".join(word(p) for p in it.participants) for it in result.iterations]


def test_prefill_first_on_paper():
    result = serve([(0.0, 3, 3), (0.5, 2, 2)], "prefill_first")
    assert schedule(result) == ["p0:3", "p1:2", "d0 d1", "d0"]
    assert result.finish_s == [4.0, 3.0]
    assert result.ttft_s == [1.0, 1.5]
    assert result.start_s == [0.0, 1.0]
    assert (result.begin_s, result.end_s, result.busy_s) == (0.0, 4.0, 4.0)
    assert (result.energy_j, result.num_iterations) == (40.0, 4)


def test_chunked_prefill_on_paper():
    caps = ROOMY._replace(max_num_batched_tokens=4)
    result = serve([(0.0, 3, 3), (0.5, 5, 2)], "chunked_prefill", caps)
    assert schedule(result) == ["p0:3", "d0 p1:3", "d0 p1:2", "d1"]
    assert result.finish_s == [3.0, 4.0]
    assert result.ttft_s == [1.0, 2.5]
    assert result.start_s == [0.0, 1.0]


def test_static_on_paper():
    result = serve([(0.0, 3, 3), (0.5, 2, 2)], "static")
    assert schedule(result) == ["p0:3", "d0", "d0", "p1:2", "d1"]
    assert result.finish_s == [3.0, 5.0]
    assert result.ttft_s == [1.0, 3.5]
    assert result.start_s == [0.0, 3.0]


def test_features_of_a_mixed_batch():
    caps = ROOMY._replace(max_num_batched_tokens=4)
    result = serve([(0.0, 3, 3), (0.5, 5, 2)], "chunked_prefill", caps)
    first, opening, ending, last = (it.features for it in result.iterations)
    assert first == (3, 1, 1 + 2 + 3, 3, 0, 0, 0)
    # Request 0 has emitted one token and reads 3 + 1; the chunk does not end a prompt.
    assert opening == (1 + 3, 1 + 0, 1 + 2 + 3, 3, 1, 4, 16)
    # Tokens 4 and 5 of the prompt see 4 and 5 tokens, and the kernel reads all five.
    assert ending == (1 + 2, 1 + 1, 4 + 5, 5, 1, 5, 25)
    assert last == (1, 1, 0, 0, 1, 6, 36)


def test_cost_sees_the_batch_of_the_iteration():
    def cost(f):
        return 1.0 + f.num_tokens, f.prefill_pairs + f.decode_kv

    result = simulate([Request(7.0, 2, 3)], "static", ROOMY, cost)
    # Prompt: 1 + 2 s and 3 J. Two decodes with contexts 3 and 4: 2 s each.
    assert (result.busy_s, result.energy_j, result.end_s) == (7.0, 3 + 3 + 4, 14.0)
    assert result.ttft_s == [3.0]


@pytest.mark.parametrize("arrival, finish", [(1.0, 3.0), (1.0 + 1e-9, 4.0)])
def test_visible_at_a_boundary_when_arrived_by_then(arrival, finish):
    result = serve([(0.0, 1, 3), (arrival, 1, 2)], "prefill_first")
    assert result.start_s[1] == (1.0 if arrival == 1.0 else 2.0)
    assert result.finish_s[1] == finish


@every_policy
def test_first_come_first_served_and_ties_by_index(policy):
    caps = ROOMY._replace(max_num_seqs=1)
    result = serve([(0.3, 1, 1), (0.0, 1, 1), (0.3, 1, 1), (0.2, 1, 1)], policy, caps)
    assert schedule(result) == ["p1:1", "p3:1", "p0:1", "p2:1"]


@pytest.mark.parametrize("policy", ["prefill_first", "chunked_prefill"])
def test_blocked_head_blocks_all_behind_it(policy):
    caps = ROOMY._replace(kv_capacity_tokens=10)
    result = serve([(0.0, 2, 3), (0.5, 5, 1), (0.5, 1, 1)], policy, caps)
    # 5 are reserved: request 1 needs 6 of the 5 left, request 2 would need only 2.
    assert schedule(result) == ["p0:2", "d0", "d0", "p1:5 p2:1"]


@both_admitting_prompts
def test_prompts_fill_the_budget_exactly_and_no_more(policy):
    caps = ROOMY._replace(max_num_batched_tokens=5)
    result = serve([(0.0, 3, 1), (0.0, 2, 1), (0.0, 1, 1)], policy, caps)
    assert schedule(result) == ["p0:3 p1:2", "p2:1"]


@both_admitting_prompts
def test_prompt_beyond_the_budget_is_prefilled_alone(policy):
    caps = ROOMY._replace(max_num_batched_tokens=4)
    result = serve([(0.0, 1, 1), (0.0, 9, 1), (0.0, 0, 1)], policy, caps)
    assert schedule(result) == ["p0:1", "p1:9", "p2:0"]


def test_prompt_beyond_the_budget_is_read_in_chunks():
    caps = ROOMY._replace(max_num_batched_tokens=4)
    result = serve([(0.0, 9, 1), (0.0, 1, 1)], "chunked_prefill", caps)
    assert schedule(result) == ["p0:4", "p0:4", "p0:1 p1:1"]
    assert [it.features.num_sequences for it in result.iterations] == [0, 0, 2]


@every_policy
@pytest.mark.parametrize("capacity, joins", [(10, True), (9, False)])
def test_reservation_is_prompt_and_answer_of_all_running(policy, capacity, joins):
    caps = ROOMY._replace(kv_capacity_tokens=capacity)
    first = schedule(serve([(0.0, 2, 3), (0.0, 1, 4)], policy, caps))[0]
    assert first == ("p0:2 p1:1" if joins else "p0:2")


@every_policy
def test_capacity_is_free_again_at_the_boundary_of_the_end(policy):
    caps = ROOMY._replace(kv_capacity_tokens=5)
    result = serve([(0.0, 3, 2), (0.0, 3, 2)], policy, caps)
    assert schedule(result) == ["p0:3", "d0", "p1:3", "d1"]


@every_policy
def test_running_requests_are_at_most_max_num_seqs(policy):
    caps = ROOMY._replace(max_num_seqs=2)
    result = serve([(0.0, 1, 1), (0.0, 1, 2), (0.0, 1, 1)], policy, caps)
    rest = {
        "prefill_first": ["p2:1", "d1"],
        "chunked_prefill": ["d1 p2:1"],
        "static": ["d1", "p2:1"],
    }
    assert schedule(result) == ["p0:1 p1:1", *rest[policy]]


@every_policy
def test_no_answer_ends_with_the_prefill_and_reserves_the_prompt(policy):
    caps = ROOMY._replace(kv_capacity_tokens=5)
    result = serve([(0.0, 3, 0), (0.0, 2, 0)], policy, caps)
    assert schedule(result) == ["p0:3 p1:2"]
    assert result.finish_s == result.ttft_s == [1.0, 1.0]


@every_policy
def test_answer_of_one_token_needs_no_decode(policy):
    result = serve([(0.0, 3, 1)], policy)
    assert schedule(result) == ["p0:3"]
    assert result.finish_s == result.ttft_s == [1.0]


@every_policy
def test_empty_prompt_has_a_zero_token_prefill(policy):
    result = serve([(0.0, 0, 3)], policy)
    assert schedule(result) == ["p0:0", "d0", "d0"]
    prefill, first, second = (it.features for it in result.iterations)
    assert prefill == (0, 1, 0, 0, 0, 0, 0)
    assert first == (1, 1, 0, 0, 1, 1, 1)
    assert second == (1, 1, 0, 0, 1, 2, 4)
    assert result.ttft_s == [1.0]


@pytest.mark.parametrize("budget, start", [(1, 3.0), (2, 0.0)])
def test_empty_prompt_needs_one_of_the_chunked_budget(budget, start):
    caps = ROOMY._replace(max_num_batched_tokens=budget)
    result = serve([(0.0, 1, 3), (0.0, 0, 1)], "chunked_prefill", caps)
    # A budget of 1 goes to the first prompt, then to its decodes. Of 2, one is left.
    assert result.start_s[1] == start


def test_empty_prompt_takes_one_of_the_chunked_budget():
    caps = ROOMY._replace(max_num_batched_tokens=3)
    result = serve([(0.0, 0, 1), (0.0, 5, 1)], "chunked_prefill", caps)
    assert schedule(result) == ["p0:0 p1:2", "p1:3"]


def test_decodes_that_fill_the_budget_leave_no_chunk_and_no_admission():
    caps = ROOMY._replace(max_num_batched_tokens=2)
    requests = [(0.0, 1, 3), (0.0, 1, 2), (0.0, 2, 1)]
    result = serve(requests, "chunked_prefill", caps)
    assert schedule(result) == ["p0:1 p1:1", "d0 d1", "d0 p2:1", "p2:1"]


def test_begun_prompts_come_before_new_ones():
    caps = ROOMY._replace(max_num_batched_tokens=3)
    requests = [(0.0, 1, 2), (0.0, 5, 1), (0.0, 2, 1)]
    result = serve(requests, "chunked_prefill", caps)
    assert schedule(result) == ["p0:1 p1:2", "d0 p1:2", "p1:1 p2:2"]


def test_begun_prompt_holds_its_slot():
    caps = ROOMY._replace(max_num_batched_tokens=4, max_num_seqs=1)
    result = serve([(0.0, 6, 1), (0.0, 1, 1)], "chunked_prefill", caps)
    assert schedule(result) == ["p0:4", "p0:2", "p1:1"]


def test_prefill_interrupts_decoding():
    result = serve([(0.0, 1, 4), (1.5, 1, 1)], "prefill_first")
    assert schedule(result) == ["p0:1", "d0", "p1:1", "d0", "d0"]


def test_static_waits_until_all_have_finished():
    result = serve([(0.0, 1, 4), (0.0, 1, 2), (0.5, 1, 1)], "static")
    assert schedule(result) == ["p0:1 p1:1", "d0 d1", "d0", "d0", "p2:1"]


@every_policy
def test_null_players_take_no_time_and_no_slot(policy):
    caps = ROOMY._replace(max_num_seqs=1)
    result = serve([(0.0, 0, 0), (5.0, 1, 1), (5.0, 0, 0)], policy, caps)
    assert (result.begin_s, result.end_s) == (5.0, 6.0)
    assert result.finish_s[1] == 6.0
    for times in (result.finish_s, result.ttft_s, result.start_s):
        assert math.isnan(times[0]) and math.isnan(times[2])


@every_policy
def test_only_null_players_means_no_iteration(policy):
    result = serve([(0.0, 0, 0)], policy)
    assert (result.busy_s, result.energy_j, result.num_iterations) == (0.0, 0.0, 0)
    assert math.isnan(result.end_s)


@every_policy
def test_idles_until_the_next_arrival(policy):
    result = serve([(-3.0, 1, 2), (4.25, 1, 1)], policy)
    assert [it.start_s for it in result.iterations] == [-3.0, -2.0, 4.25]
    assert (result.end_s, result.busy_s) == (5.25, 3.0)


@pytest.mark.parametrize("caps", [Caps(0, 1), Caps(1, 0), Caps(1, 1, 0), Caps(1, 1, 4)])
def test_impossible_caps_are_errors(caps):
    with pytest.raises(ValueError):
        serve([(0.0, 3, 2)], "static", caps)
