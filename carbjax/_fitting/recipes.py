"""How each operator of a profile is fitted, and what the fit says of its rows."""

import dataclasses as dc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Float

from carbjax._fitting import attention_fit, attention_mixed, gemm_fit, moe_fit
from carbjax._fitting.attention_fit import Fitted, Work
from carbjax._fitting.attention_mixed import MixedFit
from carbjax._fitting.fit import GpuFacts, Rows, fit_streaming
from carbjax._fitting.streaming_fit import fit_elementwise
from carbjax._fitting.token_fit import fit_token_spline, fit_token_spline_with_errors
from carbjax._profiles.enough import require_enough
from carbjax._profiles.profile import Profile
from carbjax._surrogate.parameter_files import OperatorFit

Module = Any  # a fitted operator
Latency = Callable[[Module], Float[ArrayLike, " rows"]]

ALL_REDUCE = "all_reduce, GPUs: "
MIXED = "attention"
_LAUNCH_S, _LOGITS_PER_S = 2e-5, 2e11
_EMBEDDINGS = ("emb", "embedding")
_SMALLEST_PRODUCT = 512  # columns and depth
_ATTENTION = ("prefill_attention", "decode_attention", "mixed_attention")


@dc.dataclass(frozen=True)
class Task:
    """One operator of a profile: its rows, how to fit them, and to evaluate a fit.

    `fit` gets the GPU, the rows to see and a seed, `latency` gives s of every row, and
    `deviations` log standard deviations of parameters that the fit itself knows.
    """

    name: str
    rows: Profile
    fit: Callable[[GpuFacts, Rows, int], Module]
    latency: Latency
    deviations: Callable[[], dict[str, float]] = dict


def tasks(profile: Profile, gpu: GpuFacts) -> Iterator[Task]:
    """What can be fitted of a profile.

    Where batches of prefill and decode share a kernel, all attention is one operator.
    Raises `ProfileError` for an operator that is there with too few rows or sizes.
    """
    counted = profile.select(profile.weight > 0)
    for name, rows, make in (
        ("gemm", _products(counted, bytes_per_weight=2.0), _gemm),
        ("gemm_fp8", _products(counted, bytes_per_weight=1.0), _gemm),
        ("moe", moe_fit.usable_experts(counted, gpu), _moe),
        ("elementwise", _of_layers(counted), _elementwise),
        ("sampler", _with_logits(counted), _sampler),
    ):
        if len(rows):
            require_enough(rows, str(rows.operator[0]))
            yield make(name, rows)
    yield from _attention(counted.of_operator(*_ATTENTION))
    reduce = counted.of_operator("all_reduce")
    for degree in np.unique(reduce.num_gpus):
        rows = reduce.select(reduce.num_gpus == degree)
        require_enough(rows, "all_reduce")
        yield _link(f"{ALL_REDUCE}{degree:.0f}", rows)


def modules(fit: OperatorFit) -> dict[str, Module]:
    """The modules of a fit by the names of tasks; the sampler has none of its own."""
    found = {
        "gemm": fit.gemm,
        "gemm_fp8": fit.gemm_fp8,
        "moe": fit.moe,
        "prefill_attention": fit.prefill,
        "decode_attention": fit.decode,
        "elementwise": fit.elementwise,
        **{f"{ALL_REDUCE}{degree}": link for degree, link in fit.all_reduce.items()},
    }
    if fit.shared_kernel is not None:
        found[MIXED] = MixedFit(fit.prefill, fit.decode, fit.shared_kernel, np.nan)
    return {name: module for name, module in found.items() if module is not None}


def _products(profile: Profile, bytes_per_weight: float) -> Profile:
    """The matrix products of one precision that are as large as those of a model."""
    rows = profile.of_operator("gemm")
    large = np.minimum(rows.n, rows.k) >= _SMALLEST_PRODUCT
    return rows.select(large & (rows.bytes_per_weight == bytes_per_weight))


def _of_layers(profile: Profile) -> Profile:
    """Elementwise kernels without the embedding, which runs once and not in each layer."""
    rows = profile.of_operator("elementwise")
    return rows.select(~np.isin(rows.label, _EMBEDDINGS))


def _with_logits(profile: Profile) -> Profile:
    """Sampler calls whose number of logits is known."""
    rows = profile.of_operator("sampler")
    return rows.select(rows.n > 0)


def _gemm(name: str, rows: Profile) -> Task:
    columns = (rows.num_tokens, rows.n, rows.k, rows.bytes_per_weight)
    return Task(
        name,
        rows,
        lambda gpu, train, seed: gemm_fit.fit_gemm(rows, gpu, train, seed),
        lambda gemm: gemm.latency(*columns),
    )


def _moe(name: str, rows: Profile) -> Task:
    return Task(
        name,
        rows,
        lambda gpu, train, seed: moe_fit.fit_moe(rows, gpu, train, seed),
        lambda moe: moe_fit.moe_latency(moe, rows),
    )


def _attention(rows: Profile) -> Iterator[Task]:
    if (rows.operator == "mixed_attention").any():
        require_enough(rows, "mixed_attention")
        yield Task(
            MIXED,
            rows,
            lambda gpu, train, seed: attention_mixed.fit_mixed(rows, train),
            lambda fit: attention_mixed.predict_mixed(fit, rows),
        )
        return
    prefill, decode = (rows.of_operator(name) for name in _ATTENTION[:2])
    if len(prefill):
        work = attention_fit.prefill_work(prefill)
        yield _kernel("prefill_attention", prefill, attention_fit.fit_prefill, work)
    if len(decode):
        work = attention_fit.decode_work(decode)
        yield _kernel("decode_attention", decode, attention_fit.fit_decode, work)


def _kernel(
    name: str, rows: Profile, fit_fn: Callable[[Profile, Rows], Fitted], work: Work
) -> Task:
    require_enough(rows, name)

    def deviations() -> dict[str, float]:
        found = fit_fn(rows, np.ones(len(rows), dtype=bool))
        launch = float(found.kernel.coefficients[..., 0, 0].mean())
        relative = {"rms": found.rms}
        return relative | ({"launch": found.launch_std / launch} if launch > 0 else {})

    return Task(
        name,
        rows,
        lambda gpu, train, seed: fit_fn(rows, train).kernel,
        lambda kernel: attention_fit.predict(kernel, work),
        deviations,
    )


def _elementwise(name: str, rows: Profile) -> Task:
    return Task(
        name,
        rows,
        lambda gpu, train, seed: fit_elementwise(rows, gpu, train),
        lambda kernel: kernel.latency(rows.message_bytes),
    )


def _sampler(name: str, rows: Profile) -> Task:
    """A launch and a time a logit; `byte` of the module counts logits."""
    logits = dc.replace(rows, message_bytes=rows.num_tokens * rows.n)
    return Task(
        name,
        logits,
        lambda gpu, train, seed: fit_streaming(logits, _LAUNCH_S, _LOGITS_PER_S, train),
        lambda kernel: kernel.latency(logits.message_bytes),
    )


def _link(name: str, rows: Profile) -> Task:
    def deviations() -> dict[str, float]:
        every = np.ones(len(rows), dtype=bool)
        found = fit_token_spline_with_errors(rows.message_bytes, rows.latency_s, every)
        return {"latency": float(np.median(found.log_sd))}

    return Task(
        name,
        rows,
        lambda gpu, train, seed: fit_token_spline(
            rows.message_bytes, rows.latency_s, train
        ),
        lambda link: link.latency(rows.message_bytes),
        deviations,
    )
