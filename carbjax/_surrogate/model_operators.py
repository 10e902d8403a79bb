"""The operators of a model on one of its GPUs: which products, how many bytes."""

import functools as ft
import operator as op
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._errors import ConfigError
from carbjax._hardware.model import ModelShape
from carbjax._surrogate.gemm import BYTES_PER_ACTIVATION
from carbjax._surrogate.operator_form import OperatorForm
from carbjax._surrogate.parameter_files import OperatorFit
from carbjax._surrogate.power import PowerModel

_ALL_REDUCES_PER_LAYER = 2


def token_operators(
    fit: OperatorFit, model: ModelShape, gpus: int
) -> dict[str, OperatorForm]:
    """Operators of all layers that depend on the number of tokens, by name."""
    width, depth, layers = model.head_dim, model.hidden_size, model.num_layers
    heads, kv_heads = model.num_heads // gpus, kv_heads_per_gpu(model, gpus)
    columns, dense_layers = model.intermediate_size // gpus, layers - model.num_moe_layers

    def product(n: int, k: int, count: int) -> OperatorForm:
        return _product(fit, n, k, model.bytes_per_weight, count)

    operators = {
        "qkv_projection": product((heads + 2 * kv_heads) * width, depth, layers),
        "output_projection": product(depth, heads * width, layers),
        "elementwise": _elementwise(fit, model, gpus),
    }
    if dense_layers:
        operators |= {
            "gate_up_projection": product(2 * columns, depth, dense_layers),
            "down_projection": product(depth, columns, dense_layers),
        }
    if model.num_moe_layers:
        operators |= {
            "router": _product(
                fit, model.num_experts, depth, BYTES_PER_ACTIVATION, model.num_moe_layers
            ),
            "experts": _experts(fit, model, gpus),
        }
    if gpus > 1:
        operators["all_reduce"] = _all_reduce(fit, model, gpus)
    return operators


def sequence_operators(
    fit: OperatorFit, model: ModelShape, gpus: int
) -> dict[str, OperatorForm]:
    """Operators that depend on the number of sequences, the host's time included."""
    vocabulary = model.vocab_size
    host, gaps, sampler = fit.host, fit.gaps, fit.sampler
    beside = {
        "lm_head": _product(
            fit, vocabulary // gpus, model.hidden_size, BYTES_PER_ACTIVATION, 1
        ),
        "sampler": _at_power(lambda q: sampler.per_logit * vocabulary * q, sampler.power),
        "gaps": _at_power(
            lambda q: model.num_layers * gaps.per_layer + 0.0 * q, gaps.power
        ),
    }
    kernels = [*beside.values(), *token_operators(fit, model, gpus).values()]

    def waiting(sequences):
        # Of an iteration that decodes, attention aside: its time is not of this count.
        busy = ft.reduce(op.add, (form.latency(sequences) for form in kernels))
        return host.latency(sequences, busy)

    return beside | {"host": _at_power(waiting, host.power)}


def kv_heads_per_gpu(model: ModelShape, gpus: int) -> int:
    """Key-value heads on each GPU: with fewer heads than GPUs, a copy of one."""
    return max(model.num_kv_heads // gpus, 1)


def _product(
    fit: OperatorFit, n: int, k: int, bytes_per_weight: float, count: int
) -> OperatorForm:
    is_fp8 = bytes_per_weight <= 1
    gemm = fit.gemm_fp8 if is_fp8 else fit.gemm
    weights = bytes_per_weight * n * k
    activations = BYTES_PER_ACTIVATION * (n + k)
    return OperatorForm(
        latency=lambda m: count * gemm.latency(m, n, k, bytes_per_weight),
        moved=lambda m: count * (weights + activations * m),
        flops=lambda m: count * 2.0 * n * k * m,
        power=fit.power["gemm_fp8" if is_fp8 and "gemm_fp8" in fit.power else "gemm"],
    )


def _experts(fit: OperatorFit, model: ModelShape, gpus: int) -> OperatorForm:
    """Each expert is cut over the GPUs, as tensor parallelism does."""
    moe, layers = fit.moe, model.num_moe_layers
    if moe is None:
        raise ConfigError(
            f"model {model.name!r} is a mixture of experts, and the fit of {fit.name!r} "
            "has none.",
            hint="Use a shipped surrogate, or fit one with `base`.",
        )
    size = model.expert_intermediate_size // gpus
    shape = (model.hidden_size, size, model.num_experts, model.experts_per_token)
    weight = model.bytes_per_weight
    return OperatorForm(
        latency=lambda m: layers * moe.latency(m, *shape, weight),
        moved=lambda m: layers * moe.bytes_moved(m, *shape, weight),
        flops=lambda m: layers * moe.flops(m, shape[0], shape[1], shape[3]),
        power=fit.power["gemm"],
    )


def _elementwise(fit: OperatorFit, model: ModelShape, gpus: int) -> OperatorForm:
    """Norms, rotary embedding, cache writes and gates, each of its own fit if it has one.

    The experts' kernels do their own gating.
    """
    heads, kv_heads = model.num_heads // gpus, kv_heads_per_gpu(model, gpus)
    layers, width = model.num_layers, model.head_dim
    kernels = (  # count, activations read and written for a token
        ("norm", 2 * layers, 4 * model.hidden_size),  # the stream and the residual
        ("rotary_embedding", layers, 2 * (heads + kv_heads) * width),
        ("cache_write", layers, 4 * kv_heads * width),
        ("gate", layers - model.num_moe_layers, 3 * model.intermediate_size // gpus),
    )
    parts = [
        (
            fit.elementwise_kernels.get(name, fit.elementwise),
            count,
            BYTES_PER_ACTIVATION * n,
        )
        for name, count, n in kernels
    ]
    moved = sum(count * bytes_ for _, count, bytes_ in parts)
    return OperatorForm(
        latency=lambda m: ft.reduce(
            op.add, (n * form.latency(bytes_ * m) for form, n, bytes_ in parts)
        ),
        moved=lambda m: moved * m,
        flops=_nothing,
        power=fit.power["elementwise"],
    )


def _all_reduce(fit: OperatorFit, model: ModelShape, gpus: int) -> OperatorForm:
    count = model.num_layers * _ALL_REDUCES_PER_LAYER
    message = BYTES_PER_ACTIVATION * model.hidden_size  # bytes a token
    link = fit.all_reduce[gpus]
    return OperatorForm(
        latency=lambda m: count * link.latency(message * m),
        moved=lambda m: count * message * m,
        flops=_nothing,
        power=fit.power["all_reduce"],
    )


def _at_power(latency: Callable, power: float) -> OperatorForm:
    # A cap far above the power leaves it as it is.
    return OperatorForm(
        latency, _nothing, _nothing, PowerModel(power, 100.0 * power, 0.0, 0.0)
    )


def _nothing(count: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    return jnp.zeros_like(count)
