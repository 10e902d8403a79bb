"""The batch of an iteration, and what a run of such iterations costs."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from carbjax._serving.rule import discrete_gauss
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._surrogate.features import BatchFeatures


class Batch(eqx.Module):
    """Who takes part in an iteration, and with how many tokens."""

    prefilling: Bool[Array, "slots *lanes"]
    chunk: Float[Array, "slots *lanes"]  # prompt tokens read
    cached: Float[Array, "slots *lanes"]  # prompt tokens read before
    ends_prompt: Bool[Array, "slots *lanes"]
    decoding: Bool[Array, "slots *lanes"]
    context: Float[Array, "slots *lanes"]  # tokens that a decode reads

    @property
    def is_run(self) -> Bool[Array, "*lanes"]:
        """Decodes alone, so that several iterations can make a step."""
        return ~jnp.any(self.prefilling, axis=0)

    @property
    def has_both_phases(self) -> Bool[Array, "*lanes"]:
        return jnp.any(self.prefilling, axis=0) & jnp.any(self.decoding, axis=0)

    def restrict(self, who: Bool[Array, "slots *lanes"]) -> "Batch":
        """The batch of these requests alone."""
        return Batch(
            prefilling=self.prefilling & who,
            chunk=jnp.where(who, self.chunk, 0.0),
            cached=self.cached,
            ends_prompt=self.ends_prompt & who,
            decoding=self.decoding & who,
            context=self.context,
        )


class Measured(eqx.Module):
    """Batch features and costs at the nodes of the sum over a step's iterations.

    See `rule.discrete_gauss`. A step with prefill chunks is one iteration: its outer
    nodes have no weight, and hold the chunks alone and the decodes alone.
    """

    nodes: Float[Array, "3 *lanes"]
    weights: Float[Array, "3 *lanes"]
    features: BatchFeatures  # "3"
    latency: Float[Array, "3 *lanes"]  # s
    energy: Float[Array, "3 *lanes"]  # J


def _run_features(batch: Batch, nodes: Float[Array, "3 *lanes"]) -> BatchFeatures:
    """Features of the decodes alone, at the nodes along a run."""
    decoding, context = batch.decoding, batch.context
    num = jnp.sum(decoding, dtype=context.dtype, axis=0)
    kv = jnp.sum(jnp.where(decoding, context, 0.0), axis=0)
    kv_sq = jnp.sum(jnp.where(decoding, context**2, 0.0), axis=0)
    count = jnp.broadcast_to(num, nodes.shape)
    zero = jnp.zeros_like(nodes)
    return BatchFeatures(
        num_tokens=count,
        num_sequences=count,
        prefill_pairs=zero,
        prefill_kv=zero,
        decode_tokens=count,
        decode_kv=kv + nodes * num,
        decode_kv_sq=kv_sq + 2 * nodes * kv + nodes**2 * num,
    )


def _chunk_features(batch: Batch) -> BatchFeatures:
    """Features of the prefill chunks alone."""
    chunk, cached = batch.chunk, batch.cached
    zero = jnp.zeros((), chunk.dtype)
    return BatchFeatures(
        num_tokens=jnp.sum(chunk, axis=0),
        num_sequences=jnp.sum(batch.ends_prompt, dtype=chunk.dtype, axis=0),
        prefill_pairs=jnp.sum(chunk * cached + chunk * (chunk + 1) / 2, axis=0),
        prefill_kv=jnp.sum(jnp.where(batch.prefilling, cached + chunk, 0.0), axis=0),
        decode_tokens=zero,
        decode_kv=zero,
        decode_kv_sq=zero,
    )


def measure(
    iterations: Float[Array, "*lanes"], batch: Batch, cost: AbstractIterationCost
) -> Measured:
    """Features and costs at the nodes of a step."""
    nodes, weights = discrete_gauss(iterations)
    # With chunks it is one iteration of weights (0, 1, 0): chunks, all, decodes.
    of_nodes = (3, *(1 for _ in iterations.shape))
    has_chunks = jnp.array([1.0, 1.0, 0.0], nodes.dtype).reshape(of_nodes)
    has_decodes = jnp.array([0.0, 1.0, 1.0], nodes.dtype).reshape(of_nodes)
    chunks = jnp.where(batch.is_run, 0.0, has_chunks)
    decodes = jnp.where(batch.is_run, 1.0, has_decodes)
    nodes = jnp.where(batch.is_run, nodes, 0.0)
    run = _run_features(batch, nodes).scale(decodes)
    features = _chunk_features(batch).scale(chunks) + run
    latency, energy = cost(features)
    return Measured(nodes, weights, features, latency, energy)
