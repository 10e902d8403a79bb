"""Laws of the smooth stand-ins for max and min."""

import jax
import jax.numpy as jnp
import numpy as np

from carbjax._surrogate.smooth import smooth_max, smooth_min

POSITIVE = jnp.asarray(np.geomspace(1e-9, 1e3, 50))


def test_smooth_extremes_bound_the_sharp_ones():
    a, b = POSITIVE, POSITIVE[::-1]
    assert jnp.all(smooth_max(a, b) >= jnp.maximum(a, b))
    assert jnp.all(smooth_max(a, b) <= jnp.sqrt(2.0) * jnp.maximum(a, b) * (1 + 1e-12))
    assert jnp.all(smooth_min(a, b) <= jnp.minimum(a, b))
    assert jnp.all(smooth_min(a, b) >= 2 ** (-1 / 16) * jnp.minimum(a, b) * (1 - 1e-12))


def test_smooth_max_has_a_gradient_at_zero():
    slopes = jax.grad(smooth_max, argnums=(0, 1))(jnp.asarray(0.0), jnp.asarray(0.0))
    assert slopes == (0.0, 0.0)
