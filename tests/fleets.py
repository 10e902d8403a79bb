"""Small fleets: a cost that compiles quickly, a system with it, and requests."""

import datetime as dt

import jax.numpy as jnp
import numpy as np

from carbjax._carbon.intensity import Intensity
from carbjax._serving.system import System
from carbjax._surrogate.cost import AbstractIterationCost

EPOCH = dt.datetime(2024, 5, 1, 9, 50, tzinfo=dt.UTC)


class BentCost(AbstractIterationCost):
    """Launches, bends in tokens and in contexts, and a power that changes with both."""

    def token_part(self, num_tokens):
        rising = jnp.sqrt(0.004**2 + (2e-5 * num_tokens) ** 2)
        return 0.001 + rising, 0.3 + 500.0 * rising

    def sequence_part(self, num_sequences):
        return 1e-3 + 1e-5 * num_sequences, 0.1 + 2e-3 * num_sequences

    def attention_part(
        self, num_tokens, prefill_pairs, prefill_kv, decode_tokens, decode_kv, decode_kv_sq
    ):
        pairs = 1e-4 + 3e-9 * prefill_pairs + 1e-8 * prefill_kv
        pairs = jnp.where(prefill_pairs + prefill_kv > 0, pairs, 0.0)
        read = jnp.sqrt(2e-4**2 + (1e-7 * decode_kv) ** 2) + 1e-6 * decode_tokens
        read = jnp.where(decode_tokens + decode_kv > 0, read, 0.0)
        return pairs + read, 400.0 * pairs + 250.0 * read

    def operator_costs(self, features):
        latency, energy = self(features)
        return {"iteration": (latency, energy / latency)}


def small_system(intensity: Intensity | float = 400.0, **changes) -> System:
    """Eight requests at a time, 512 tokens an iteration."""
    settings = {"max_num_seqs": 8, "max_num_batched_tokens": 512} | changes
    settings = {"kv_capacity_tokens": 50_000} | settings
    return System.load(cost=BentCost(), carbon_intensity=intensity, **settings)


def changing_intensity(num_steps: int = 40, step_s: float = 3.0) -> Intensity:
    """A series that begins with `EPOCH` and is another every few seconds."""
    edges = EPOCH.timestamp() - 1.0 + step_s * np.arange(num_steps + 1)
    values = 100.0 + 300.0 * np.random.default_rng(0).random(num_steps)
    return Intensity(edges, values)


def random_requests(
    seed: int, count: int = 40, span_s: float = 2.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrivals, prompts and answers: bursts, and p = 0 or d = 0 now and then."""
    rng = np.random.default_rng(seed)
    arrival = np.sort(rng.choice(rng.uniform(0, span_s, count), count))
    prompt = np.clip(rng.lognormal(5, 1.5, count), 0, 4000).astype(int)
    decode = np.clip(rng.lognormal(3, 1.2, count), 0, 300).astype(int)
    prompt[rng.random(count) < 0.1] = 0
    decode[rng.random(count) < 0.1] = 0
    return arrival, prompt, np.where(prompt + decode == 0, 1, decode)
