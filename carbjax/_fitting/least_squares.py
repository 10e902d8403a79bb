"""Robust nonlinear least squares for a handful of parameters."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._errors import ProfileError


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
    rows_weight = 1.0 if weights is None else np.asarray(weights)
    jit = jax.jit if compiled else lambda fn: fn
    value_fn, jacobian_fn = jit(residual_fn), jit(jax.jacfwd(residual_fn))
    start = np.asarray(start, dtype=np.float64)
    parameters, damping = start, 1e-3
    residuals = np.asarray(value_fn(jnp.asarray(parameters)), dtype=np.float64)
    prior = np.broadcast_to(1.0 / np.asarray(prior_scale) ** 2, start.shape)

    def loss_of(residuals, parameters):
        pull = 0.5 * np.sum(prior * (parameters - start) ** 2)
        return float(np.sum(rows_weight * _huber(residuals, huber)) + pull)

    loss = loss_of(residuals, parameters)
    for _ in range(max_iterations):
        jacobian = np.asarray(jacobian_fn(jnp.asarray(parameters)), dtype=np.float64)
        weight = rows_weight * _huber_weight(residuals, huber)
        normal = jacobian.T @ (weight[:, None] * jacobian) + np.diag(prior)
        gradient = jacobian.T @ (weight * residuals) + prior * (parameters - start)
        for _ in range(30):
            scaled = normal + damping * np.diag(np.diag(normal))
            trial = parameters - np.linalg.solve(scaled, gradient)
            trial_residuals = np.asarray(value_fn(jnp.asarray(trial)), dtype=np.float64)
            trial_loss = loss_of(trial_residuals, trial)
            if np.isfinite(trial_loss) and trial_loss <= loss:
                break
            damping = min(damping * 4.0, 1e12)
        else:
            return _solution(parameters, normal, residuals, weight)
        gain = loss - trial_loss
        parameters, residuals, loss = trial, trial_residuals, trial_loss
        damping = max(damping / 5.0, 1e-9)
        if gain <= 1e-9 * loss:
            return _solution(parameters, normal, residuals, weight)
    raise ProfileError(
        f"the fit did not converge in {max_iterations} iterations.",
        hint="Give more rows, or rows that span more sizes.",
    )


def _huber(residuals: np.ndarray, scale: float) -> np.ndarray:
    size = np.abs(residuals)
    return np.where(size < scale, 0.5 * size**2, scale * (size - 0.5 * scale))


def _huber_weight(residuals: np.ndarray, scale: float) -> np.ndarray:
    return scale / np.maximum(np.abs(residuals), scale)


def _solution(parameters, normal, residuals, weight) -> Solution:
    variance = float(np.sum(weight * residuals**2) / max(np.sum(weight), 1e-300))
    return Solution(
        parameters=parameters,
        covariance=variance * np.linalg.inv(normal),
        rms=float(np.sqrt(variance)),
    )
