"""The cost of an iteration of one model on one GPU type: the compact form."""

import functools as ft
import operator as op
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._errors import ConfigError
from carbjax._hardware.model import ModelShape
from carbjax._surrogate.attention import AttentionCost
from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.features import BatchFeatures
from carbjax._surrogate.gemm import BYTES_PER_ACTIVATION
from carbjax._surrogate.parameter_files import OperatorFit, load_fit
from carbjax._surrogate.roofline import Roofline
from carbjax._surrogate.smooth import smooth_min

_ALL_REDUCES_PER_LAYER = 2
_ELEMENTWISE_KERNELS_PER_LAYER = 5  # two norms, rotary embedding, cache write, gate


class SpecialisedCost(AbstractIterationCost):
    """Latency and energy of an iteration, about 350 flops.

    `token_operators` depend on `num_tokens` alone, `sequence_operators` on
    `num_sequences`; both are `Roofline`s over all layers, the host and the sampler
    included. The LM head is counted in every iteration, also where no request ends a
    chunk, since serving engines compute and discard those logits.
    """

    token_operators: dict[str, Roofline]
    sequence_operators: dict[str, Roofline]
    attention: AttentionCost
    num_gpus: int = eqx.field(static=True)

    def token_part(self, num_tokens: Float[Array, "*batch"]) -> Cost:
        """GEMMs, norms and all-reduce: latency in s, energy in J of all GPUs."""
        costs = [operator(num_tokens) for operator in self.token_operators.values()]
        return self._total(costs)

    def sequence_part(self, num_sequences: Float[Array, "*batch"]) -> Cost:
        """LM head, sampler and host: latency in s, energy in J of all GPUs."""
        operators = self.sequence_operators.values()
        return self._total([operator(num_sequences) for operator in operators])

    def attention_part(
        self,
        num_tokens: Float[Array, "*batch"],
        prefill_pairs: Float[Array, "*batch"],
        prefill_kv: Float[Array, "*batch"],
        decode_tokens: Float[Array, "*batch"],
        decode_kv: Float[Array, "*batch"],
        decode_kv_sq: Float[Array, "*batch"],
    ) -> Cost:
        """Attention: latency in s, energy in J of all GPUs. Skew has no effect yet."""
        del decode_kv_sq
        return self._total(
            self.attention(num_tokens, prefill_pairs, prefill_kv, decode_tokens, decode_kv)
        )

    def operator_costs(self, features: BatchFeatures) -> dict[str, Cost]:
        """Latency (s) and power (W, one GPU) of each operator over all layers.

        Their latencies sum to the iteration's, their latency times power times
        `num_gpus` to its energy, up to rounding. An absent operator has 0 of both.
        """
        f = features
        costs = {k: operator(f.num_tokens) for k, operator in self.token_operators.items()}
        costs |= {
            k: operator(f.num_sequences) for k, operator in self.sequence_operators.items()
        }
        names = ("prefill_attention", "decode_attention", "attention_interaction")
        attention = self.attention(
            f.num_tokens, f.prefill_pairs, f.prefill_kv, f.decode_tokens, f.decode_kv
        )
        costs |= dict(zip(names, attention, strict=True))
        return {name: (t, _power(t, e)) for name, (t, e) in costs.items()}

    def _total(self, costs: Sequence[Cost]) -> Cost:
        latency, energy = (ft.reduce(op.add, parts) for parts in zip(*costs, strict=True))
        return latency, self.num_gpus * energy


def load_cost(
    accelerator_name: str, model: ModelShape, tensor_parallel: int = 1
) -> SpecialisedCost:
    """The shipped fit of `accelerator_name`, specialised to a model.

    `tensor_parallel` GPUs share each layer. Raises `ConfigError` for a name without a
    fit, and where heads or columns do not divide by `tensor_parallel`.
    """
    return specialise(load_fit(accelerator_name), model, tensor_parallel)


def specialise(
    fit: OperatorFit, model: ModelShape, tensor_parallel: int
) -> SpecialisedCost:
    """The compact cost of `model` on `tensor_parallel` GPUs of the type of `fit`."""
    _check(fit, model, tensor_parallel)
    cost = SpecialisedCost(
        token_operators=_token_operators(fit, model, tensor_parallel),
        sequence_operators=_sequence_operators(fit, model, tensor_parallel),
        attention=_attention(fit, model, tensor_parallel),
        num_gpus=tensor_parallel,
    )
    return jax.tree.map(lambda x: jnp.asarray(x, dtype=float), cost)


