"""Attention of all layers as a function of the batch's additive features."""

import dataclasses as dc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._hardware.model import ModelShape
from carbjax._surrogate.cost import Cost
from carbjax._surrogate.gemm import BYTES_PER_ACTIVATION
from carbjax._surrogate.model_operators import kv_heads_per_gpu
from carbjax._surrogate.parameter_files import OperatorFit
from carbjax._surrogate.smooth import smooth_max, smooth_min


class AttentionCost(eqx.Module):
    """Prefill and decode kernels and their interaction, specialised to a model.

        prefill = launch + sqrt((pair A)^2 + (kv R)^2)
        decode  = launch + sqrt((kv K)^2 + (request B)^2)
        energy  = smooth_min(static latency + byte and FLOP energies, cap latency)

    with A `prefill_pairs`, R `prefill_kv`, K `decode_kv`, B `decode_tokens`. Past the
    launches all is homogeneous of degree 1, so marginal costs are constant along a ray
    from the empty batch. While the interaction lasts the kernel is as busy as decode is
    where it streams keys and values: `mixed_power`.
    Seconds and joules (one GPU) are of all layers.
    """

    prefill_launch: Float[Array, ""]  # s
    prefill_pair: Float[Array, ""]  # s
    prefill_kv: Float[Array, ""]  # s
    prefill_pair_energy: Float[Array, ""]  # J
    prefill_kv_energy: Float[Array, ""]  # J
    prefill_power: Float[Array, ""]  # W, static
    decode_launch: Float[Array, ""]  # s
    decode_kv: Float[Array, ""]  # s
    decode_request: Float[Array, ""]  # s
    decode_kv_energy: Float[Array, ""]  # J
    decode_request_energy: Float[Array, ""]  # J
    decode_power: Float[Array, ""]  # W, static
    mixed_kv: Float[Array, ""]  # s a cached token of decode, beside prefill
    mixed_request: Float[Array, ""]  # s a decode request, beside prefill
    mixed_power: Float[Array, ""]  # W
    sharpness: Float[Array, ""]
    max_power: Float[Array, ""]  # W

    def __call__(
        self,
        num_tokens: Float[Array, "*batch"],
        prefill_pairs: Float[Array, "*batch"],
        prefill_kv: Float[Array, "*batch"],
        decode_tokens: Float[Array, "*batch"],
        decode_kv: Float[Array, "*batch"],
    ) -> tuple[Cost, Cost, Cost]:
        """Latency (s) and energy (J, one GPU): prefill, decode, interaction."""
        del num_tokens
        c = self._as(prefill_pairs)
        zero = jnp.zeros_like(prefill_pairs)
        has_prefill = (prefill_pairs > 0) | (prefill_kv > 0)
        has_decode = (decode_tokens > 0) | (decode_kv > 0)

        prefill = smooth_max(c.prefill_pair * prefill_pairs, c.prefill_kv * prefill_kv)
        work = c.prefill_pair_energy * prefill_pairs + c.prefill_kv_energy * prefill_kv
        prefill_cost = _capped(
            c.prefill_launch + prefill, work, c.prefill_power, c.max_power
        )
        decode = smooth_max(c.decode_kv * decode_kv, c.decode_request * decode_tokens)
        work = c.decode_kv_energy * decode_kv + c.decode_request_energy * decode_tokens
        decode_cost = _capped(c.decode_launch + decode, work, c.decode_power, c.max_power)

        extra = c.mixed_kv * decode_kv + c.mixed_request * decode_tokens
        ready = c.sharpness * prefill
        both = has_prefill & has_decode
        total = jnp.where(both, ready + extra, jnp.ones_like(extra))
        mixed = jnp.where(both, extra * ready / total, zero)
        return (
            _where(has_prefill, prefill_cost),
            _where(has_decode, decode_cost),
            (mixed, c.mixed_power * mixed),
        )

    def _as(self, like: Float[Array, "*batch"]) -> "AttentionCost":
        # The engine chooses float32 or float64; parameters follow.
        dtype = jnp.asarray(like).dtype
        values = {
            f.name: jnp.asarray(getattr(self, f.name)).astype(dtype)
            for f in dc.fields(self)
        }
        return AttentionCost(**values)


def attention_cost(fit: OperatorFit, model: ModelShape, num_gpus: int) -> AttentionCost:
    """Attention of all layers of `model` on one of `num_gpus` GPUs."""
    layers, kv_heads = model.num_layers, kv_heads_per_gpu(model, num_gpus)
    kv_bytes = 2 * model.bytes_per_kv_element * kv_heads * model.head_dim
    query_bytes = 2 * BYTES_PER_ACTIVATION * model.num_heads // num_gpus * model.head_dim
    pair_flops = 4 * model.num_heads // num_gpus * model.head_dim
    prefill, decode, mixed = fit.prefill, fit.decode, fit.interaction
    first, second = fit.power["prefill_attention"], fit.power["decode_attention"]
    streaming_power = second.work(kv_bytes, pair_flops) / (decode.first * kv_bytes)
    values = dict(
        prefill_launch=layers * prefill.launch,
        prefill_pair=layers * prefill.first * pair_flops,
        prefill_kv=layers * prefill.second * (kv_bytes + query_bytes),
        prefill_pair_energy=layers * first.work(0.0, pair_flops),
        prefill_kv_energy=layers * first.work(kv_bytes + query_bytes, 0.0),
        prefill_power=first.static_power,
        decode_launch=layers * decode.launch,
        decode_kv=layers * decode.first * kv_bytes,
        decode_request=layers * decode.second * kv_heads,
        decode_kv_energy=layers * second.work(kv_bytes, pair_flops),
        decode_request_energy=layers * second.work(query_bytes, 0.0),
        decode_power=second.static_power,
        mixed_kv=mixed.per_kv * layers * decode.first * kv_bytes,
        mixed_request=mixed.per_request * layers * decode.second * kv_heads,
        mixed_power=smooth_min(
            jnp.asarray(second.static_power + streaming_power),
            jnp.asarray(second.max_power),
        ),
        sharpness=mixed.sharpness,
        max_power=second.max_power,
    )
    return AttentionCost(**{k: jnp.asarray(v, dtype=float) for k, v in values.items()})


def _capped(latency, work, static_power, max_power) -> Cost:
    return latency, smooth_min(static_power * latency + work, max_power * latency)


def _where(present, cost: Cost) -> Cost:
    latency, energy = cost
    zero = jnp.zeros_like(latency)
    return jnp.where(present, latency, zero), jnp.where(present, energy, zero)
