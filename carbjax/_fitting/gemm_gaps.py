"""Matrix products between sizes that a profile leaves far apart."""

import numpy as np
from jaxtyping import Float

from carbjax._profiles.profile import Profile
from carbjax._surrogate.gemm import Gemm

_FAR_APART = 2.0  # times from one measured size to the next
_SPACING = 1.2  # times between the sizes that fill such a gap

Sizes = Float[np.ndarray, "rows sizes"]
"""m, n, k and bytes a weight of each row."""


def gap_rows(rows: Profile, bare: Gemm) -> tuple[Sizes, Float[np.ndarray, " rows"]]:
    """Sizes in the gaps of n and k, and the log of the latency expected there.

    A network may put all of the rise between two sizes anywhere between them. Where n or
    k more than doubles from one measured size to the next, the latency over that of the
    roofline `bare` is expected to go from the one's to the other's, evenly in log size.
    """
    sizes = np.stack([rows.num_tokens, rows.n, rows.k, rows.bytes_per_weight], axis=1)
    excess = np.log(rows.latency_s) - np.log(_roofline(bare, sizes))
    found = [_along(sizes, excess, axis) for axis in (1, 2)]
    between = np.concatenate([between for between, _ in found])
    expected = np.concatenate([expected for _, expected in found])
    return between, expected + np.log(_roofline(bare, between))


def _along(sizes: Sizes, excess: Float[np.ndarray, " rows"], axis: int):
    """Rows in the gaps of one axis, and their log latency over the roofline's."""
    others = np.delete(sizes, axis, axis=1)
    order = np.lexsort((sizes[:, axis], *others.T))
    same = (np.diff(others[order], axis=0) == 0).all(axis=1)
    step = np.diff(np.log(sizes[order, axis]))
    left = np.flatnonzero(same & (step > np.log(_FAR_APART) * (1 + 1e-9)))
    between, expected = [np.zeros((0, 4))], [np.zeros(0)]
    for low, high, width in zip(order[left], order[left + 1], step[left], strict=True):
        part = np.arange(np.log(_SPACING), width * (1 - 1e-9), np.log(_SPACING)) / width
        filled = np.tile(sizes[low], (len(part), 1))
        filled[:, axis] = sizes[low, axis] * np.exp(part * width)
        between.append(filled)
        expected.append(excess[low] + part * (excess[high] - excess[low]))
    return np.concatenate(between), np.concatenate(expected)


def _roofline(bare: Gemm, sizes: Sizes) -> Float[np.ndarray, " rows"]:
    return np.asarray(bare.latency(*sizes.T))
