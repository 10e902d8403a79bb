"""Robust nonlinear least squares for a handful of parameters."""

import dataclasses as dc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._errors import ProfileError

_MOST_TRIALS = 30  # of a step, each damped more than the one before


class Solution(eqx.Module):
    """Fitted parameters, their covariance and the root mean square residual."""

    parameters: Float[np.ndarray, " parameters"]
    covariance: Float[np.ndarray, "parameters parameters"]
    rms: float


def least_squares(
    residual_fn: Callable[[Float[Array, " parameters"]], Float[Array, " rows"]],
    start: Float[np.ndarray, " parameters"],
    *,
    weights: Float[np.ndarray, " rows"] | None = None,
    huber: float = 0.1,
    prior_scale: float | Float[np.ndarray, " parameters"] = 3.0,
    max_iterations: int = 200,
    compiled: bool = True,
) -> Solution:
    """The parameters that minimise the weighted Huber loss of the residuals.

    Levenberg-Marquardt with weights recomputed at each iteration (residuals beyond
    `huber` count linearly). A Gaussian prior of width `prior_scale` (one, or one a
    parameter) around `start` keeps parameters that the data leave free from running
    away. Deterministic. A residual made of many different small pieces runs faster
    when not `compiled`.

    Raises `ProfileError` where it does not converge: no half-fitted answer comes back.
    """
    jit = jax.jit if compiled else lambda fn: fn
    start = np.asarray(start, dtype=np.float64)
    objective = _Objective(
        residual_fn=jit(residual_fn),
        weights=1.0 if weights is None else np.asarray(weights),
        huber=huber,
        start=start,
        prior=np.broadcast_to(1.0 / np.asarray(prior_scale) ** 2, start.shape),
    )
    jacobian_fn = jit(jax.jacfwd(residual_fn))
    point, damping = objective.at(start), 1e-3
    for _ in range(max_iterations):
        jacobian = np.asarray(jacobian_fn(jnp.asarray(point.parameters)), np.float64)
        weight = objective.weight(point)
        pull = objective.prior * (point.parameters - start)
        normal = jacobian.T @ (weight[:, None] * jacobian) + np.diag(objective.prior)
        gradient = jacobian.T @ (weight * point.residuals) + pull
        lower, damping = _lower(objective, point, normal, gradient, damping)
        if lower is None:
            return _solution(point, normal, weight)
        gain = point.loss - lower.loss
        point, damping = lower, max(damping / 5.0, 1e-9)
        if gain <= 1e-9 * point.loss:
            return _solution(point, normal, weight)
    raise ProfileError(
        f"the fit did not converge in {max_iterations} iterations.",
        hint="Give more rows, or rows that span more sizes.",
    )


class _Point(NamedTuple):
    parameters: np.ndarray
    residuals: np.ndarray
    loss: float


@dc.dataclass(frozen=True)
class _Objective:
    """The weighted Huber loss of the residuals, and the prior around `start`."""

    residual_fn: Callable
    weights: np.ndarray | float
    huber: float
    start: np.ndarray
    prior: np.ndarray  # 1 / width^2, of each parameter

    def at(self, parameters: np.ndarray) -> _Point:
        residuals = np.asarray(self.residual_fn(jnp.asarray(parameters)), np.float64)
        pull = 0.5 * np.sum(self.prior * (parameters - self.start) ** 2)
        loss = float(np.sum(self.weights * _huber(residuals, self.huber)) + pull)
        return _Point(parameters, residuals, loss)

    def weight(self, point: _Point) -> np.ndarray:
        """Of each row, in the quadratic that touches the loss at the point."""
        return self.weights * _huber_weight(point.residuals, self.huber)


def _lower(
    objective: _Objective, point: _Point, normal, gradient, damping: float
) -> tuple[_Point | None, float]:
    """A point that is no higher, None where no step is small enough; and the damping."""
    for _ in range(_MOST_TRIALS):
        scaled = normal + damping * np.diag(np.diag(normal))
        trial = objective.at(point.parameters - np.linalg.solve(scaled, gradient))
        if np.isfinite(trial.loss) and trial.loss <= point.loss:
            return trial, damping
        damping = min(damping * 4.0, 1e12)
    return None, damping


def _huber(residuals: np.ndarray, scale: float) -> np.ndarray:
    size = np.abs(residuals)
    return np.where(size < scale, 0.5 * size**2, scale * (size - 0.5 * scale))


def _huber_weight(residuals: np.ndarray, scale: float) -> np.ndarray:
    return scale / np.maximum(np.abs(residuals), scale)


def _solution(point: _Point, normal, weight) -> Solution:
    variance = float(np.sum(weight * point.residuals**2) / max(np.sum(weight), 1e-300))
    return Solution(
        parameters=point.parameters,
        covariance=variance * np.linalg.inv(normal),
        rms=float(np.sqrt(variance)),
    )
