"""A table of decode attention, monotone in requests and in their length.

It keeps what the surrogate's forms smooth over (waves of requests, changes of kernel),
and so tells what those cost on the kernels that were profiled.
"""

import dataclasses as dc

import numpy as np
from jaxtyping import Bool, Float

from carbjax._profiles.profile import Profile

_CONTEXT_STRIDE = 4  # profiled contexts a node
_SHORT = 4  # shortest contexts, each a node
_RIDGE = 1e-9
_SWEEPS = 60


@dc.dataclass(frozen=True)
class DecodeTable:
    """Seconds at nodes of requests and mean context; linear between and beyond them."""

    requests: Float[np.ndarray, " requests"]
    contexts: Float[np.ndarray, " contexts"]
    latency_s: Float[np.ndarray, "requests contexts"]

    def __call__(self, rows: Profile) -> Float[np.ndarray, " rows"]:
        """Seconds of one layer of each row."""
        first = _shares(self.requests, rows.decode_tokens)
        second = _shares(self.contexts, rows.decode_kv / rows.decode_tokens)
        return np.einsum("ri,ij,rj->r", first, self.latency_s, second)


def fit_decode_table(rows: Profile, train: Bool[np.ndarray, " rows"]) -> DecodeTable:
    """The table of one head geometry from the rows `train`.

    Least squares of relative errors, then the nearest table, in logs, that falls neither
    with more requests of the same length nor with longer ones.
    """
    seen = rows.select(train)
    context = seen.decode_kv / seen.decode_tokens
    requests, lengths = np.unique(seen.decode_tokens), np.unique(context)
    kept = [lengths[:_SHORT], lengths[::_CONTEXT_STRIDE], lengths[-1:]]
    nodes = np.unique(np.concatenate(kept))
    pair = _shares(requests, seen.decode_tokens)[:, :, None]
    pair = pair * _shares(nodes, context)[:, None, :]
    design = pair.reshape(len(seen), -1) / seen.latency_s[:, None]
    gram = design.T @ design
    gram += _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    at_nodes = np.linalg.solve(gram, design.sum(axis=0)).reshape(len(requests), -1)
    at_nodes = np.maximum(at_nodes, seen.latency_s.min())
    weights = np.diag(gram).reshape(at_nodes.shape) * at_nodes**2
    return DecodeTable(requests, nodes, np.exp(_increasing(np.log(at_nodes), weights)))


def _shares(nodes, values) -> Float[np.ndarray, "rows nodes"]:
    """Linear interpolation, and extrapolation from the last and the last but three."""
    shares = np.stack([np.interp(values, nodes, row) for row in np.eye(len(nodes))], 1)
    back = min(4, len(nodes))
    beyond = values > nodes[-1]
    if back > 1:
        slope = (values[beyond] - nodes[-1]) / (nodes[-1] - nodes[-back])
        shares[beyond, -1] += slope
        shares[beyond, -back] -= slope
    return shares


def _increasing(values, weights):
    """Dykstra's projection onto tables increasing along both axes."""
    table, first, second = values, np.zeros_like(values), np.zeros_like(values)
    for _ in range(_SWEEPS):
        moved = table + first
        rows = np.stack([_pooled(v, w) for v, w in zip(moved, weights, strict=True)])
        first, moved = moved - rows, rows + second
        pools = zip(moved.T, weights.T, strict=True)
        table = np.stack([_pooled(v, w) for v, w in pools], axis=1)
        second = moved - table
    # The sweeps converge in the limit; the running maximum ends exactly.
    return np.maximum.accumulate(np.maximum.accumulate(table, axis=0), axis=1)


def _pooled(values, weights):
    """Isotonic regression by pooling adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        count = 1
        while pools and pools[-1][0] > value:
            above, more, size = pools.pop()
            value = (above * more + value * weight) / (more + weight)
            weight, count = weight + more, count + size
        pools.append((value, weight, count))
    return np.repeat([p[0] for p in pools], [p[2] for p in pools])
