"""Standard errors from few draws."""

import numpy as np
from jaxtyping import Float

# The mean variance over players counts as so many draws of each player's own.
_PRIOR_DRAWS = 3.0


def stderr_of_mean(
    draws: Float[np.ndarray, "draws players columns"],
) -> Float[np.ndarray, "players columns"]:
    """Standard error of the mean of independent draws, at least two.

    From two or three draws a player's variance can come out near 0 by chance, so it is
    drawn towards the players' mean variance.
    """
    own = draws.var(axis=0, ddof=1)
    return np.sqrt(steady_variance(own, len(draws) - 1) / len(draws))


def steady_variance(
    own: Float[np.ndarray, "players columns"], freedom: float
) -> Float[np.ndarray, "players columns"]:
    """Players' variances of so many degrees of freedom, drawn towards their mean."""
    common = own.mean(axis=0, keepdims=True)
    return (freedom * own + _PRIOR_DRAWS * common) / (freedom + _PRIOR_DRAWS)
