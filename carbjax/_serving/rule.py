"""Sums over the iterations of a step from three evaluations."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def discrete_gauss(
    num_iterations: Float[Array, ""],
) -> tuple[Float[Array, "3"], Float[Array, "3"]]:
    """Nodes j and weights w with `sum_q w_q f(j_q) = sum_{j=0}^{m-1} f(j)`.

    The Gauss rule of the discrete sum over m = `num_iterations`: exact for
    polynomials of degree five, and for any f when m is 1, 2 or 3. For real m it
    continues the sums of polynomials of degree three, so that it can be
    differentiated by m (docs/semantics.md).
    """
    m = num_iterations
    centre = (m - 1) / 2
    spread = jnp.sqrt(jnp.maximum((3 * m**2 - 7) / 20, 0.25))
    outer = m * (m**2 - 1) / (24 * spread**2)
    nodes = jnp.stack([centre - spread, centre, centre + spread])
    return nodes, jnp.stack([outer, m - 2 * outer, outer])


def quadratic(
    num_iterations: Float[Array, ""], values: Float[Array, "3"]
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Coefficients (a, b, e) of `a + b x + e x^2` through the values at the nodes.

    x is counted from the centre of the step, j = (m - 1) / 2.
    """
    spread = jnp.sqrt(jnp.maximum((3 * num_iterations**2 - 7) / 20, 0.25))
    low, middle, high = values[0], values[1], values[2]
    slope = (high - low) / (2 * spread)
    curvature = (high - 2 * middle + low) / (2 * spread**2)
    return middle, slope, curvature


def iterations_within(
    gap: Float[Array, ""], num_iterations: Float[Array, ""], values: Float[Array, "3"]
) -> Float[Array, ""]:
    """Real number of iterations x whose latencies, interpolated, add up to `gap`.

    `values` are the latencies at the nodes of a step of `num_iterations`. Newton's
    method on the sum of the interpolating quadratic, which is a cubic in x.
    """
    a, b, e = quadratic(num_iterations, values)
    centre = (num_iterations - 1) / 2

    def total_and_rate(x):
        shift = (x - 1) / 2 - centre
        spread_sq = (x**2 - 1) / 12
        total = x * (a + b * shift + e * (shift**2 + spread_sq))
        rate = a + b * (x - 0.5 - centre) + e * (x - 0.5 - centre) ** 2
        return total, rate

    x = jnp.clip(gap / a, 0, num_iterations)
    for _ in range(4):
        total, rate = total_and_rate(x)
        x = jnp.clip(x - (total - gap) / jnp.maximum(rate, 0.1 * a), 0, num_iterations)
    return x
