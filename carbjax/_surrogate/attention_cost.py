"""Attention of all layers as a function of the batch's additive features."""

import dataclasses as dc
import functools as ft
import operator as op
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from carbjax._hardware.model import ModelShape
from carbjax._surrogate.attention_forms import KernelForm, SharedKernel
from carbjax._surrogate.cost import Cost
from carbjax._surrogate.gemm import BYTES_PER_ACTIVATION
from carbjax._surrogate.model_operators import kv_heads_per_gpu
from carbjax._surrogate.operator_form import EnergySplit
from carbjax._surrogate.parameter_files import OperatorFit
from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.sliding_window import windowed
from carbjax._surrogate.smooth import smooth_max

_PROFILED_WIDTH = 128  # head_dim of the fits
_PROFILED_BYTES = 2.0  # a key or value element of the fits


class KernelWork(eqx.Module):
    """Joules of the bytes and FLOPs of a kernel for each unit of its features."""

    token: Float[ArrayLike, ""]  # bytes of queries and outputs
    pair: Float[ArrayLike, ""]  # FLOPs
    kv: Float[ArrayLike, ""]  # bytes of keys and values

    def __call__(self, tokens, pairs, kv) -> tuple[Array, Array]:
        """J of bytes and of FLOPs."""
        c = _cast(self, tokens)
        return c.token * tokens + c.kv * kv, c.pair * pairs


class AttentionCost(eqx.Module):
    """Prefill and decode kernels and their interaction, specialised to a model.

    Latencies are `KernelForm`s in T `num_tokens`, A `prefill_pairs`, R `prefill_kv` and in
    B `decode_tokens`, K `decode_kv`. Prefill's tokens count the decode requests beside
    them, which are few: less than T would fall as B rises. In one batch they interact by

        beside(B, K) + serial (sqrt(R^2 + (longest K)^2) - R) - launch

    which is negative where little more than a launch is shared. The sum of the three
    is non-decreasing in every feature, also from none of a kind to some, and linear
    far away. Energy is `static latency` and that of bytes and FLOPs. Seconds and joules
    (one GPU) are of all layers.
    """

    prefill: KernelForm
    decode: KernelForm
    beside: KernelForm
    serial: Float[ArrayLike, ""]  # s a token of R
    longest: Float[ArrayLike, ""]  # tokens of R that count as one of K
    saved_launch: Float[ArrayLike, ""]  # s
    prefill_work: KernelWork
    decode_work: KernelWork
    beside_power: Float[ArrayLike, ""]  # W above static, while decode waits for prefill
    static_power: Float[ArrayLike, ""]  # W
    window: Float[ArrayLike, ""] | None = None  # tokens that these layers see; None: all

    def __call__(
        self,
        num_tokens: Float[Array, "*batch"],
        prefill_pairs: Float[Array, "*batch"],
        prefill_kv: Float[Array, "*batch"],
        decode_tokens: Float[Array, "*batch"],
        decode_kv: Float[Array, "*batch"],
    ) -> Cost:
        """Latency (s) and energy (J, one GPU), without the power limit."""
        operators = self.operators(
            num_tokens, prefill_pairs, prefill_kv, decode_tokens, decode_kv
        )
        latencies, splits = zip(*operators.values(), strict=True)
        energies = (split.total for split in splits)
        return ft.reduce(op.add, latencies), ft.reduce(op.add, energies)

    def operators(
        self,
        num_tokens: Float[Array, "*batch"],
        prefill_pairs: Float[Array, "*batch"],
        prefill_kv: Float[Array, "*batch"],
        decode_tokens: Float[Array, "*batch"],
        decode_kv: Float[Array, "*batch"],
    ) -> dict[str, tuple[Float[Array, "*batch"], EnergySplit]]:
        """Latency (s) and energy (J, one GPU) of each part, by name."""
        a, r, b, k = prefill_pairs, prefill_kv, decode_tokens, decode_kv
        p = num_tokens
        if self.window is not None:
            window = _cast(self.window, p)
            p, a, r, b, k = windowed(p, a, r, b, k, window)
        has_prefill, has_decode = (a > 0) | (r > 0), (b > 0) | (k > 0)
        first = _where(has_prefill, self.prefill(p, a, r))
        second = _where(has_decode, self.decode(b, k))
        extra, launch = self._extra(r, b, k, has_prefill & has_decode)
        static, busy = _cast((self.static_power, self.beside_power), p)
        zero = jnp.zeros_like(p)

        def split(latency, bytes_, flops, present) -> EnergySplit:
            work = _where(present, bytes_), _where(present, flops)
            return EnergySplit(static * latency, *work)

        return {
            "prefill_attention": (
                first,
                split(first, *self.prefill_work(p, a, r), has_prefill),
            ),
            "decode_attention": (
                second,
                split(second, *self.decode_work(b, k, k), has_decode),
            ),
            "attention_interaction": (
                extra - launch,
                EnergySplit(static * (extra - launch), busy * extra, zero),
            ),
        }

    def _extra(self, r, b, k, both) -> tuple[Array, Array]:
        """Seconds that decode takes longer beside prefill, and those of a launch saved."""
        serial, longest, launch = _cast((self.serial, self.longest, self.saved_launch), r)
        extra = self.beside(b, k) + serial * (smooth_max(r, longest * k) - r)
        return _where(both, extra), _where(both, launch + jnp.zeros_like(r))


