"""Shares by demand: a reserved token costs more while the server is fuller."""

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import register_method, require_run
from carbjax._attribution.proportional import in_proportion
from carbjax._games.base import AbstractGame
from carbjax._serving.serve import Timeline, serve
from carbjax._serving.system import System
from carbjax._workload import Workload


def demand(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
) -> Attribution:
    """Temporal Shapley: shares by what a player reserved, at the price of that time.

    Demand D(t) is the tokens of KV cache reserved, r_i = p + d from a request's first
    iteration to its last. Periods of time play for the peak demand; their Shapley values
    are the prices c(t) of a token-second (`peak_prices`), and a player pays in
    proportion to the integral of `c(t) r_i(t)`.

    Source: Fair-CO2 (Han et al. 2025). Theirs divides the time in equal periods, level
    by level; this is the limit of ever shorter ones on one level. Theirs prices what
    peaks make necessary, embodied carbon and static energy; here all of
    v(all) - v(none) is divided so. The price knows nothing of the carbon intensity.
    Cost: O(R log R) after one run. Keeps efficiency and null player; not linearity, and
    equal requests pay the same only if they are served at the same time. A peak costs as
    much however short it is.
    """
    workload, system = require_run("demand", workload, system)
    timeline = timeline or serve(workload, system)
    paid = _reservation_cost(workload, timeline)
    weights = np.bincount(workload.player, paid, workload.num_players)
    return in_proportion("demand", weights, timeline)


def peak_prices(
    demand: Float[np.ndarray, " intervals"], duration_s: Float[np.ndarray, " intervals"]
) -> Float[np.ndarray, " intervals"]:
    """Price of a unit of demand for a second in each interval, up to a factor.

    `c(t) = int_0^D(t) dy / mu(D >= y)`: each unit of capacity is paid for by all the
    time mu, in seconds, in which demand reached it. For intervals of one length that is
    the Shapley value of v(T) = max of D over T (Littlechild and Owen 1973), divided by
    the length; and to cut an interval in two changes no price. Durations are above 0.
    """
    order = np.argsort(demand, kind="stable")
    seconds_at_least = np.cumsum(duration_s[order][::-1])[::-1]
    prices = np.empty(len(demand))
    prices[order] = np.cumsum(np.diff(demand[order], prepend=0.0) / seconds_at_least)
    return prices


def _reservation_cost(
    workload: Workload, timeline: Timeline
) -> Float[np.ndarray, " requests"]:
    """Each request's reserved tokens times the prices of its seconds; 0 for null ones."""
    served = ~workload.is_null
    reserved = workload.num_prefill_tokens + workload.num_decode_tokens
    reserved = reserved[served].astype(float)
    start, finish = timeline.scheduled_s[served], timeline.finish_s[served]
    edges, place = np.unique(np.concatenate([start, finish]), return_inverse=True)
    changes = np.bincount(place, np.concatenate([reserved, -reserved]))
    duration_s = np.diff(edges)
    prices = peak_prices(np.cumsum(changes)[:-1], duration_s)
    until = np.concatenate([[0.0], np.cumsum(prices * duration_s)])
    first, last = np.split(place, 2)
    cost = np.zeros(workload.num_requests)
    cost[served] = reserved * (until[last] - until[first])
    return cost


register_method("demand", demand, needs_game=False, claims=("efficiency", "null_player"))
