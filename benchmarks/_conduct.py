"""How a cost behaves: never falling, differentiable, and how many states a second."""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import carbjax as cj
from carbjax._surrogate.model_operators import token_operators

STATES = 1_000_000
SWEEP = 20_000
_REPEATS = 7
_STEP = 1e-4  # relative, of finite differences
_LARGEST = {
    "num_tokens": 3e4,
    "num_sequences": 1e3,
    "prefill_pairs": 5e8,
    "prefill_kv": 3e4,
    "decode_tokens": 1e3,
    "decode_kv": 3e7,
}


def states(count: int, dtype, seed: int = 0) -> cj.BatchFeatures:
    """Mixed batches: a chunk of up to 2048 tokens and up to 256 decode requests."""
    rng = np.random.default_rng(seed)
    chunk, cached = rng.integers(1, 2048, count), rng.integers(0, 8192, count)
    requests, context = rng.integers(1, 256, count), rng.integers(16, 8192, count)
    columns = (
        chunk + requests,
        requests + 1,
        chunk * cached + chunk * (chunk + 1) / 2,
        chunk + cached,
        requests,
        requests * context,
        requests * context.astype(float) ** 2,
    )
    return cj.BatchFeatures(*(jnp.asarray(column, dtype) for column in columns))


def per_second(function: Callable, batch, count: int) -> float:
    """States a second of a function of many, compiled before; the median of some runs."""
    jax.block_until_ready(function(batch))
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(function(batch))
        seconds.append(time.perf_counter() - start)
    return count / float(np.median(seconds))


def falls(system: cj.System, seed: int = 0) -> tuple[int, int]:
    """Steps along a feature at which latency or energy falls, and the steps there are.

    From random batches each feature is swept alone, from 0 to beyond what was measured.
    """
    start = states(4, jnp.float64, seed)
    found = steps = 0
    for name, largest in _LARGEST.items():
        sweep = jnp.concatenate([jnp.zeros(1), jnp.geomspace(1e-2, largest, SWEEP)])
        values = {
            field: jnp.broadcast_to(value[:, None], (4, len(sweep)))
            for field, value in vars(start).items()
        }
        values[name] = jnp.broadcast_to(sweep, (4, len(sweep)))
        for cost in system.iteration_cost(cj.BatchFeatures(**values)):
            change = np.diff(np.asarray(cost), axis=1)
            # A rounding of the largest number is no fall.
            found += int((change < -1e-13 * np.asarray(cost)[:, :-1]).sum())
            steps += change.size
    return found, steps


def unspecialised(system: cj.System) -> Callable[[cj.BatchFeatures], tuple]:
    """What depends on tokens alone, by the operators as fitted: s, and J of all GPUs."""
    assert system.surrogate is not None
    gpus = system.tensor_parallel
    operators = token_operators(system.surrogate.fit, system.model, gpus).values()

    def cost(batch: cj.BatchFeatures) -> tuple:
        parts = [operator(batch.num_tokens) for operator in operators]
        latency, energy = (sum(part) for part in zip(*parts, strict=True))
        return latency, gpus * energy

    return cost


def specialisation_gap(system: cj.System) -> tuple[float, float]:
    """Mean and largest relative distance of the specialised time to that as fitted."""
    tokens = jnp.arange(1.0, 8193.0)
    ours, _ = system.cost.token_part(tokens)
    theirs, _ = unspecialised(system)(
        _with(states(len(tokens), float), "num_tokens", tokens)
    )
    gap = jnp.abs(ours / theirs - 1)
    return float(gap.mean()), float(gap.max())


def gradient_gap(system: cj.System, seed: int = 0) -> float:
    """Largest relative gap of a derivative to its central difference, over features.

    Relative to the largest of the two, where the derivative matters: where a hundredth
    more of the feature changes the cost by at least a millionth.
    """
    batch = states(64, jnp.float64, seed)
    worst = 0.0
    for name in _LARGEST:
        value = np.asarray(getattr(batch, name))
        moved = [
            system.iteration_cost(_with(batch, name, jnp.asarray(value * (1 + s))))
            for s in (-_STEP, _STEP)
        ]
        cost = system.iteration_cost(batch)
        for part in (0, 1):
            by_jax = np.asarray(_derivative(system, part, name, batch))
            by_steps = np.asarray(moved[1][part] - moved[0][part]) / (2 * _STEP * value)
            matters = np.abs(by_jax * value) > 1e-4 * np.asarray(cost[part])
            gap = np.abs(by_jax / np.where(matters, by_steps, 1.0) - 1)[matters]
            worst = max(worst, float(gap.max(initial=0.0)))
    return worst


def _derivative(system: cj.System, part: int, name: str, batch: cj.BatchFeatures):
    def total(value):
        return jnp.sum(system.iteration_cost(_with(batch, name, value))[part])

    return jax.grad(total)(getattr(batch, name))


def _with(batch: cj.BatchFeatures, name: str, value) -> cj.BatchFeatures:
    return cj.BatchFeatures(**(vars(batch) | {name: value}))
