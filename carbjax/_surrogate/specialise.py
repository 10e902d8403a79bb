"""The cost of an iteration of one model on one GPU type: the compact form."""

import functools as ft
import operator as op
from collections.abc import Iterable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._errors import ConfigError
from carbjax._hardware.model import ModelShape
from carbjax._surrogate.attention import AttentionCost, attention_cost
from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.curve import Curve
from carbjax._surrogate.features import BatchFeatures
from carbjax._surrogate.model_operators import sequence_operators, token_operators
from carbjax._surrogate.operator_form import TabulatedOperator
from carbjax._surrogate.parameter_files import OperatorFit, load_fit


class SpecialisedCost(AbstractIterationCost):
    """Latency and energy of an iteration: two curves, and attention.

    `token_operators` depend on `num_tokens` alone, `sequence_operators` on
    `num_sequences`; all are of all layers and of one GPU. Their curves add up to
    `token_curve` and `sequence_curve`, which is what an engine evaluates. The LM head is
    counted in every iteration, also where no request ends a chunk, since serving engines
    compute and discard those logits.
    """

    token_operators: dict[str, TabulatedOperator]
    sequence_operators: dict[str, TabulatedOperator]
    token_curve: Curve
    sequence_curve: Curve
    attention: AttentionCost
    num_gpus: int = eqx.field(static=True)

    def token_part(self, num_tokens: Float[Array, "*batch"]) -> Cost:
        """GEMMs, norms and all-reduce: latency in s, energy in J of all GPUs."""
        latency, energy = self.token_curve(num_tokens)
        return latency, self.num_gpus * energy

    def sequence_part(self, num_sequences: Float[Array, "*batch"]) -> Cost:
        """LM head, sampler and host: latency in s, energy in J of all GPUs."""
        latency, energy = self.sequence_curve(num_sequences)
        return latency, self.num_gpus * energy

    def attention_part(
        self,
        num_tokens: Float[Array, "*batch"],
        prefill_pairs: Float[Array, "*batch"],
        prefill_kv: Float[Array, "*batch"],
        decode_tokens: Float[Array, "*batch"],
        decode_kv: Float[Array, "*batch"],
        decode_kv_sq: Float[Array, "*batch"],
    ) -> Cost:
        """Attention: latency in s, energy in J of all GPUs. Skew has no effect."""
        del decode_kv_sq
        costs = self.attention(
            num_tokens, prefill_pairs, prefill_kv, decode_tokens, decode_kv
        )
        latency, energy = (ft.reduce(op.add, parts) for parts in zip(*costs, strict=True))
        return latency, self.num_gpus * energy

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
    tokens, sequences = (
        {name: form.tabulate() for name, form in forms(fit, model, tensor_parallel).items()}
        for forms in (token_operators, sequence_operators)
    )
    return SpecialisedCost(
        token_operators=tokens,
        sequence_operators=sequences,
        token_curve=_sum(tokens.values()),
        sequence_curve=_sum(sequences.values()),
        attention=attention_cost(fit, model, tensor_parallel),
        num_gpus=tensor_parallel,
    )


def _sum(operators: Iterable[TabulatedOperator]) -> Curve:
    return ft.reduce(op.add, (operator.cost for operator in operators))


def _check(fit: OperatorFit, model: ModelShape, gpus: int) -> None:
    known = (1, *sorted(fit.all_reduce))
    if gpus not in known:
        raise ConfigError(
            f"`tensor_parallel` is {gpus}, and the fit of {fit.name!r} knows {known}."
        )
    cut = ["num_heads"]
    cut += ["intermediate_size"] if model.num_layers > model.num_moe_layers else []
    cut += ["expert_intermediate_size"] if model.num_moe_layers else []
    for name in cut:
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
