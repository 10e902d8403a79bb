"""A cost model whose operators are slower or faster, and draw more or less."""

import dataclasses
import functools as ft
import operator as op
from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._surrogate.attention_cost import AttentionCost
from carbjax._surrogate.cost import Cost
from carbjax._surrogate.curve import Curve
from carbjax._surrogate.operator_form import EnergySplit, TabulatedOperator
from carbjax._surrogate.specialise import SpecialisedCost


class Factors(NamedTuple):
    """What an operator's latency and its power are multiplied by."""

    latency: float | Float[Array, ""] = 1.0
    power: float | Float[Array, ""] = 1.0


class PerturbedAttention(eqx.Module):
    """Attention whose parts are multiplied; their interaction is prefill's."""

    attention: AttentionCost
    prefill: Factors
    decode: Factors

    def __call__(self, *features: Float[Array, "*batch"]) -> Cost:
        """Latency (s) and energy (J, one GPU), without the power limit."""
        latencies, splits = zip(*self.operators(*features).values(), strict=True)
        energies = (split.total for split in splits)
        return ft.reduce(op.add, latencies), ft.reduce(op.add, energies)

    def operators(
        self, *features: Float[Array, "*batch"]
    ) -> dict[str, tuple[Float[Array, "*batch"], EnergySplit]]:
        """Latency (s) and energy (J, one GPU) of each part, by name."""
        found = {}
        for name, (latency, split) in self.attention.operators(*features).items():
            factors = self.decode if name == "decode_attention" else self.prefill
            t, p = (jnp.asarray(x, latency.dtype) for x in factors)
            found[name] = t * latency, EnergySplit(*(t * p * x for x in split))
        return found


def perturbed(cost: SpecialisedCost, factors: Mapping[str, Factors]) -> SpecialisedCost:
    """The same model with these operators' latency and power multiplied at every size."""
    tokens = _multiplied(cost.token_operators, factors)
    sequences = _multiplied(cost.sequence_operators, factors)
    prefill, decode = (
        Factors(*(jnp.asarray(x, float) for x in factors.get(name, Factors())))
        for name in ("prefill_attention", "decode_attention")
    )
    attention = tuple(PerturbedAttention(a, prefill, decode) for a in cost.attention)
    return dataclasses.replace(
        cost,
        token_operators=tokens,
        sequence_operators=sequences,
        token_curve=_sum(tokens),
        sequence_curve=_sum(sequences),
        attention=attention,
    )


def _multiplied(
    operators: Mapping[str, TabulatedOperator], factors: Mapping[str, Factors]
) -> dict[str, TabulatedOperator]:
    found = {}
    for name, operator in operators.items():
        t, p = factors.get(name, Factors())
        each = jnp.asarray([t, t * p, t * p], float)[:, None, None]
        curve = Curve(each * operator.curve.coefficients)
        found[name] = TabulatedOperator(curve, operator.static_power * p)
    return found


def _sum(operators: Mapping[str, TabulatedOperator]) -> Curve:
    return ft.reduce(op.add, (operator.cost for operator in operators.values()))
