"""Methods that divide the whole in proportion to something easily counted."""

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import register_method, require_run
from carbjax._games.base import AbstractGame
from carbjax._serving.serve import Timeline, serve
from carbjax._serving.system import System
from carbjax._workload import Workload


def in_proportion(
    method: str,
    weights: Float[np.ndarray, " players"],
    timeline: Timeline,
    flags: tuple[str, ...] = (),
) -> Attribution:
    """v(all) - v(none) divided in proportion to `weights`, every component alike."""
    nobody, whole = timeline.standing, timeline.emissions
    part = weights / weights.sum()
    shares = jax.tree.map(lambda x: float(x) * part, whole - nobody)
    return Attribution(method, shares, nobody, whole, flags=flags)


def token_based(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
    prefill_weight: float = 1.0,
    decode_weight: float = 1.0,
) -> Attribution:
    """Shares in proportion to `w1 p + w2 d`, prompt and answer tokens; by default p + d.

    Source: Li et al. (2025), section 4.2. Cost: O(R) after one run. Keeps efficiency,
    symmetry and null player, not linearity: served in two parts, the same requests owe
    something else.
    """
    workload, system = require_run("tokens", workload, system)
    weights = _token_weights(workload, prefill_weight, decode_weight)
    return in_proportion("tokens", weights, timeline or serve(workload, system))


def token_price_based(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Shares in proportion to p + 4 d: an answer token weighs as its price usually does.

    Source: price lists of model providers, where an answer token costs three to five
    times a prompt token. Cost: O(R) after one run. Keeps what `token_based` keeps.
    """
    workload, system = require_run("tokens_priced", workload, system)
    weights = _token_weights(workload, 1.0, 4.0)
    return in_proportion("tokens_priced", weights, timeline or serve(workload, system))


def time_based(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Shares in proportion to residence: seconds from first being scheduled to the end.

    `phi_i = (v(all) - v(none)) r_i / sum r`. Source: a common baseline, billing by the
    hour. Cost: O(R) after one run. Keeps efficiency and null player; not linearity, and
    of two equal requests one may be served faster.
    """
    workload, system = require_run("time", workload, system)
    timeline = timeline or serve(workload, system)
    return in_proportion("time", residence_s(workload, timeline), timeline)


def residence_s(workload: Workload, timeline: Timeline) -> Float[np.ndarray, " players"]:
    """Seconds that each player's requests were on the server, added up."""
    return np.bincount(
        workload.player, weights=timeline.residence_s, minlength=workload.num_players
    )


def _token_weights(
    workload: Workload, prefill_weight: float, decode_weight: float
) -> Float[np.ndarray, " players"]:
    weights = prefill_weight * workload.num_prefill_tokens
    weights = weights + decode_weight * workload.num_decode_tokens
    return np.bincount(workload.player, weights=weights, minlength=workload.num_players)


register_method(
    "tokens",
    token_based,
    needs_game=False,
    claims=("efficiency", "symmetry", "null_player"),
)
register_method(
    "tokens_priced",
    token_price_based,
    needs_game=False,
    claims=("efficiency", "symmetry", "null_player"),
)
register_method("time", time_based, needs_game=False, claims=("efficiency", "null_player"))
