"""How many iterations of a batch fit before the next event."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from carbjax._serving.batch import Batch, measure
from carbjax._serving.rule import iterations_within
from carbjax._surrogate.cost import AbstractIterationCost

_LATENCY_DOUBT = 1e-3  # of one iteration: error of the interpolated last latency
_SNAP = 1e-9  # relative: a real-valued step this close to an event has reached it


def fit_whole(
    iterations: Float[Array, "*lanes"],
    latency: Float[Array, "3 *lanes"],
    duration: Float[Array, "*lanes"],
    arrival_gap: Float[Array, "*lanes"],
    change_gap: Float[Array, "*lanes"],
) -> tuple[Bool[Array, "*lanes"], Float[Array, "*lanes"]]:
    """Whether a run of whole iterations stops where it must, else a shorter length.

    The last iteration begins before the arrival; a run ends before the intensity
    changes, unless it is one iteration. In doubt the run is cut short, which is never
    wrong: the next step goes on from there.
    """
    last = latency[2]
    doubt = jnp.where(iterations > 3, _LATENCY_DOUBT * last, 0.0)
    begins_late = duration - last >= arrival_gap - doubt
    crosses = duration > change_gap
    fits = (iterations <= 1) | ~(begins_late | crosses)
    until_arrival = jnp.ceil(iterations_within(arrival_gap, iterations, latency))
    until_change = jnp.floor(iterations_within(change_gap, iterations, latency))
    shorter = jnp.minimum(jnp.minimum(until_arrival, until_change), iterations - 1)
    return fits, jnp.maximum(shorter, 1.0)


def fit_real(
    iterations: Float[Array, "*lanes"],
    gap: Float[Array, "*lanes"],
    batch: Batch,
    cost: AbstractIterationCost,
) -> tuple[Float[Array, "*lanes"], Bool[Array, "*lanes"], Float[Array, "*lanes"]]:
    """Real iterations of a run that may end at an event, and as `fit_whole`.

    Newton's method across proposals finds how many iterations fit. A run that reaches
    the event gets the derivative of the implicit function: how many fit depends on
    their latency.
    """

    def duration(m):
        measured = measure(m, batch, cost)
        return jnp.sum(measured.weights * measured.latency, axis=0), measured.latency

    fixed = jax.lax.stop_gradient(iterations)
    (value, latency), (rate, _) = jax.jvp(duration, (fixed,), (jnp.ones_like(fixed),))
    ahead = jnp.isfinite(gap)
    gap = jnp.where(ahead, gap, 0.0)
    reached = batch.is_run & ahead & (jnp.abs(value - gap) <= _SNAP * (gap + rate))
    missing = jnp.where(reached, gap - value, 0.0)
    at_event = fixed + missing / jax.lax.stop_gradient(rate)
    shorter = jax.lax.stop_gradient(iterations_within(gap, fixed, latency))
    return (
        jnp.where(reached, at_event, iterations),
        reached | ~ahead | (value <= gap),
        shorter,
    )
