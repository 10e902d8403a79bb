"""An attribution shows its grams, not the arrays that it is made of."""

import jax.numpy as jnp
import numpy as np

from carbjax import Attribution
from carbjax._carbon.emissions import Emissions


def _attribution(num_players):
    share, none = jnp.ones(num_players), jnp.zeros(num_players)
    shares = Emissions(share, 2 * share, none, none, share)
    left = Emissions(*(jnp.asarray(x) for x in (0.0, 0.0, 5.0, 0.0, 1.0)))
    whole = Emissions(*(jnp.asarray(np.sum(x)) for x in (share, 2 * share, 5.0, 0.0, 9.0)))
    return Attribution("mine", shares, left, whole, flags=("as a test",))


def test_it_says_method_grams_and_flags():
    shown = repr(_attribution(2))
    assert all(word in shown for word in ("mine", "11 gCO2e", "[3. 3.]", "as a test"))
    assert "unattributed=5" in shown


def test_many_players_stay_a_line_or_two():
    assert len(repr(_attribution(10_000))) < 200
