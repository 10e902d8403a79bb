"""The cost of an iteration of one model on one GPU type: the compact form."""

import dataclasses as dc
import functools as ft
import operator as op
from collections.abc import Iterable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._errors import ConfigError
from carbjax._hardware.model import ModelShape
from carbjax._surrogate.attention_cost import AttentionCost, attention_costs
from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.curve import Curve
from carbjax._surrogate.features import BatchFeatures
from carbjax._surrogate.model_operators import sequence_operators, token_operators
from carbjax._surrogate.operator_form import EnergySplit, OperatorForm, TabulatedOperator
from carbjax._surrogate.parameter_files import OperatorFit, load_fit
from carbjax._surrogate.smooth import smooth_min


class SpecialisedCost(AbstractIterationCost):
    """Latency and energy of an iteration: two curves, and attention.

    `token_operators` depend on `num_tokens` alone, `sequence_operators` on
    `num_sequences`; all are of all layers and of one GPU. Their curves add up to
    `token_curve` and `sequence_curve`, which is what an engine evaluates. The LM head is
    counted in every iteration, also where no request ends a chunk, since serving engines
    compute and discard those logits.

    The GPU holds its mean power over an iteration below `max_power`; single kernels of
    a millisecond may draw more.
    """

    token_operators: dict[str, TabulatedOperator]
    sequence_operators: dict[str, TabulatedOperator]
    token_curve: Curve
    sequence_curve: Curve
    attention: tuple[AttentionCost, ...]  # of global layers, of sliding ones
    max_power: Float[Array, ""]  # W, one GPU
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
        features = (num_tokens, prefill_pairs, prefill_kv, decode_tokens, decode_kv)
        costs = [layers(*features) for layers in self.attention]
        latency, energy = (ft.reduce(op.add, parts) for parts in zip(*costs, strict=True))
        return latency, self.num_gpus * energy

    def limit(
        self, latency: Float[Array, "*batch"], energy: Float[Array, "*batch"]
    ) -> Cost:
        """The energy of the parts, or that of the power limit where it is less."""
        most = self.num_gpus * self.max_power.astype(latency.dtype)
        return latency, smooth_min(energy, most * latency)

    def operator_costs(self, features: BatchFeatures) -> dict[str, Cost]:
        """Latency (s) and power (W, one GPU) of each operator over all layers.

        Their latencies sum to the iteration's, their latency times power times
        `num_gpus` to its energy, up to rounding: at the power limit all draw less
        alike. An absent operator has 0 of both. The interaction of prefill and decode
        attention may be negative: a launch that they share.
        """
        latencies = self._latencies(features)
        return {
            name: (latencies[name], _over(split.total / self.num_gpus, latencies[name]))
            for name, split in self.energy_split(features).items()
        }

    def energy_split(self, features: BatchFeatures) -> dict[str, EnergySplit]:
        """Energy (J, all GPUs) of each operator: static, of bytes and of FLOPs.

        They add up to the iteration's energy, up to rounding.
        """
        splits = self._splits(features)
        latency = ft.reduce(op.add, self._latencies(features).values())
        free = ft.reduce(op.add, (split.total for split in splits.values()))
        _, energy = self.limit(latency, self.num_gpus * free)
        share = energy / free
        return {k: EnergySplit(*(share * x for x in v)) for k, v in splits.items()}

    def _latencies(self, f: BatchFeatures) -> dict[str, Float[Array, "*batch"]]:
        """Seconds of each operator."""
        tokens, sequences = self.token_operators, self.sequence_operators
        found = {name: form.curve(f.num_tokens)[0] for name, form in tokens.items()}
        found |= {name: form.curve(f.num_sequences)[0] for name, form in sequences.items()}
        return found | {name: t for name, (t, _) in self._attention(f).items()}

    def _splits(self, f: BatchFeatures) -> dict[str, EnergySplit]:
        """Energy of each operator on one GPU, without the power limit."""
        tokens, sequences = self.token_operators, self.sequence_operators
        found = {name: form.energy_split(f.num_tokens) for name, form in tokens.items()}
        for name, form in sequences.items():
            found[name] = form.energy_split(f.num_sequences)
        return found | {name: split for name, (_, split) in self._attention(f).items()}

    def _attention(self, f: BatchFeatures):
        """Latency and energy split of each part of attention, all layers together."""
        features = f.num_tokens, f.prefill_pairs, f.prefill_kv, f.decode_tokens, f.decode_kv
        parts = [layers.operators(*features) for layers in self.attention]
        return jax.tree.map(lambda *x: ft.reduce(op.add, x), *parts)


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
    forms = token_operators(fit, model, tensor_parallel)
    tokens = {name: form.tabulate() for name, form in forms.items()}
    sequences = _tabulate_sequences(sequence_operators(fit, model, tensor_parallel))
    return SpecialisedCost(
        token_operators=tokens,
        sequence_operators=sequences,
        token_curve=_sum(tokens.values()),
        sequence_curve=_sum(sequences.values()),
        attention=attention_costs(fit, model, tensor_parallel),
        max_power=jnp.asarray(fit.max_power, dtype=float),
        num_gpus=tensor_parallel,
    )


def _tabulate_sequences(forms: dict[str, OperatorForm]) -> dict[str, TabulatedOperator]:
    """The operators as curves, of which that of the host makes their sum never fall.

    Kernels may hide more of the host's time than a sequence adds to it, which would make
    another sequence cheaper where the number of tokens stays.
    """

    def together(sequences):
        latency = ft.reduce(op.add, (form.latency(sequences) for form in forms.values()))
        order = np.argsort(sequences, kind="stable")
        largest = np.maximum.accumulate(np.asarray(latency)[order])
        return (largest[np.argsort(order, kind="stable")],)

    found = {name: form.tabulate() for name, form in forms.items()}
    others = [form.curve.coefficients[0] for name, form in found.items() if name != "host"]
    wait = Curve.through(together).coefficients[0] - ft.reduce(op.add, others)
    host = found["host"].curve.coefficients.at[0].set(wait)
    return found | {"host": dc.replace(found["host"], curve=Curve(host))}


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


def _over(energy: Float[Array, "*batch"], latency: Float[Array, "*batch"]) -> Array:
    """W, and 0 where there is no latency."""
    used = latency != 0
    return jnp.where(used, energy / jnp.where(used, latency, 1.0), 0.0)
