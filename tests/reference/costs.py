"""Smooth, positive, monotone random iteration costs in the seven features.

The parts are arithmetic on any arrays (`attention_part` is told the module as `xp`), so
that the engine under test evaluates the very same function with `jax.numpy`.
"""

from typing import Any, NamedTuple

import numpy as np

from .features import CostFn, Features

Parameters = dict[str, float]


class CostParameters(NamedTuple):
    """Coefficients of the latency (s) and of the energy (J): one form, two sets."""

    latency: Parameters
    energy: Parameters


def token_part(c: Parameters, num_tokens: Any) -> Any:
    """a0 + (a1^s + (a2 T)^s)^(1/s): launch, then weights, then arithmetic."""
    sharp = c["token_sharpness"]
    rising = (c["weights"] ** sharp + (c["per_token"] * num_tokens) ** sharp) ** (1 / sharp)
    return c["launch"] + rising


def sequence_part(c: Parameters, num_sequences: Any) -> Any:
    """b0 + b1 Q."""
    return c["host"] + c["per_sequence"] * num_sequences


def attention_part(
    c: Parameters,
    num_tokens: Any,
    prefill_pairs: Any,
    prefill_kv: Any,
    decode_tokens: Any,
    decode_kv: Any,
    decode_kv_sq: Any,
    xp: Any = np,
) -> Any:
    """Prefill and decode kernels, each only where in use, and a term of both.

    prefill: c0 + c1 A + c2 PKV + c3 T
    decode: d0 + d1 B + ((d2)^s + (d3 K)^s)^(1/s) + d4 K2 / (K + k0)
    both: e (c1 A)(d3 K) / (c1 A + d3 K + tiny), which grows with either.
    """
    pairs, context = c["per_pair"] * prefill_pairs, c["per_kv"] * decode_kv
    prefill = c["prefill_launch"] + pairs + c["per_prefill_kv"] * prefill_kv
    prefill = prefill + c["per_query"] * num_tokens
    sharp = c["kv_sharpness"]
    decode = c["decode_launch"] + c["per_decode"] * decode_tokens
    decode = decode + (c["kv_floor"] ** sharp + context**sharp) ** (1 / sharp)
    decode = decode + c["per_kv_skew"] * decode_kv_sq / (decode_kv + c["skew_kv"])
    both = c["overlap"] * pairs * context / (pairs + context + c["kv_floor"])
    has_prefill = xp.asarray(prefill_pairs + prefill_kv) > 0
    has_decode = xp.asarray(decode_tokens + decode_kv) > 0
    return xp.where(has_prefill, prefill, 0.0) + xp.where(has_decode, decode, 0.0) + both


def combined(c: Parameters, features: Features, xp: Any = np) -> Any:
    """The sum of the three parts."""
    tokens, sequences, *attention = features
    return (
        token_part(c, tokens)
        + sequence_part(c, sequences)
        + attention_part(c, tokens, *attention, xp=xp)
    )


def cost_function(parameters: CostParameters) -> CostFn:
    """Features to (latency_s, energy_j), in numpy."""
    return lambda f: (combined(parameters.latency, f), combined(parameters.energy, f))


_SHAPES = {
    "token_sharpness": (2.0, 4.0),
    "kv_sharpness": (1.5, 2.0),
    "skew_kv": (500, 5000),
}
_SECONDS = {
    "launch": (0.2e-3, 1e-3),
    "weights": (2e-3, 8e-3),
    "per_token": (1e-5, 6e-5),
    "host": (0.1e-3, 3e-3),
    "per_sequence": (1e-6, 5e-5),
    "prefill_launch": (5e-5, 3e-4),
    "per_pair": (1e-10, 2e-9),
    "per_prefill_kv": (1e-8, 1e-7),
    "per_query": (1e-8, 1e-7),
    "decode_launch": (5e-5, 3e-4),
    "per_decode": (1e-6, 1e-5),
    "kv_floor": (1e-4, 5e-4),
    "per_kv": (2e-8, 3e-7),
}


def random_cost(rng: np.random.Generator) -> CostParameters:
    """Latencies of milliseconds; between 150 and 600 W of any of them."""
    latency = {name: float(rng.uniform(*bounds)) for name, bounds in _SHAPES.items()}
    for name, (low, high) in _SECONDS.items():
        latency[name] = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    # At most a tenth of what K costs at least, so that the sum still grows with K.
    latency["per_kv_skew"] = 0.1 * latency["per_kv"] * float(rng.random())
    latency["overlap"] = float(rng.uniform(0.0, 0.5))
    watts = {name: float(rng.uniform(150.0, 600.0)) for name in [*_SECONDS, "per_kv_skew"]}
    energy = {name: value * watts.get(name, 1.0) for name, value in latency.items()}
    energy["per_kv_skew"] = min(energy["per_kv_skew"], 0.1 * energy["per_kv"])
    return CostParameters(latency, energy)
