"""By how many percent a request's share changes when its own tokens change by one."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._attribution.aumann_shapley import Ray
from carbjax._attribution.equal_requests import mean_of_equals
from carbjax._attribution.per_iteration import EqualObserver, TokensObserver
from carbjax._attribution.streaming import StreamingObserver
from carbjax._attribution.token_rays import A_TOKEN_MORE, IN_CARBON
from carbjax._errors import InputError
from carbjax._serving.continuous import ContinuousServing, RealTokens
from carbjax._serving.observers import AbstractObserver
from carbjax._serving.serve import serve
from carbjax._serving.system import System
from carbjax._workload import Workload

_BY_ARCS = "aumann_shapley"
_ARC = 0.05
_ARC_ACCURACY = 2e-4
_ARC_NODES = 8192
_LANES = 16  # token counts a call, so that few sizes are compiled

_OBSERVERS: dict[str, Callable[[System], AbstractObserver]] = {
    "streaming": lambda s: StreamingObserver(s.cost, s.footprint, None),
    "iteration_equal": lambda s: EqualObserver(s.footprint),
    "iteration_tokens": lambda s: TokensObserver(s.footprint),
}


@dataclasses.dataclass(frozen=True)
class Elasticities:
    """`d log share / d log tokens` of each request's own tokens, `" requests"`.

    - `prefill_tokens`, `decode_tokens`: by prompt and by decode tokens; NaN where there
      are none.
    - `shares`: gCO2e in the continuous engine, of which they are.
    """

    method: str
    prefill_tokens: Float[np.ndarray, " requests"]
    decode_tokens: Float[np.ndarray, " requests"]
    shares: Float[np.ndarray, " requests"]


def elasticities(
    workload: Workload, system: System, *, method: str = "streaming"
) -> Elasticities:
    """Elasticities of a method's shares: by how many percent they grow with one percent.

    Each request is its own player; nothing of v(nobody) is spread. Below 1 in sum, a
    request twice as long pays less than twice.

    - "streaming", "iteration_equal", "iteration_tokens": derivatives through the method
      itself, one forward pass for each token count.
    - "aumann_shapley": arc elasticities, from 5% fewer to 5% more tokens, four integrals
      a request. Its shares are integrals of gradients that jump where somebody else is
      last, and where they jump moves with the tokens: derivatives of the integrand leave
      that out (docs/aumann_shapley.md).

    Raises `InputError` for another method, `WorkloadError` where all requests are null.
    """
    if method not in (*_OBSERVERS, _BY_ARCS):
        raise InputError(
            f"method {method!r} cannot be differentiated.",
            hint=f"Choose of {', '.join((*_OBSERVERS, _BY_ARCS))}.",
        )
    if workload.is_null.all():
        serve(workload, system)  # which says what is wrong
    some = ~workload.is_null
    requests = workload.select(some).by_request()
    if method == _BY_ARCS:
        shares, slopes = _arc_slopes(requests, system)
    else:
        serving = ContinuousServing(requests, system).requests
        shares, slopes = _own_slopes(serving, requests, _OBSERVERS[method](system))
    shares, slopes = (mean_of_equals(x, requests) for x in (shares, slopes))
    counts = np.stack([requests.num_prefill_tokens, requests.num_decode_tokens])
    found = np.full((3, workload.num_requests), np.nan)
    found[2] = 0.0
    found[:2, some] = np.where(counts > 0, slopes * counts / shares, np.nan)
    found[2, some] = shares
    return Elasticities(method, *found)


def _own_slopes(
    serving: RealTokens, workload: Workload, observer: AbstractObserver
) -> tuple[Float[np.ndarray, " requests"], Float[np.ndarray, "2 requests"]]:
    """Shares, and each one's derivatives by its own prompt and decode tokens."""
    size, slots = workload.num_requests, serving.num_slots
    counts = np.stack(
        [workload.num_prefill_tokens, A_TOKEN_MORE * workload.num_decode_tokens]
    )
    tokens = jnp.asarray(np.pad(counts, ((0, 0), (0, slots - size))), float)
    shares, slopes = np.zeros(size), np.zeros(2 * size)
    place = np.flatnonzero(np.tile(np.arange(slots) < size, 2))
    for first in range(0, 2 * size, _LANES):
        real = np.arange(first, min(first + _LANES, 2 * size))
        which = np.resize(place[real], _LANES)
        shares, rows = jax.device_get(_push(serving, tokens, jnp.asarray(which), observer))
        slopes[real] = rows[np.arange(len(real)), real % size]
    return np.asarray(shares)[:size], slopes.reshape(2, size)


def _arc_slopes(
    workload: Workload, system: System
) -> tuple[Float[np.ndarray, " requests"], Float[np.ndarray, "2 requests"]]:
    """As `_own_slopes`, from differences of the whole method."""
    ray = Ray(workload, system)
    whole = ray.tokens

    def shares(tokens: Float[np.ndarray, "2 requests"]) -> Float[np.ndarray, " requests"]:
        ray.tokens = tokens
        paid, _ = ray.paid_by_tokens(ray.integrate(_ARC_ACCURACY, _ARC_NODES))
        return IN_CARBON @ (paid.sum(axis=1) + ray.fixed())

    slopes = np.zeros_like(whole)
    for place in np.argwhere(whole > 0):
        change = np.zeros_like(whole)
        change[tuple(place)] = _ARC * whole[tuple(place)]
        grown = shares(whole + change) - shares(whole - change)
        slopes[tuple(place)] = grown[place[1]] / (2 * change[tuple(place)])
    return shares(whole), slopes


@eqx.filter_jit
def _push(
    serving: RealTokens,
    tokens: Float[Array, "2 requests"],
    which: Array,
    observer: AbstractObserver,
) -> tuple[Float[Array, " requests"], Float[Array, "lanes requests"]]:
    """Everybody's shares, and how they grow with each of some token counts."""

    def shares(counts: Float[Array, "2 requests"]) -> Float[Array, " requests"]:
        (account,) = serving.observe(counts[0], counts[1], (observer,))
        return account.slots.total

    def push(k: Array) -> tuple[Float[Array, " requests"], Float[Array, " requests"]]:
        one = jax.nn.one_hot(k, tokens.size, dtype=tokens.dtype).reshape(tokens.shape)
        return jax.jvp(shares, (tokens,), (one,))

    return jax.vmap(push, out_axes=(None, 0))(which)
