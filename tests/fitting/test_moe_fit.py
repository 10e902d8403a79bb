"""The fit of a mixture of experts: a known one is found, real ones within bounds."""

import dataclasses as dc

import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._errors import ProfileError
from carbjax._fitting.fit import GpuFacts
from carbjax._fitting.moe_fit import (
    fit_moe,
    moe_latency,
    moe_record,
    usable_experts,
)
from carbjax._profiles import Profile
from carbjax._surrogate.moe import Moe

H200 = GpuFacts("h200-sxm", 4.8e12, 989e12, 50e6, 700.0)
TRUTH = Moe(1.5e-5, 1e-9, 6e-8, 2.3e-13, 6e-13, 1.8e-15, 1.3)


def calls(noise=0.0, label="power_law_1.01", **changed) -> Profile:
    """What `TRUTH` would take on a grid of models, degrees and numbers of tokens."""
    models = [(2048, 768, 128, 8), (4096, 1536, 128, 8), (4096, 14336, 8, 2)]
    grid = [
        (tokens, hidden, size / degree, experts, chosen, degree)
        for hidden, size, experts, chosen in models
        for degree in (1, 2, 4)
        for tokens in np.geomspace(1, 16384, 15).round()
    ]
    names = "num_tokens hidden_size intermediate_size num_experts experts_per_token"
    columns = dict(zip((*names.split(), "tensor_parallel"), np.array(grid).T, strict=True))
    blank = Profile.of(
        "moe", np.ones(len(grid)), label=label, expert_parallel=1.0, **(columns | changed)
    )
    factor = np.exp(noise * np.random.default_rng(0).normal(size=len(grid)))
    latency = np.asarray(moe_latency(TRUTH, blank)) * factor
    return Profile.of(
        "moe", latency, label=label, expert_parallel=1.0, **(columns | changed)
    )


def test_a_known_mixture_is_found_again():
    profile = calls(noise=0.01)
    found = fit_moe(profile, H200, np.ones(len(profile), dtype=bool))
    got, true = moe_latency(found, profile), moe_latency(TRUTH, profile)
    assert jnp.allclose(got, true, rtol=0.02)
    assert found.weight_byte == pytest.approx(TRUTH.weight_byte, rel=0.05)
    assert found.spread == pytest.approx(TRUTH.spread, rel=0.2)


def test_rows_that_are_not_for_training_do_not_count():
    profile = calls()
    train = np.arange(len(profile)) % 2 == 0
    spoiled = np.where(train, 1.0, 50.0) * profile.latency_s
    other = dc.replace(profile, latency_s=spoiled)
    assert fit_moe(other, H200, train) == fit_moe(profile, H200, train)


@pytest.mark.parametrize(
    "changed, why",
    [
        ({"expert_parallel": 4.0}, "whole experts a GPU"),
        ({"tensor_parallel": 16.0}, "more GPUs than a node"),
        ({"intermediate_size": 176.0}, "part-filled tiles"),
        ({"num_tokens": 1.0, "intermediate_size": 64.0}, "weights in the L2"),
    ],
)
def test_calls_that_stand_for_no_server_are_dropped(changed, why):
    profile = calls()
    columns = {k: np.full(len(profile), v) for k, v in changed.items()}
    odd = dc.replace(profile, **columns)
    assert len(usable_experts(odd, H200)) == 0, why
    assert len(usable_experts(profile, H200)) > 0.8 * len(profile)


def test_evenly_routed_calls_touch_as_many_experts_as_they_can():
    even, skewed = calls(label="balanced"), calls()
    assert np.all(even.latency_s >= skewed.latency_s)
    one = even.num_tokens == 1
    assert np.allclose(even.latency_s[one], skewed.latency_s[one], rtol=1e-9)


def test_too_few_calls_are_refused():
    profile = calls()
    with pytest.raises(ProfileError, match="too few"):
        fit_moe(profile, H200, np.arange(len(profile)) < 10)


def test_unseen_models_and_batches_of_the_measured_gpu(shared_data):
    record, errors = moe_record(H200, shared_data)
    assert errors["moe latency, unseen models"]["mape"] < 8
    assert errors["moe latency, unseen numbers of tokens"]["mape"] < 8
    assert errors["moe latency, larger batches"]["mape"] < 12
    assert min(e["rows"] for e in errors.values()) > 500
    peak = 1 / Moe.from_record(record).weight_byte
    assert 0.8 * 4.8e12 < peak < 4.8e12  # bytes/s of weights: near the memory's, below it
