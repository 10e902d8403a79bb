"""The mixture of experts of a GPU, fitted to its profile."""

import pathlib

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from carbjax._errors import ProfileError
from carbjax._fitting.fit import GpuFacts
from carbjax._fitting.least_squares import least_squares
from carbjax._fitting.report import errors
from carbjax._profiles.profile import Profile
from carbjax._profiles.read import read_profile
from carbjax._surrogate.moe import Moe

Rows = Bool[np.ndarray, " rows"]

EVEN_ROUTING = "balanced"
"""The label of calls that spread their tokens over as many experts as there are."""

EXPERTS_FROM = "h200-sxm"
"""The GPU whose profile of experts is at hand."""

_ELSEWHERE = {
    "h100-sxm": Moe(
        1.89014e-5, 1.28264e-9, 5.65176e-8, 3.14638e-13, 4.26271e-13, 1.43683e-15, 1.8511
    ),
    "b200-sxm": Moe(
        2.00989e-5, 9.57921e-10, 1.21086e-7, 1.51855e-13, 4.64741e-13, 9.94326e-16, 1.52898
    ),
}
"""Fitted in the same way to the profiles of ai-dynamo/aiconfigurator@095f58a5 for these
GPUs, which are larger than what is kept here; seen rows err 6.7 and 6.2% (p95 17, 16)."""

EXPERTS_FITTED = (EXPERTS_FROM, *_ELSEWHERE)
"""GPUs whose own calls were fitted; the others' experts are carried over."""

_TILE = 32  # columns; experts of another size fall back to slow kernels
_LARGEST_DEGREE = 8  # GPUs of one node
_FEWEST_ROWS = 50


def moe_record(
    gpu: GpuFacts, data: pathlib.Path, precision: str = "bfloat16"
) -> tuple[dict, dict]:
    """Parameters for `Moe.from_record`, fitted to all rows, and errors on held-out ones.

    `data` is the folder of shared measurements, `precision` one of their file. Errors
    are of calls with skewed routing, as a server has them, in fits that did not see: any
    call of the model (five folds); any call with that number of tokens (three folds); any
    batch as large.
    """
    file = data / "aiconfigurator" / gpu.name.replace("-", "_") / "moe.csv.gz"
    profile = usable_experts(read_profile(file, precision=precision), gpu)
    held_out = {
        "unseen models": [model_of_rows(profile) % 5 == fold for fold in range(5)],
        "unseen numbers of tokens": [
            _rank(profile.num_tokens) % 3 == fold for fold in range(3)
        ],
        "larger batches": [profile.num_tokens > np.percentile(profile.num_tokens, 70)],
    }
    judged = {
        f"moe latency, {name}": _held_out_errors(profile, gpu, folds)
        for name, folds in held_out.items()
    }
    return fit_moe(profile, gpu, np.ones(len(profile), dtype=bool)).to_record(), judged


def experts_of(gpu: GpuFacts, source: GpuFacts, fitted: Moe) -> Moe:
    """The experts of `gpu`: fitted to its own calls, or those of `source` carried over."""
    if gpu.name == source.name:
        return fitted
    if gpu.name in _ELSEWHERE:
        return _ELSEWHERE[gpu.name]
    return fitted.carried(
        gpu.memory_bandwidth / source.memory_bandwidth, gpu.peak_flops / source.peak_flops
    )


def usable_experts(profile: Profile, gpu: GpuFacts) -> Profile:
    """Calls as a tensor-parallel server makes them, their weights read from memory.

    Dropped are experts spread over GPUs whole, more than 8 GPUs, expert sizes that leave
    part of a tile empty, and calls whose weights stay in the L2 between repeats (counted
    for even routing) where FLOPs do not take the time.
    """
    weights = _weights_of_one(profile) * _evenly_touched(profile)
    flops = 6.0 * _routed(profile) * profile.hidden_size * profile.intermediate_size
    by_flops = flops / gpu.peak_flops > weights / gpu.memory_bandwidth
    keep = (profile.operator == "moe") & (profile.expert_parallel == 1)
    keep &= profile.tensor_parallel <= _LARGEST_DEGREE
    keep &= profile.intermediate_size % _TILE == 0
    return profile.select(keep & ((weights > gpu.l2_bytes) | by_flops))


def moe_latency(moe: Moe, profile: Profile) -> Float[Array, " rows"]:
    """Seconds of each row; evenly routed calls touch as many experts as they can."""
    skewed = moe.touched(profile.num_tokens, profile.num_experts, profile.experts_per_token)
    even = profile.label == EVEN_ROUTING
    return moe.latency_of(
        jnp.where(even, _evenly_touched(profile), skewed),
        _routed(profile),
        profile.hidden_size,
        profile.intermediate_size,
        profile.bytes_per_weight,
    )


def fit_moe(profile: Profile, gpu: GpuFacts, train: Rows, seed: int = 0) -> Moe:
    """The mixture of experts of a GPU from the rows `train`; the same for every seed.

    Raises `ProfileError` where there are too few rows, or the fit does not converge.
    """
    del seed
    rows = train & (profile.weight > 0)
    if rows.sum() < _FEWEST_ROWS:
        raise ProfileError(
            f"{rows.sum()} calls of a mixture of experts are too few to fit.",
            hint=f"Give {_FEWEST_ROWS} or more, of several models and sizes.",
        )
    seen = profile.select(rows)
    byte = 1.0 / gpu.memory_bandwidth
    start = Moe(2e-5, 1e-9, 5e-8, 1.1 * byte, 2.0 * byte, 1.5 / gpu.peak_flops, 1.5)
    measured = np.log(seen.latency_s)
    found = least_squares(
        lambda log_p: jnp.log(moe_latency(Moe(*jnp.exp(log_p)), seen)) - measured,
        np.log(np.array(list(vars(start).values()))),
        weights=seen.weight,
    )
    return Moe(*(float(value) for value in np.exp(found.parameters)))


def model_of_rows(profile: Profile) -> np.ndarray:
    """A number for the model of each row, the same at every tensor-parallel degree."""
    sizes = np.stack(
        [
            profile.hidden_size,
            profile.intermediate_size * profile.tensor_parallel,
            profile.num_experts,
            profile.experts_per_token,
        ]
    )
    return np.unique(sizes, axis=1, return_inverse=True)[1].reshape(-1)


def _held_out_errors(profile: Profile, gpu: GpuFacts, folds: list[Rows]) -> dict:
    """Errors of calls with skewed routing, each judged by the fit that did not see it."""
    predicted = np.full(len(profile), np.nan)
    for test in folds:
        moe = fit_moe(profile, gpu, ~test)
        predicted[test] = np.asarray(moe_latency(moe, profile))[test]
    judged = np.isfinite(predicted) & (profile.label != EVEN_ROUTING)
    return errors(predicted[judged], profile.latency_s[judged]).as_dict()


def _rank(values: Float[np.ndarray, " rows"]) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def _routed(profile: Profile) -> Float[np.ndarray, " rows"]:
    return profile.num_tokens * profile.experts_per_token


def _evenly_touched(profile: Profile) -> Float[np.ndarray, " rows"]:
    return np.minimum(profile.num_experts, _routed(profile))


def _weights_of_one(profile: Profile) -> Float[np.ndarray, " rows"]:
    """Bytes of the weights of one expert on one GPU."""
    sizes = profile.hidden_size * profile.intermediate_size
    return 3.0 * profile.bytes_per_weight * sizes
