"""Emissions and their derivatives at points of token counts, many at a time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._attribution.per_iteration import EqualObserver
from carbjax._carbon.emissions import Emissions
from carbjax._errors import CarbjaxError
from carbjax._serving.continuous import RealTokens, StepCount
from carbjax._serving.observers import TotalsObserver

PRICED = ("prefill", "decode", "embodied", "energy_j")
"""Components that depend on the tokens: idle carbon is the machine's."""

IN_CARBON = np.array([1.0, 1.0, 1.0, 0.0])  # of the priced components

A_TOKEN_MORE = 1 + 1e-10
"""Times a count: the slope for a token more, where that for one less is another."""

_LANES = 32  # points a call, so that few sizes are compiled
_FEW_REQUESTS = 16  # forward mode is faster up to here, and quicker to compile
_SPARE = 1.25  # times the steps counted on the way
_LEAST_STEPS = 16

Tokens = Float[np.ndarray, "points 2 requests"]
"""Prompt and decode tokens of each request."""


class TokenRays:
    """Emissions above the machine's own as a function of everybody's token counts.

    All in the workload's order of requests, on the host, with the components `PRICED`.
    """

    def __init__(self, serving: RealTokens):
        self._serving = serving
        self._max_steps = _LEAST_STEPS

    def values(self, points: Tokens) -> Float[np.ndarray, "points priced"]:
        """Emissions at each point: one run each."""
        return self._run(self._widen(points))[0]

    def equal_parts(self, points: Tokens) -> Float[np.ndarray, "points priced requests"]:
        """Each iteration's emissions in equal parts for those who take part in it."""
        return self._run(self._widen(points))[1][..., : points.shape[-1]]

    def gradients(
        self, points: Tokens
    ) -> tuple[
        Float[np.ndarray, "points priced"],
        Float[np.ndarray, "points priced 2 requests"],
    ]:
        """Emissions and their derivatives by every token count.

        One forward pass for few requests, else a reverse pass a component. Raises
        `CarbjaxError` where they are not numbers.
        """
        wide = self._widen(points)
        if wide.shape[-1] <= _FEW_REQUESTS:
            values, rates = _in_lanes(lambda p: _forward(self._serving, p), wide)
        else:
            values, rates = self._reversed(wide)
        rates = rates[..., : points.shape[-1]]
        if not (np.isfinite(values).all() and np.isfinite(rates).all()):
            raise CarbjaxError(
                "emissions or their derivatives by token counts are not finite: is the "
                "cost model finite and differentiable for few tokens?"
            )
        return values, rates

    def _widen(self, points: Tokens) -> Tokens:
        """The points with requests that ask for nothing in the slots left."""
        extra = self._serving.num_slots - points.shape[-1]
        return np.pad(points, ((0, 0), (0, 0), (0, extra)))

    def _run(self, points: Tokens):
        values, parts, steps = _in_lanes(lambda p: _observe(self._serving, p), points)
        needed = int(_SPARE * steps.max()) + 1
        if needed > self._max_steps:
            self._max_steps = 1 << (needed - 1).bit_length()
        return values, parts

    def _reversed(self, points: Tokens):
        """By reverse mode, in at most as many steps as were counted so far, or more."""

        def reverse(p):
            return _reverse(self._serving, p, self._max_steps)

        values, rates = _in_lanes(reverse, points)
        if np.isnan(values).any():
            self._run(points)
            values, rates = _in_lanes(reverse, points)
        return values, rates


def _in_lanes(evaluate, points: Tokens) -> tuple[np.ndarray, ...]:
    """`evaluate` in calls of so many points; the last is filled up by repetition."""
    found = []
    for first in range(0, len(points), _LANES):
        chunk = points[first : first + _LANES]
        lanes = np.resize(np.arange(len(chunk)), _LANES)
        some = jax.device_get(evaluate(jnp.asarray(chunk[lanes], float)))
        found.append([x[: len(chunk)] for x in some])
    return tuple(np.concatenate(x) for x in zip(*found, strict=True))


@eqx.filter_jit
def _observe(serving: RealTokens, points: Float[Array, "points 2 requests"]):
    observers = (
        TotalsObserver(serving.footprint),
        EqualObserver(serving.footprint),
        StepCount(),
    )

    def one(tokens: Float[Array, "2 requests"]):
        totals, parts, steps = serving.observe(tokens[0], tokens[1], observers)
        return _priced(totals.totals.emissions), _priced(parts.slots), steps.totals

    return jax.vmap(one)(points)


@eqx.filter_jit
def _forward(serving: RealTokens, points: Float[Array, "points 2 requests"]):
    observers = (TotalsObserver(serving.footprint),)

    def emitted(tokens: Float[Array, "2 requests"]) -> Float[Array, " priced"]:
        (account,) = serving.observe(tokens[0], tokens[1], observers)
        return _priced(account.totals.emissions)

    def one(tokens: Float[Array, "2 requests"]):
        directions = jnp.eye(tokens.size).reshape(-1, *tokens.shape)

        def push(direction: Float[Array, "2 requests"]):
            return jax.jvp(emitted, (tokens,), (direction,))

        value, rates = jax.vmap(push, out_axes=(None, -1))(directions)
        return value, rates.reshape(-1, *tokens.shape)

    return jax.vmap(one)(points)


@eqx.filter_jit
def _reverse(
    serving: RealTokens, points: Float[Array, "points 2 requests"], max_steps: int
):
    observers = (TotalsObserver(serving.footprint),)

    def emitted(tokens: Float[Array, "2 requests"]) -> Float[Array, " priced"]:
        (account,) = serving.observe(tokens[0], tokens[1], observers, max_steps=max_steps)
        return _priced(account.totals.emissions)

    def one(tokens: Float[Array, "2 requests"]):
        value, pull = jax.vjp(emitted, tokens)
        (rates,) = jax.vmap(pull)(jnp.eye(len(value)))
        return value, rates

    return jax.vmap(one)(points)


def _priced(emissions: Emissions) -> Float[Array, "priced *requests"]:
    return jnp.stack([getattr(emissions, name) for name in PRICED])


def as_emissions(priced: Float[np.ndarray, "priced *batch"]) -> Emissions:
    """Emissions of the priced components, idle carbon 0."""
    parts = dict(zip(PRICED, priced, strict=True))
    return Emissions(idle=np.zeros_like(parts["prefill"]), **parts)
