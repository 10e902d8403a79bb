"""Where emissions jump along a path, and which tokens move the place where they do.

Emissions jump where the schedule changes at once: with a little more to do, a batch ends
just after somebody arrives and not before. Smoothed over a neighbourhood, however small,
the jump is a steep slope across the surface where it happens, and the mean gradient there
is normal to that surface. So a token count's part of a jump is how much of its place
along the path it moves: `-d log tau / d log x_i`. The parts sum to 1.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from carbjax._attribution.path_pieces import Piece

_SECTIONS = 31
_BISECTIONS = 14
_WINDOW = 2.0  # parts of a jump that are looked for: -2 to 2
_PARTS_CLOSE = 0.02  # by how much the parts may miss 1


@dataclasses.dataclass(frozen=True)
class Jump:
    """Emissions before and after; the place is known to lie between `start` and `end`."""

    start: float
    end: float
    before: Float[np.ndarray, " components"]
    after: Float[np.ndarray, " components"]

    @property
    def tau(self) -> float:
        return (self.start + self.end) / 2

    @property
    def height(self) -> Float[np.ndarray, " components"]:
        return self.after - self.before


Values = Callable[[Float[np.ndarray, " nodes"]], Float[np.ndarray, "nodes components"]]
"""The function at places along the path."""

Moved = Callable[
    [Float[np.ndarray, " lanes"], Int[np.ndarray, " lanes"], float],
    Float[np.ndarray, "lanes components"],
]
"""The same, one coordinate of each larger by a relative amount."""


def find_jump(values: Values, piece: Piece, sharpness: float) -> Jump | None:
    """The largest jump in the piece, or None if its growth is steep but not sudden."""
    slopes, weight = piece.rate.sum(axis=-1) @ piece.weight, piece.weight
    start, end = piece.tau[0], piece.tau[-1]
    while True:
        tau = np.linspace(start, end, _SECTIONS + 1)
        value = values(tau)
        step = (end - start) / _SECTIONS
        expected = step * np.interp((tau[1:] + tau[:-1]) / 2, piece.tau, slopes)
        surprise = np.abs(np.diff(value @ weight) - expected)
        k = int(surprise.argmax())
        start, end = tau[k], tau[k + 1]
        if step <= sharpness:
            break
    if surprise[k] < piece.incomplete / _SECTIONS:
        return None
    return Jump(float(start), float(end), value[k], value[k + 1])


def jump_parts(
    moved: Moved,
    jump: Jump,
    weight: Float[np.ndarray, " components"],
    coordinates: Int[np.ndarray, " some"],
    shift: float,
) -> Float[np.ndarray, " some"] | None:
    """How much of the jump is due to each coordinate, or None where that cannot be told.

    The place of the jump is found again with each coordinate a relative `shift` larger.
    """
    level = weight @ (jump.before + jump.after) / 2
    rises = weight @ jump.height > 0

    def is_beyond(tau: Float[np.ndarray, " some"]) -> np.ndarray:
        return (moved(tau, coordinates, shift) @ weight > level) == rises

    low = np.full(len(coordinates), jump.tau * (1 - _WINDOW * shift))
    high = np.full(len(coordinates), jump.tau * (1 + _WINDOW * shift))
    if is_beyond(low).any() or not is_beyond(high).all():
        return None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        beyond = is_beyond(middle)
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    parts = -((low + high) / 2 / jump.tau - 1) / shift
    return parts if abs(parts.sum() - 1) < _PARTS_CLOSE else None
