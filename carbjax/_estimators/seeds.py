"""Keys of jax as seeds of numpy."""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray


def seed_of(key: PRNGKeyArray | None) -> list[int]:
    """What numpy's generators take; without a key always the same."""
    if key is None:
        return [0]
    typed = jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(key) if typed else key).ravel().tolist()
