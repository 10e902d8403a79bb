"""Integrals of a gradient along a path, whose exact increments are known as well.

The path is cut into pieces of five equidistant nodes. Each piece knows by how much the
function really grows over it, so it knows how much of that its gradient explains.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

NODES = 5
_FINE = np.array([1.0, 4.0, 2.0, 4.0, 1.0]) / 12  # Simpson's rule on both halves
_COARSE = np.array([1.0, 0.0, 4.0, 0.0, 1.0]) / 6  # on the whole piece


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of the path: nodes, the function there, and its growth by coordinate.

    `rate` is d/d tau of each component along the path, by coordinate, which sums to the
    whole; `weight` picks the components that errors are measured in.
    """

    tau: Float[np.ndarray, "nodes"]
    value: Float[np.ndarray, "nodes components"]
    rate: Float[np.ndarray, "nodes components coordinates"]
    weight: Float[np.ndarray, " components"]

    @property
    def width(self) -> float:
        return float(self.tau[-1] - self.tau[0])

    @property
    def integral(self) -> Float[np.ndarray, "components coordinates"]:
        """The rates' integral: what the piece adds to each coordinate's share."""
        return self.width * np.tensordot(_FINE, self.rate, 1)

    @property
    def unexplained(self) -> Float[np.ndarray, " components"]:
        """What the function grows by beyond the integral of its gradient."""
        return self.value[-1] - self.value[0] - self.integral.sum(axis=-1)

    @property
    def incomplete(self) -> float:
        """Size of `unexplained`, known exactly."""
        return float(abs(self.weight @ self.unexplained))

    @property
    def error(self) -> float:
        """Error of the shares: `incomplete`, or what another rule says if that is more.

        Shares can be wrong where their sum is right: at a tie who pays changes, and the
        sum hardly does.
        """
        coarse = self.width * np.tensordot(_COARSE, self.rate, 1)
        apart = float(np.abs(self.weight @ (self.integral - coarse)).sum())
        return max(self.incomplete, apart)

    @property
    def may_jump(self) -> bool:
        """Whether no gradient like those at the nodes can explain the growth."""
        slope = self.rate.sum(axis=-1) @ self.weight
        spread = float(slope.max() - slope.min()) + 0.1 * float(np.abs(slope).max())
        return self.incomplete > self.width * spread


def nodes_between(start: float, end: float) -> Float[np.ndarray, "nodes"]:
    return np.linspace(start, end, NODES)


def halves(tau: Float[np.ndarray, "nodes"]) -> Float[np.ndarray, "2 nodes"]:
    """Nodes of the two halves; those in odd places are new."""
    middle = (tau[:-1] + tau[1:]) / 2
    both = np.empty(2 * NODES - 1)
    both[::2], both[1::2] = tau, middle
    return np.stack([both[:NODES], both[NODES - 1 :]])
