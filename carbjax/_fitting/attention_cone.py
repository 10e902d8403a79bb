"""Monotone kernel forms as non-negative sums of monotone pieces."""

import itertools

import numpy as np
from jaxtyping import Float

FEATURES = "features"
REQUESTS = "requests"


def cone(
    token_knots: Float[np.ndarray, " factors"],
    pair_knots: Float[np.ndarray, " pair_knots"],
    lengths: Float[np.ndarray, " lengths"],
    kv_knots: Float[np.ndarray, " kv_knots"] | None,
    monotone: str = FEATURES,
) -> Float[np.ndarray, "pieces factors+1 columns"]:
    """Matrices C of `KernelForm` whose non-negative sums are monotone.

    `features`: non-decreasing in tokens, pairs and kv, each alone. `requests`: only
    along what a batch can do, more requests of the same mean length or longer ones;
    short requests added at fixed pairs may then make the kernel faster, as they do
    where a kernel waits for its longest request. The first piece is the launch.
    """
    num_kv = 0 if kv_knots is None else 1 + len(kv_knots)
    # Unit vectors, in the order of the columns of `KernelForm`.
    unit = np.eye(3 + len(pair_knots) + len(lengths) + num_kv)
    ends = np.cumsum([1, len(pair_knots), 2, len(lengths)])
    (launch,), bent, (x, y), larger, kv = np.split(unit, ends)
    # A smooth min(s x, y), and what max(s x, y) has above s x.
    short = [s * x + y - row for s, row in zip(lengths, larger, strict=True)]
    long = [row - s * x for s, row in zip(lengths, larger, strict=True)]

    columns = [launch, x, y, *_bends(y, bent, pair_knots)]
    columns += itertools.chain.from_iterable(zip(larger, short, strict=True))
    if kv_knots is not None:
        columns += [kv[0], *_bends(kv[0], kv[1:], kv_knots)]
    growing = np.eye(1 + len(token_knots))
    pieces = [np.outer(f, c) for f, c in itertools.product(growing, columns)]
    if monotone == REQUESTS:
        pieces += [np.outer(f, c) for f, c in itertools.product(growing, long)]
        for i, knot in enumerate(token_knots):
            fading = (growing[0] - growing[1 + i]) / knot  # 1 / (x + a)
            pieces += [np.outer(fading, c) for c in [y, *short, *long]]
    return np.stack(pieces)


def _bends(linear, rows, knots) -> list[np.ndarray]:
    """`y / (y + b)`, where it bends down, and `y^2 / (y + b)`, up, for each knot b."""
    pairs = ((row, linear - b * row) for row, b in zip(rows, knots, strict=True))
    return list(itertools.chain.from_iterable(pairs))
