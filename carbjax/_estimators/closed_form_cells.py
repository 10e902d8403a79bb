"""What a batch of the mean participants emits, by how many of each class take part."""

import dataclasses
import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from carbjax._carbon.footprint import Footprint
from carbjax._estimators.closed_form_batches import BROUGHT, Batches
from carbjax._estimators.columns import COLUMNS, NUM_COLUMNS
from carbjax._surrogate.cost import AbstractIterationCost
from carbjax._surrogate.features import BatchFeatures
from carbjax._units import JOULES_PER_KWH

# Evaluated at once. Of a small run a few hundred are asked for, which should not cost what
# thousands do; two lengths are compiled at most.
_CHUNK, _SMALL_CHUNK = 2**12, 2**8
_FEW = 2**11
_NUM_CHUNK_FEATURES = 4  # of `BROUGHT`, the others are of decodes


@dataclasses.dataclass(frozen=True)
class Cells:
    """A table for each batch: a cell for each number a of prefills and b of decodes.

    Batch k has `(P + 1) (D + 1)` cells from `first[k]` on, b running fastest.
    """

    num_prefills: Int[np.ndarray, " batches"]  # P
    num_decodes: Int[np.ndarray, " batches"]  # D
    value: Float[np.ndarray, "cells 5"]  # in the order of COLUMNS
    slope: Float[np.ndarray, "cells 7 5"]  # by each of BROUGHT

    @property
    def sizes(self) -> Int[np.ndarray, " batches"]:
        return (self.num_prefills + 1) * (self.num_decodes + 1)

    @property
    def first(self) -> Int[np.ndarray, " batches"]:
        return np.cumsum(self.sizes) - self.sizes

    @property
    def batch(self) -> Int[np.ndarray, " cells"]:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def counts(self) -> tuple[Int[np.ndarray, " cells"], Int[np.ndarray, " cells"]]:
        """a and b of each cell."""
        batch = self.batch
        within = np.arange(len(batch)) - self.first[batch]
        a, b = np.divmod(within, self.num_decodes[batch] + 1)
        return a, b


def tabulate(batches: Batches, cost: AbstractIterationCost, footprint: Footprint) -> Cells:
    """Emissions of every cell, and their slopes, summed over the steps of its batch."""
    prefills = batches.prefills
    num_prefills, num_decodes = batches.count(prefills), batches.count(~prefills)
    number = int(((num_prefills + 1) * (num_decodes + 1)).sum())
    value = np.zeros((number, NUM_COLUMNS))
    slope = np.zeros((number, len(BROUGHT), NUM_COLUMNS))
    cells = Cells(num_prefills, num_decodes, value, slope)
    (a, b), batch = cells.counts, cells.batch
    mean_prefill, mean_decode = batches.mean(prefills), batches.mean(~prefills)
    brought = a[:, None] * mean_prefill[batch] + b[:, None] * mean_decode[batch]
    step, cell = _cells_of_steps(batches.batch_of_step, cells)
    length = chunk_length(len(step))
    for begin in range(0, len(step), length):
        i, c = step[begin : begin + length], cell[begin : begin + length]
        inputs = (brought[c], a[c] > 0, *(x[i] for x in (batches.nodes, batches.weights)))
        inputs = (*inputs, batches.intensity[i])
        found = _emit_cells(cost, footprint, *(_filled(x, length) for x in inputs))
        values, slopes = (np.asarray(x)[: len(c)] for x in found)
        np.add.at(value, c, values)
        np.add.at(slope, c, slopes)
    nobody = (a == 0) & (b == 0)
    value[nobody], slope[nobody] = 0.0, 0.0
    return cells


def chunk_length(number: int) -> int:
    """How many batches to evaluate at once where there are so many in all."""
    return _SMALL_CHUNK if number <= _FEW else _CHUNK


def _cells_of_steps(
    batch_of_step: Int[np.ndarray, " steps"], cells: Cells
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Each step with every cell of its batch."""
    sizes = cells.sizes[batch_of_step]
    step = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(step)) - (np.cumsum(sizes) - sizes)[step]
    return step, within + cells.first[batch_of_step][step]


def _filled(x: np.ndarray, length: int) -> np.ndarray:
    """The array at one length, so that one size is compiled."""
    return np.pad(x, ((0, length - len(x)), *((0, 0) for _ in x.shape[1:])))


@eqx.filter_jit
def _emit_cells(cost, footprint, batch, has_prefill, nodes, weights, intensity):
    emit = ft.partial(batch_columns, cost, footprint)

    def value_and_slope(batch, *rest):
        # Slopes by column and feature, features first.
        return emit(batch, *rest), jax.jacrev(emit)(batch, *rest).T

    return jax.vmap(value_and_slope)(batch, has_prefill, nodes, weights, intensity)


def batch_columns(
    cost: AbstractIterationCost,
    footprint: Footprint,
    batch: Float[Array, "7"],
    has_prefill: Array,
    nodes: Float[Array, "3"],
    weights: Float[Array, "3"],
    intensity: Float[Array, ""],
) -> Float[Array, "5"]:
    """What a step emits whose participants bring `batch`, in the order of COLUMNS.

    `nodes` and `weights` sum over its iterations. An iteration of both phases is split
    between them as `observers.phase_sums` does it.
    """
    none = jnp.zeros_like(batch)
    chunks = jnp.concatenate([batch[:_NUM_CHUNK_FEATURES], none[_NUM_CHUNK_FEATURES:]])
    along = _later(batch, nodes)
    points = jnp.concatenate([along, chunks[None], (along[1] - chunks)[None]])
    latency, energy = cost(_features(points))
    electricity = footprint.rates.electricity(latency, energy)
    total = jnp.sum(weights * electricity[:3])
    has_decode = batch[_NUM_CHUNK_FEATURES] > 0
    both = (total + electricity[3] - electricity[4]) / 2
    prefill = jnp.where(has_prefill, jnp.where(has_decode, both, total), 0.0)
    grams = intensity / JOULES_PER_KWH
    columns = dict(
        prefill=prefill * grams,
        decode=(total - prefill) * grams,
        idle=jnp.zeros_like(total),
        embodied=footprint.rates.embodied * jnp.sum(weights * latency[:3]),
        energy_j=total,
    )
    return jnp.stack([columns[name] for name in COLUMNS])


def _later(batch: Float[Array, "7"], nodes: Float[Array, "3"]) -> Float[Array, "3 7"]:
    """What is brought so many iterations later: each decode has read a token more."""
    decodes, kv, kv_sq = batch[4], batch[5], batch[6]
    same = jnp.broadcast_to(batch[:5], (3, 5))
    later_kv = kv + nodes * decodes
    later_kv_sq = kv_sq + 2 * nodes * kv + nodes**2 * decodes
    return jnp.concatenate([same, later_kv[:, None], later_kv_sq[:, None]], axis=1)


def _features(brought: Float[Array, "points 7"]) -> BatchFeatures:
    chunk, ends, pairs, prefill_kv, decodes, kv, kv_sq = brought.T
    return BatchFeatures(
        num_tokens=chunk + decodes,
        num_sequences=ends + decodes,
        prefill_pairs=pairs,
        prefill_kv=prefill_kv,
        decode_tokens=decodes,
        decode_kv=kv,
        decode_kv_sq=kv_sq,
    )
