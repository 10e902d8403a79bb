"""The values of many coalitions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._games.base import AbstractGame
from carbjax._games.lattice import AnyArray
from carbjax._games.padding import widen
from carbjax._progress import report
from carbjax._serving.buckets import power_of

_MOST_ENTRIES = 2**20  # coalitions times players that are evaluated at once
_FEWEST = 16  # coalitions of a chunk


def components_of(
    game: AbstractGame, coalitions: Bool[AnyArray, "coalitions players"]
) -> Emissions:
    """v by component of each coalition, `" coalitions"`, evaluated in chunks."""
    number, wide = len(coalitions), game.padded()
    most = max(1, _MOST_ENTRIES // wide.num_players)
    chunk = min(power_of(4, number, least=_FEWEST), most)
    rows = widen(np.asarray(coalitions), wide.num_players)
    parts = []
    for start in range(0, number, chunk):
        part = rows[start : start + chunk]
        # Filled up by repetition, so that few sizes are compiled.
        filled = np.resize(part, (chunk, wide.num_players))
        found = jax.device_get(_evaluate(wide, jnp.asarray(filled)))
        parts.append(jax.tree.map(lambda x, n=len(part): x[:n], found))
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
