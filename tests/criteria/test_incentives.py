"""Reduction rewards against serving again by hand, and what they must be."""

import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._attribution.methods import methods
from carbjax._criteria import variants
from carbjax._criteria.incentives import keep, reduction_reward
from carbjax._errors import InputError
from carbjax._serving.serve import serve
from carbjax._workload import Workload
from tests.criteria.counted_methods import PRICE_G, counted, flat, sees_nobody, small_case

METHODS = [("streaming", "on_demand")] + [
    (method, "always_on")
    for method in ("streaming", "iteration_equal", "time", "demand", "leave_one_out")
]


def _cut(workload, request, *, prompt=1.0, decode=1.0):
    prefill, answer = workload.num_prefill_tokens.copy(), workload.num_decode_tokens.copy()
    prefill[request] = np.floor(prefill[request] * prompt)
    answer[request] = np.floor(answer[request] * decode)
    return workload.with_tokens(prefill, answer)


@pytest.mark.parametrize("method, provisioning", METHODS)
def test_it_is_what_serving_again_by_hand_gives(method, provisioning):
    workload, system = small_case(provisioning)
    report = reduction_reward(workload, system, method)
    base = attribute(workload, system, method).shares
    paid = np.abs(base) > 1e-12
    for i in np.flatnonzero(paid):
        prompt = attribute(_cut(workload, i, prompt=0.5), system, method).shares[i]
        decode = attribute(_cut(workload, i, decode=0.5), system, method).shares[i]
        np.testing.assert_allclose(report.prompt[i], 1 - prompt / base[i], atol=1e-9)
        np.testing.assert_allclose(report.decode[i], 1 - decode / base[i], atol=1e-9)
    assert np.isnan(report.prompt[~paid]).all() and paid.any()


def test_exact_shapley_is_reduced_in_its_own_game():
    workload, system = small_case()
    report = reduction_reward(workload, system, "shapley", requests=[1], what=["decode"])
    after = attribute(_cut(workload, 1, decode=0.5), system, "shapley").shares[1]
    np.testing.assert_allclose(report.reduced_decode_g, [after], rtol=1e-9)
    assert report.prompt is None and report.reduced_prompt_g is None


@pytest.mark.parametrize("method", ["streaming", "time", "leave_one_out"])
def test_the_window_of_the_unreduced_workload_stays(method):
    workload, system = small_case()
    last = int(np.nanargmax(serve(workload, system).finish_s))
    report = reduction_reward(workload, system, method, requests=[last], idle="equal")
    cut = _cut(workload, last, decode=0.5)
    asking = np.count_nonzero(~workload.is_null)
    own = attribute(cut, system, method).shares[last]
    kept = own + float(serve(workload, system).standing.total) / asking
    shrunk = own + float(serve(cut, system).standing.total) / asking
    np.testing.assert_allclose(report.reduced_decode_g, [kept], rtol=1e-12)
    assert abs(kept - shrunk) > 1e-6 * kept


def test_what_is_known_is_not_asked_again():
    workload, system = small_case()
    known = attribute(workload, system, "leave_one_out")
    tokens: list[int] = []

    def method(game, *, workload, **rest):
        asked = workload.num_prefill_tokens + workload.num_decode_tokens
        tokens.append(int(asked.sum()))
        return methods()["leave_one_out"](game, workload=workload, **rest)

    told = reduction_reward(workload, system, method, requests=[0, 1], known=known)
    whole = int(workload.num_prefill_tokens.sum() + workload.num_decode_tokens.sum())
    assert tokens and whole not in tokens
    report = reduction_reward(workload, system, method, requests=[0, 1])
    assert whole in tokens
    np.testing.assert_allclose(told.decode, report.decode, rtol=1e-12)
    np.testing.assert_allclose(told.base_g, known.shares[:2], rtol=1e-12)


def test_games_are_given_the_window_too():
    workload, system = small_case()
    report = reduction_reward(workload, system, sees_nobody, requests=[0])
    standing = float(serve(workload, system).standing.total)
    np.testing.assert_allclose(report.reduced_decode_g, [standing], rtol=1e-12)
    assert report.method == "sees_nobody"


def test_at_a_flat_price_the_reward_is_the_tokens_part():
    workload, system = small_case()
    workload = workload.with_tokens([8, 7, 1, 0], [2, 3, 4, 5])
    report = reduction_reward(workload, system, flat)
    np.testing.assert_allclose(report.prompt, [4 / 10, 4 / 10, 1 / 5, 0])
    np.testing.assert_allclose(report.decode, [1 / 10, 2 / 10, 2 / 5, 3 / 5])
    np.testing.assert_allclose(report.base_g, PRICE_G * np.array([10, 10, 5, 5]))


def test_alone_a_request_pays_for_the_whole_machine_by_tokens():
    system = small_case("on_demand")[1]
    alone = Workload([0.0], [40], [6], epoch=small_case()[0].epoch)
    whole = serve(alone, system).carbon_g
    less = serve(_cut(alone, 0, decode=0.5), system).carbon_g
    for method in ("tokens", "leave_one_out", "streaming"):
        reward = reduction_reward(alone, system, method).decode
        np.testing.assert_allclose(reward, [1 - less / whole], rtol=1e-6)


