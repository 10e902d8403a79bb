"""How well measurements pin the parameters of a fit down."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

_WIDEST = 3.0  # log sd of a parameter that the rows say nothing about


def log_deviations(
    latency_fn: Callable[[Mapping[str, ArrayLike]], Float[Array, " rows"]],
    parameters: Mapping[str, float],
    measured_s: Float[np.ndarray, " rows"],
    num_independent: int,
) -> dict[str, float]:
    """Standard deviations of the logarithms of positive parameters of a latency.

    Gauss-Newton: `s² (J' J / rows)^-1 / num_independent`, J the derivatives of the log
    latency and s the robust size of the log residuals. Neighbours on a grid share their
    error, so `num_independent` is the number of lines and sizes rather than of rows. A
    parameter that is 0 has none; one that the rows do not touch has 3.
    """
    names = [name for name, value in parameters.items() if value > 0]
    start = jnp.log(jnp.array([parameters[name] for name in names]))

    def log_latency(logs: Float[Array, " parameters"]) -> Float[Array, " rows"]:
        moved = dict(zip(names, jnp.exp(logs), strict=True))
        return jnp.log(latency_fn({**parameters, **moved}))

    residuals = np.asarray(log_latency(start)) - np.log(measured_s)
    jacobian = np.asarray(jax.jacfwd(log_latency)(start))
    spread = 1.4826 * float(np.median(np.abs(residuals)))  # sd of a normal distribution
    information = jacobian.T @ jacobian / len(measured_s)
    information *= num_independent / max(spread, 1e-6) ** 2
    covariance = np.linalg.inv(information + np.eye(len(names)) / _WIDEST**2)
    return dict(zip(names, np.sqrt(np.diag(covariance)).tolist(), strict=True))
