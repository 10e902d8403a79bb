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
    pairs, count = len(pair_knots), len(lengths)
    width = 3 + pairs + count + (0 if kv_knots is None else 1 + len(kv_knots))
    x, y, g = 1 + pairs, 2 + pairs, 3 + pairs

    def column(**entries):
        row = np.zeros(width)
        for at, value in entries.values():
            row[at] += value
        return row

    def unit(at):
        return column(a=(at, 1.0))

    # Non-decreasing in every feature; the comments name the pieces.
    columns = [unit(0), unit(x), unit(y)]
    for i, knot in enumerate(pair_knots):
        columns.append(unit(1 + i))  # y / (y + b)
        columns.append(column(a=(y, 1.0), b=(1 + i, -knot)))  # y^2 / (y + b)
    for j, s in enumerate(lengths):
        columns.append(unit(g + j))  # a smooth max(s x, y)
        columns.append(column(a=(x, s), b=(y, 1.0), c=(g + j, -1.0)))  # a smooth min
    if kv_knots is not None:
        columns.append(unit(g + count))
        for m, knot in enumerate(kv_knots):
            at = g + count + 1 + m
            columns.append(unit(at))
            columns.append(column(a=(g + count, 1.0), b=(at, -knot)))
    growing = np.eye(1 + len(token_knots))
    pieces = [np.outer(f, c) for f, c in itertools.product(growing, columns)]
    if monotone == REQUESTS:
        long = [column(a=(g + j, 1.0), b=(x, -s)) for j, s in enumerate(lengths)]
        short = [
            column(a=(x, s), b=(y, 1.0), c=(g + j, -1.0)) for j, s in enumerate(lengths)
        ]
        pieces += [np.outer(f, c) for f, c in itertools.product(growing, long)]
        for i, knot in enumerate(token_knots):
            fading = (growing[0] - growing[1 + i]) / knot  # 1 / (x + a)
            pieces += [np.outer(fading, c) for c in [unit(y), *short, *long]]
    return np.stack(pieces)