def test_by_tokens_the_reward_has_a_closed_form():
    workload, system = small_case()
    workload = workload.with_tokens([8, 7, 1, 0], [2, 3, 4, 5])
    cut = _cut(workload, 0, prompt=0.5)
    whole, less = (
        x.carbon_g - float(x.standing.total)
        for x in (serve(workload, system), serve(cut, system))
    )
    expected = 1 - (less * 6 / 26) / (whole * 10 / 30)
    report = reduction_reward(workload, system, "tokens", requests=[0])
    np.testing.assert_allclose(report.prompt, [expected], rtol=1e-9)


def test_who_pays_nothing_has_no_reward_and_a_flag_says_so():
    workload, system = small_case()
    workload = workload.with_tokens([8, 0, 1, 9], [2, 0, 0, 5])
    for method in ("streaming", "leave_one_out"):
        report = reduction_reward(workload, system, method)
        assert np.isnan([report.prompt[1], report.decode[1]]).all()
        assert np.isfinite(np.delete(report.prompt, 1)).all()
        assert "C(p) = 0, no reward: request 1" in report.flags
    prompt_only = reduction_reward(workload, system, "energy_per_token", requests=[2])
    assert np.isnan(prompt_only.prompt).all()


def test_a_method_that_refuses_the_reduced_workload_is_flagged():
    workload, system = small_case()
    workload = workload.with_tokens([8, 3, 1, 9], [1, 0, 0, 0])
    report = reduction_reward(workload, system, "energy_per_token", requests=[0])
    assert np.isnan(report.decode).all() and report.prompt.shape == (1,)
    assert any("no request has an answer" in flag for flag in report.flags)
    with pytest.raises(InputError, match="as it is: .*no request has an answer"):
        nobody = workload.with_tokens([8, 3, 1, 9], [0, 0, 0, 0])
        reduction_reward(nobody, system, "energy_per_token")


def test_keeping_all_changes_nothing_and_keeping_nothing_leaves_the_other_part():
    workload, system = small_case()
    workload = workload.with_tokens([8, 7, 1, 6], [2, 3, 4, 5])
    report = reduction_reward(workload, system, "streaming", factor=[1, 0, 0.5])
    assert report.prompt.shape == report.decode.shape == (3, 4)
    np.testing.assert_array_equal(report.prompt[0], np.zeros(4))
    no_prompt = attribute(_cut(workload, 2, prompt=0), system).shares[2]
    np.testing.assert_allclose(report.reduced_prompt_g[1:, 2], no_prompt, rtol=1e-12)
    half = reduction_reward(workload, system, "streaming", factor=0.5)
    np.testing.assert_allclose(report.decode[2], half.decode, rtol=1e-12)


def test_who_asks_for_nothing_any_more_pays_nothing():
    system = small_case()[1]
    alone = Workload([0.0], [40], [0], epoch=small_case()[0].epoch)
    assert reduction_reward(alone, system, "streaming", factor=0).prompt == 1
    spread = reduction_reward(alone, system, "streaming", factor=0, idle="equal")
    assert np.isnan(spread.prompt).all()
    assert any("nobody to charge" in flag for flag in spread.flags)


def test_tokens_are_rounded_down():
    np.testing.assert_array_equal(keep(np.array([1, 5, 7]), 0.5), [0, 2, 3])
    np.testing.assert_array_equal(keep(np.array([100]), 0.29), [29])


def test_a_tenant_is_judged_by_its_whole_share():
    workload, system = small_case()
    tenants = Workload(
        workload.arrival_s, [8, 7, 1, 6], [2, 3, 4, 5], [0, 0, 1, 1], workload.epoch
    )
    report = reduction_reward(tenants, small_case()[1], counted(lambda p, d: p))
    np.testing.assert_allclose(report.prompt, [4 / 15, 4 / 15, 1 / 7, 3 / 7])
    assert any("several requests" in flag for flag in report.flags)


@pytest.mark.parametrize("method", ["iteration_equal", "time"])
def test_one_after_the_other_is_as_side_by_side(method, monkeypatch):
    workload, system = small_case()
    together = reduction_reward(workload, system, method)
    monkeypatch.setattr(variants, "MOST_REQUESTS_IN_OWN_SLOTS", 1)
    apart = reduction_reward(workload, system, method)
    np.testing.assert_allclose(together.decode, apart.decode, atol=1e-12)
    monkeypatch.undo()
    monkeypatch.setattr(variants, "_MOST_SLOTS", 24)  # three at once, the last alone
    in_chunks = reduction_reward(workload, system, method)
    np.testing.assert_allclose(together.prompt, in_chunks.prompt, atol=1e-12)


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"factor": -0.1}, "`factor`"),
        ({"factor": []}, "`factor`"),
        ({"what": "answer"}, "`what`"),
        ({"requests": [9]}, "request 9"),
        ({"requests": []}, "`requests`"),
        ({"idle": "never"}, "idle rule"),
        ({"method": "streamin"}, "Did you mean"),
    ],
)
def test_bad_arguments_are_named(bad, message):
    workload, system = small_case()
    with pytest.raises(InputError, match=message):
        reduction_reward(workload, system, **bad)