def _token_operators(fit: OperatorFit, model: ModelShape, gpus: int) -> dict[str, Roofline]:
    width, depth, layers = model.head_dim, model.hidden_size, model.num_layers
    heads, kv_heads = model.num_heads // gpus, _kv_heads(model, gpus)
    columns = model.intermediate_size // gpus

    surrogate = fit.gemm_fp8 if model.bytes_per_weight <= 1 else fit.gemm

    def gemm(n, k):
        return surrogate.roofline(
            n, k, fit.power["gemm"], model.bytes_per_weight, count=layers
        )

    norms = 2 * 4 * depth  # two norms: read and write of the stream and the residual
    rotary = 2 * (heads + kv_heads) * width
    cache = 4 * kv_heads * width
    moved = norms + rotary + cache + 3 * columns
    operators = {
        "qkv_projection": gemm((heads + 2 * kv_heads) * width, depth),
        "output_projection": gemm(depth, heads * width),
        "gate_up_projection": gemm(2 * columns, depth),
        "down_projection": gemm(depth, columns),
        "elementwise": fit.elementwise.roofline(
            layers * BYTES_PER_ACTIVATION * moved,
            fit.power["elementwise"],
            count=layers * _ELEMENTWISE_KERNELS_PER_LAYER,
        ),
    }
    if gpus > 1:
        operators["all_reduce"] = fit.all_reduce[gpus].roofline(
            layers * _ALL_REDUCES_PER_LAYER * BYTES_PER_ACTIVATION * depth,
            fit.power["all_reduce"],
            count=layers * _ALL_REDUCES_PER_LAYER,
        )
    return operators


def _sequence_operators(
    fit: OperatorFit, model: ModelShape, gpus: int
) -> dict[str, Roofline]:
    lm_head = fit.gemm.roofline(
        model.vocab_size / gpus, model.hidden_size, fit.power["gemm"], BYTES_PER_ACTIVATION
    )
    return {
        "lm_head": lm_head,
        "sampler": _at_power(
            0.0, fit.sampler.per_logit * model.vocab_size, fit.sampler.power
        ),
        "host": _at_power(fit.host.base, fit.host.per_sequence, fit.host.power),
        "gaps": _at_power(model.num_layers * fit.gaps.per_layer, 0.0, fit.gaps.power),
    }


def _at_power(launch: float, item: float, power: float) -> Roofline:
    # A cap far above the power leaves it as it is.
    return Roofline(launch, item, 0.0, 0.0, 0.0, 0.0, power, 100.0 * power)


def _attention(fit: OperatorFit, model: ModelShape, gpus: int) -> AttentionCost:
    layers, kv_heads = model.num_layers, _kv_heads(model, gpus)
    kv_bytes = 2 * model.bytes_per_kv_element * kv_heads * model.head_dim
    query_bytes = 2 * BYTES_PER_ACTIVATION * model.num_heads // gpus * model.head_dim
    pair_flops = 4 * model.num_heads // gpus * model.head_dim
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
    return AttentionCost(**{name: jnp.asarray(v) for name, v in values.items()})


def _kv_heads(model: ModelShape, gpus: int) -> int:
    # With fewer key-value heads than GPUs, each GPU keeps a copy of one.
    return max(model.num_kv_heads // gpus, 1)


def _check(fit: OperatorFit, model: ModelShape, gpus: int) -> None:
    known = (1, *sorted(fit.all_reduce))
    if gpus not in known:
        raise ConfigError(
            f"`tensor_parallel` is {gpus}, and the fit of {fit.name!r} knows {known}."
        )
    for name in ("num_heads", "intermediate_size"):
        if getattr(model, name) % gpus:
            raise ConfigError(
                f"{name} {getattr(model, name)} of model {model.name!r} does not divide "
                f"by `tensor_parallel` {gpus}.",
                hint="Give a degree that divides both.",
            )
    if model.num_kv_heads % gpus and gpus % model.num_kv_heads:
        raise ConfigError(
            f"{model.num_kv_heads} key-value heads of model {model.name!r} neither divide "
            f"by `tensor_parallel` {gpus} nor divide it."
        )


def _power(latency: Float[Array, "*batch"], energy: Float[Array, "*batch"]) -> Array:
    used = latency > 0
    safe = jnp.where(used, latency, jnp.ones_like(latency))
    return jnp.where(used, energy / safe, jnp.zeros_like(energy))
