"""The values of many coalitions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._progress import report

_MOST_ENTRIES = 2**20  # coalitions times players that are evaluated at once


def components_of(
    game: AbstractGame, coalitions: Bool[Array, "coalitions players"]
) -> Emissions:
    """v by component of each coalition, `" coalitions"`, evaluated in chunks."""
    number = len(coalitions)
    chunk = max(1, min(number, _MOST_ENTRIES // game.num_players))
    parts = []
    for start in range(0, number, chunk):
        part = coalitions[start : start + chunk]
        # The last chunk is filled up, so that one size is compiled.
        filled = jnp.pad(part, ((0, chunk - len(part)), (0, 0)))
        parts.append(jax.tree.map(lambda x, n=len(part): x[:n], _evaluate(game, filled)))
        report("coalitions", start + len(part), number)
    values = jax.tree.map(lambda *x: np.concatenate(x), *parts)
    require_finite(values)
    return values


def require_finite(emissions: Emissions) -> None:
    """Raises `InputError` where a value, or what was made of it, is not a number."""
    if not np.isfinite(np.asarray(emissions.total)).all():
        raise InputError(
            "the value of some coalition is not a finite number.",
            hint="Does the carbon intensity cover the hours after the run too? A smaller "
            "coalition can end later than everybody together.",
        )


@eqx.filter_jit
def _evaluate(
    game: AbstractGame, coalitions: Bool[Array, "coalitions players"]
) -> Emissions:
    return jax.vmap(game.components)(coalitions)
