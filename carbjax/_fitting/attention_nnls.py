"""Robust non-negative least squares of relative errors."""

import dataclasses as dc

import numpy as np
from jaxtyping import Float

from carbjax._errors import ProfileError

_HUBER = 0.1
_ROUNDS = 5
_RIDGE = 1e-8


@dc.dataclass(frozen=True)
class NonNegative:
    """Coefficients, the covariance of the positive ones and the rms relative residual."""

    coefficients: Float[np.ndarray, " columns"]
    covariance: Float[np.ndarray, "columns columns"]
    rms: float


def relative_fit(
    design: Float[np.ndarray, "rows columns"],
    latency: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"],
    ties: Float[np.ndarray, "columns columns"] | float = 0.0,
) -> NonNegative:
    """Non-negative coefficients that minimise the Huber loss of log errors.

    Iteratively reweighted; within a round the residual is `prediction / latency - 1`.
    `ties` is the matrix of a quadratic penalty on the coefficients.
    """
    used = weights > 0
    ratio, weights = design[used] / latency[used, None], weights[used]
    trust = weights
    for _ in range(_ROUNDS):
        gram = ratio.T @ (trust[:, None] * ratio) + ties
        pull = ratio.T @ trust
        found = nonnegative(gram, pull)
        fitted = ratio @ found
        off = np.abs(np.log(np.maximum(fitted, 1e-6)))
        # relative residuals of short predictions understate the log error
        trust = weights * _HUBER / np.maximum(off, _HUBER) / np.maximum(fitted, 0.3)
    rms = float(np.sqrt(np.average((fitted - 1) ** 2, weights=trust)))
    positive = np.flatnonzero(found)
    covariance = np.zeros((len(found), len(found)))
    inner = gram[np.ix_(positive, positive)]
    spread = np.sqrt(np.diag(inner))
    correlation = inner / np.outer(spread, spread) + _RIDGE * np.eye(len(positive))
    block = rms**2 * np.linalg.inv(correlation) / np.outer(spread, spread)
    covariance[np.ix_(positive, positive)] = block
    return NonNegative(found, covariance, rms)


def nonnegative(
    gram: Float[np.ndarray, "columns columns"], pull: Float[np.ndarray, " columns"]
) -> Float[np.ndarray, " columns"]:
    """`argmin x'Gx / 2 - h'x` over x >= 0, after Lawson and Hanson.

    A ridge of 1e-8 of each column's own curvature breaks ties between equal columns.
    """
    scale = 1 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
    gram = gram * np.outer(scale, scale) + _RIDGE * np.eye(len(pull))
    pull = pull * scale
    x, free = np.zeros(len(pull)), np.zeros(len(pull), dtype=bool)
    refused = np.zeros(len(pull), dtype=bool)  # entered, and left at once
    for _ in range(3 * len(pull)):
        gain = np.where(free | refused, -np.inf, pull - gram @ x)
        best = int(np.argmax(gain))
        if gain[best] <= 1e-9 * np.max(np.abs(pull)):
            return x * scale
        free[best] = True
        x = _retreat(gram, pull, x, free)
        refused = np.where(free[best], False, refused)
        refused[best] = not free[best]
    raise ProfileError(
        "the fit of attention did not converge.", hint="Look for wild latencies."
    )


def _retreat(gram, pull, x, free):
    """The optimum over the free columns; those that would turn negative are fixed at 0."""
    while free.any():
        at = np.flatnonzero(free)
        trial = np.zeros(len(x))
        trial[at] = np.linalg.solve(gram[np.ix_(at, at)], pull[at])
        falling = free & (trial <= 0)
        if not falling.any():
            return trial
        share = np.min(x[falling] / np.maximum(x[falling] - trial[falling], 1e-300))
        x = x + share * (trial - x)
        x[falling & (x < 1e-14)] = 0.0
        free &= x > 0
    return np.zeros(len(x))
