"""Exact Shapley values of small batches: every subset of the participants is valued."""

import functools as ft
import math

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, Float

from carbjax._carbon.footprint import Footprint
from carbjax._estimators.closed_form_batches import Batches
from carbjax._estimators.closed_form_cells import batch_columns, chunk_length
from carbjax._estimators.columns import NUM_COLUMNS, Columns
from carbjax._surrogate.cost import AbstractIterationCost

_CHUNK = 2**12  # subsets valued at once


def enumerate_batches(
    batches: Batches, cost: AbstractIterationCost, footprint: Footprint
) -> Columns:
    """Each entry's exact Shapley value in its batch, `"entries 5"`.

    The game of a batch: what its steps emit with the tokens of a subset alone. Cost:
    2^k evaluations of the iteration cost for each step of a batch of k.
    """
    size = np.bincount(batches.batch, minlength=batches.size)
    shares = np.zeros((len(batches.batch), NUM_COLUMNS))
    for members in np.unique(size):
        at_once = max(1, _CHUNK >> members)
        same = np.flatnonzero(size == members)
        weights = subset_weights(members)
        for start in range(0, len(same), at_once):
            wanted = np.isin(np.arange(batches.size), same[start : start + at_once])
            values = _subset_values(batches.take(wanted), members, cost, footprint)
            found = np.einsum("ks,bsc->bkc", weights, values)
            shares[wanted[batches.batch]] = found.reshape(-1, NUM_COLUMNS)
    return shares


def subset_weights(num_members: int) -> Float[np.ndarray, "members subsets"]:
    """Factors of the values of all subsets in each member's Shapley value."""
    inside = _subsets(num_members)
    size = inside.sum(axis=1)
    orders = [math.comb(num_members, s) for s in range(num_members + 1)]
    # (s-1)! (n-s)! / n! = 1 / (s C(n, s)) of a subset with the member, else
    # s! (n-s-1)! / n! = 1 / ((n-s) C(n, s)).
    ways = np.array(orders, float)[size]
    joined = 1 / (np.maximum(size, 1) * ways)
    absent = 1 / (np.maximum(num_members - size, 1) * ways)
    return np.where(inside.T, joined, -absent)


def _subsets(num_members: int) -> Bool[np.ndarray, "subsets members"]:
    return (np.arange(2**num_members)[:, None] >> np.arange(num_members) & 1).astype(bool)


def _subset_values(
    batches: Batches, members: int, cost: AbstractIterationCost, footprint: Footprint
) -> Float[np.ndarray, "batches subsets 5"]:
    """What the steps of each batch emit with every subset of its `members`."""
    subsets = _subsets(members)
    brought = np.einsum(
        "sk,bkf->bsf", subsets, batches.brought.reshape(batches.size, members, -1)
    )
    prefills = batches.prefills.reshape(batches.size, members)
    has_prefill = prefills.astype(int) @ subsets.T.astype(int) > 0
    values = np.zeros((*brought.shape[:2], NUM_COLUMNS))
    step, subset = (x.ravel() for x in np.indices((len(batches.nodes), len(subsets))))
    length = chunk_length(len(step))
    for start in range(0, len(step), length):
        i, s = step[start : start + length], subset[start : start + length]
        b = batches.batch_of_step[i]
        inputs = brought[b, s], has_prefill[b, s], batches.nodes[i], batches.weights[i]
        inputs = (*inputs, batches.intensity[i])
        filled = (np.resize(x, (length, *x.shape[1:])) for x in inputs)
        found = np.asarray(_emit(cost, footprint, *filled))[: len(i)]
        np.add.at(values, (b, s), found)
    values[:, 0] = 0.0
    return values


@eqx.filter_jit
def _emit(cost, footprint, *batches):
    return jax.vmap(ft.partial(batch_columns, cost, footprint))(*batches)
