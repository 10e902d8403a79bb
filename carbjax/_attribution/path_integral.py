"""Integrals along a path to a wanted accuracy: pieces that close badly are cut."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from carbjax._attribution.path_jumps import Jump
from carbjax._attribution.path_pieces import NODES, Piece, halves, nodes_between

_FIRST_PIECES = 7  # 29 nodes, one call
_NARROW = 1e-8  # of the path: too narrow to hold anything that counts

Along = Callable[
    [Float[np.ndarray, " nodes"]],
    tuple[
        Float[np.ndarray, "nodes components"],
        Float[np.ndarray, "nodes components coordinates"],
    ],
]
"""The function at places along the path, and its growth there by coordinate."""

FindJump = Callable[[Piece], Jump | None]


@dataclasses.dataclass(frozen=True)
class PathIntegral:
    """Pieces in order, the jumps between them, and whether the nodes ran out."""

    pieces: tuple[Piece, ...]
    jumps: tuple[Jump, ...]
    num_nodes: int
    is_accurate: bool

    @property
    def parts(self) -> Float[np.ndarray, "components coordinates"]:
        """Each coordinate's integral, jumps left out."""
        return sum(piece.integral for piece in self.pieces)  # pyright: ignore

    @property
    def error(self) -> float:
        return sum(piece.error for piece in self.pieces)


def integrate(
    along: Along,
    find_jump: FindJump,
    *,
    start: float,
    end: float,
    weight: Float[np.ndarray, " components"],
    tolerance: Callable[[float], float],
    max_nodes: int,
) -> PathIntegral:
    """The integral from `start` to `end`, cut until errors sum to the tolerance.

    `tolerance` is a function of the growth over the whole path. Where a piece grows by
    more than its gradient can explain, the jump in it is found and taken out.
    """
    edges = np.linspace(start, end, _FIRST_PIECES + 1)
    grids = [nodes_between(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    pieces, num_nodes = _evaluate(along, grids, [], weight)
    growth = weight @ (pieces[-1].value[-1] - pieces[0].value[0])
    wanted = tolerance(float(growth))
    jumps: list[Jump] = []
    while worst := _worst(pieces, wanted):
        if num_nodes + 2 * NODES * len(worst) > max_nodes:
            break
        grids = []
        for piece in worst:
            jump = find_jump(piece) if piece.may_jump else None
            jumps += [] if jump is None else [jump]
            grids += _cut(piece, jump)
        finer, added = _evaluate(along, grids, worst, weight)
        num_nodes += added
        gone = {id(piece) for piece in worst}
        pieces = [p for p in pieces if id(p) not in gone] + finer
    pieces.sort(key=lambda p: p.tau[0])
    jumps.sort(key=lambda j: j.tau)
    accurate = sum(piece.error for piece in pieces) <= wanted
    return PathIntegral(tuple(pieces), tuple(jumps), num_nodes, accurate)


def _worst(pieces: list[Piece], wanted: float) -> list[Piece]:
    """The fewest pieces without which the errors of the rest are half of what may be."""
    errors = np.array([piece.error for piece in pieces])
    if errors.sum() <= wanted:
        return []
    order = np.argsort(errors)
    kept = np.searchsorted(np.cumsum(errors[order]), wanted / 2, side="right")
    return [pieces[i] for i in order[kept:] if pieces[i].width > _NARROW]


def _cut(piece: Piece, jump: Jump | None) -> list[Float[np.ndarray, " nodes"]]:
    if jump is None:
        return list(halves(piece.tau))
    sides = ((piece.tau[0], jump.start), (jump.end, piece.tau[-1]))
    return [nodes_between(a, b) for a, b in sides if b > a]


def _evaluate(along: Along, grids: list, known: list[Piece], weight) -> tuple[list, int]:
    """Pieces on these grids; nodes of the `known` pieces are not asked for again."""
    found = {
        tau: (value, rate)
        for piece in known
        for tau, value, rate in zip(piece.tau, piece.value, piece.rate, strict=True)
    }
    new = sorted({tau for grid in grids for tau in grid} - set(found))
    values, rates = along(np.array(new))
    found |= {t: (v, r) for t, v, r in zip(new, values, rates, strict=True)}
    pieces = []
    for grid in grids:
        value, rate = (np.stack(x) for x in zip(*(found[t] for t in grid), strict=True))
        pieces.append(Piece(grid, value, rate, weight))
    return pieces, len(new)