def attention_costs(
    fit: OperatorFit, model: ModelShape, num_gpus: int
) -> tuple[AttentionCost, ...]:
    """The attention of `model` on one of `num_gpus` GPUs: global layers, then sliding."""
    everywhere = model.num_layers - model.sliding_layers
    kinds = (everywhere, None), (model.sliding_layers, float(model.sliding_window))
    return tuple(
        _attention_of(fit, model, num_gpus, layers, window)
        for layers, window in kinds
        if layers
    )


def _attention_of(
    fit: OperatorFit, model: ModelShape, num_gpus: int, layers: int, window: float | None
) -> AttentionCost:
    heads, kv_heads = model.num_heads // num_gpus, kv_heads_per_gpu(model, num_gpus)
    width = model.head_dim / _PROFILED_WIDTH
    kv_size = model.bytes_per_kv_element / _PROFILED_BYTES
    prefill = fit.prefill.at(
        heads,
        heads / kv_heads,
        pair_scale=heads * width,
        kv_scale=kv_heads * width * kv_size,
    )
    decode = fit.decode.at(
        kv_heads, heads / kv_heads, pair_scale=kv_heads * width * kv_size
    )
    sharing = _sharing(fit.shared_kernel, prefill, decode, heads, width)
    cost = AttentionCost(
        prefill=_times(prefill, layers),
        decode=_times(decode, layers),
        beside=_times(sharing.pop("beside"), layers),
        **{name: layers * v if name != "longest" else v for name, v in sharing.items()},
        **_works(fit, model, layers, heads, kv_heads, decode),
        window=window,
    )
    return jax.tree.map(lambda x: jnp.asarray(x, dtype=float), cost)


def _sharing(
    shared: SharedKernel | None,
    prefill: KernelForm,
    decode: KernelForm,
    heads: float,
    width: float,
) -> dict[str, Any]:
    if shared is None:
        nothing = dc.replace(decode, coefficients=0.0 * decode.coefficients)
        return dict(beside=nothing, serial=0.0, longest=1.0, saved_launch=0.0)
    return dict(
        beside=shared.beside.at(heads, 1.0, pair_scale=heads * width),
        serial=shared.serial_share * prefill.kv_slope,
        longest=1.0 / shared.side_by_side,
        saved_launch=min(prefill.launch, decode.launch),
    )


def _works(
    fit: OperatorFit,
    model: ModelShape,
    layers: int,
    heads: int,
    kv_heads: int,
    decode: KernelForm,
) -> dict[str, Any]:
    width = model.head_dim
    kv_bytes = 2 * model.bytes_per_kv_element * kv_heads * width
    query_bytes = 2 * BYTES_PER_ACTIVATION * heads * width
    pair_flops = 4 * heads * width
    first, second = fit.power["prefill_attention"], fit.power["decode_attention"]

    def work(power: PowerModel) -> KernelWork:
        amounts = (query_bytes, 0.0), (0.0, pair_flops), (kv_bytes, 0.0)
        return KernelWork(*(layers * power.work(*amount) for amount in amounts))

    # While both share a kernel it is as busy as decode is where it streams the cache.
    far = decode.coefficients.sum(axis=0)
    pairs = len(decode.pair_knots)
    token_second = far[2 + pairs] + far[3 + pairs :].sum()
    return dict(
        prefill_work=work(first),
        decode_work=work(second),
        beside_power=second.work(kv_bytes, pair_flops) / token_second,
        static_power=second.static_power,
    )


def _times(form: KernelForm, layers: int) -> KernelForm:
    return dc.replace(form, coefficients=layers * form.coefficients)


def _cast(tree, like: Float[Array, "*batch"]):
    # The engine chooses float32 or float64; parameters follow.
    dtype = jnp.asarray(like).dtype
    return jax.tree.map(lambda x: jnp.asarray(x).astype(dtype), tree)


def _where(present, value: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    return jnp.where(present, value, jnp.zeros_like(value))
