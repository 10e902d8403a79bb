"""Backends side by side, a lane each: served and charged a slice of their traces at a time.

A block is a few steps of the engine in every lane, followed by what can be done for many
steps at once: prices, shares, and who leaves and who comes. Lanes advance in lockstep.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from carbjax._attribution.prices import Prices
from carbjax._carbon.footprint import Rates
from carbjax._carbon.intensity import RelativeIntensity
from carbjax._fleet.seats import (
    Finished,
    Seats,
    Source,
    Spent,
    has_finished,
    no_finished,
    reseat,
)
from carbjax._fleet.step_prices import Pricing
from carbjax._serving.engine import Progress, Server, Step, advance, has_work, waiting
from carbjax._units import JOULES_PER_KWH

_STEPS_A_BLOCK = 16


class Totals(eqx.Module):
    """Sums over a lane's iterations, gathered apart from what requests are charged."""

    electricity_j: Float[Array, "*lanes"]  # at the site, above the idle machine's
    operational_g: Float[Array, "*lanes"]
    embodied_g: Float[Array, "*lanes"]
    gpu_energy_j: Float[Array, "*lanes"]
    busy_s: Float[Array, "*lanes"]
    num_iterations: Float[Array, "*lanes"]
    num_steps: Int[Array, "*lanes"]
    market_g: Float[Array, "*lanes"] | None  # see `Spent`


def no_totals(num_lanes: int, with_market: bool) -> Totals:
    zero, none = jnp.zeros(num_lanes), jnp.zeros(num_lanes, int)
    market = zero if with_market else None
    return Totals(zero, zero, zero, zero, zero, zero, none, market)


class Slice(eqx.Module):
    """Lanes part way through a slice; every array has a leading axis of lanes."""

    place: Int[Array, " lanes"]  # rows of the source that have been seated
    seats: Seats
    finished: Finished
    totals: Totals


@eqx.filter_jit
def run_slice(
    sources: Source,
    seats: Seats,
    totals: Totals,
    server: Server,
    pricing: Pricing,
    market: RelativeIntensity | None,
) -> Slice:
    """The lanes when none can go on: each has served all it has, or waits for more rows.

    `totals` are those so far, to which the slice's are added. `market` is a second series
    of intensity; all its changes must be changes of the server's too.
    """
    num_lanes, num_rows, _ = sources.rows.shape
    most = num_rows + seats.row.shape[1]
    finished = jax.vmap(lambda spent: no_finished(most, spent))(seats.spent)
    state = Slice(jnp.zeros(num_lanes, int), seats, finished, totals)
    state = _reseat(sources, state)

    def goes_on(state: Slice) -> Bool[Array, ""]:
        return jnp.any(_can_go_on(state.seats))

    def block(state: Slice) -> Slice:
        served = _serve_block(sources, state, server, pricing, market)
        return _reseat(sources, served)

    return jax.lax.while_loop(goes_on, block, state)


def _can_go_on(seats: Seats) -> Bool[Array, " lanes"]:
    def of_lane(seats: Seats) -> Bool[Array, ""]:
        to_serve = has_work(seats.queue, seats.progress) & ~seats.starved
        return to_serve | jnp.any(has_finished(seats))

    return jax.vmap(of_lane)(seats)


def _reseat(sources: Source, state: Slice) -> Slice:
    found = jax.vmap(reseat)(sources, state.place, state.seats, state.finished)
    return Slice(*found, state.totals)


def _serve_block(
    sources: Source,
    state: Slice,
    server: Server,
    pricing: Pricing,
    market: RelativeIntensity | None,
) -> Slice:
    more = sources.goes_on | (state.place < sources.num_rows)
    queue = state.seats.queue

    def step(carry: tuple[Progress, Array], _):
        progress, _ = carry
        progress, starved, taken = jax.vmap(lambda q, p, m: _advance(q, p, m, server))(
            queue, progress, more
        )
        return (progress, starved), taken

    start = state.seats.progress, state.seats.starved
    (progress, starved), steps = jax.lax.scan(step, start, length=_STEPS_A_BLOCK)
    steps = eqx.tree_at(lambda s: s.intensity, steps, _if_any(steps, steps.intensity))
    prices = pricing.of(steps)
    bought = None if market is None else _mean_of(market, steps)
    spent = _charge(state.seats.spent, steps, prices, pricing.rates, bought)
    seats = Seats(queue, state.seats.row, progress, spent, starved)
    totals = _add_up(state.totals, steps, pricing.rates, bought)
    return Slice(state.place, seats, state.finished, totals)


def _advance(
    queue, progress: Progress, more: Bool[Array, ""], server: Server
) -> tuple[Progress, Bool[Array, ""], Step]:
    """A step, taken back if it would hang on a request that has no seat yet.

    Admission is first come, first served: as long as a request with a seat still waits
    after the step, those behind it cannot matter.
    """
    after, step = advance(queue, progress, server)
    starved = more & ~jnp.any(waiting(queue, after))
    after = jax.tree.map(lambda new, old: jnp.where(starved, old, new), after, progress)
    return after, starved, _unless(starved, step)


def _unless(taken_back: Bool[Array, ""], step: Step) -> Step:
    """The step, or one in which nothing happened."""
    kept = ~taken_back
    return eqx.tree_at(
        lambda s: (s.batch, s.measured.weights, s.num_iterations, s.finished),
        step,
        (
            step.batch.restrict(jnp.broadcast_to(kept, step.finished.shape)),
            jnp.where(kept, step.measured.weights, 0.0),
            jnp.where(kept, step.num_iterations, 0.0),
            step.finished & kept,
        ),
    )


def _mean_of(series: RelativeIntensity, steps: Step) -> Float[Array, "steps lanes"]:
    """The series' mean over each step that happened."""
    return _if_any(steps, series.mean(steps.start, steps.end))


def _if_any(steps: Step, intensity: Array) -> Array:
    """The intensity, 0 where nothing happened: the series may end before such a step."""
    return jnp.where(steps.num_iterations > 0, intensity, 0.0)


def _charge(
    spent: Spent,
    steps: Step,
    prices: tuple[Prices, ...],
    rates: Rates,
    bought: Float[Array, "steps lanes"] | None,
) -> Spent:
    """What was spent before, and each step's shares; `steps` has axes steps, lanes.

    `bought` is the second intensity in each step, if asked for.
    """
    batch = steps.batch
    prefill, decode = _shares(prices[0], steps)
    grams = (steps.intensity / JOULES_PER_KWH)[..., None]
    embodied = spent.embodied_g
    if len(prices) > 1:
        seconds = sum(jnp.sum(part, axis=0) for part in _shares(prices[1], steps))
        embodied = embodied + rates.embodied * seconds
    market = spent.market_g
    if market is not None and bought is not None:
        grams_bought = (bought / JOULES_PER_KWH)[..., None]
        market = market + jnp.sum((prefill + decode) * grams_bought, axis=0)
    begins = batch.prefilling & (batch.cached == 0)
    return Spent(
        prefill_j=spent.prefill_j + jnp.sum(prefill, axis=0),
        decode_j=spent.decode_j + jnp.sum(decode, axis=0),
        prefill_g=spent.prefill_g + jnp.sum(prefill * grams, axis=0),
        decode_g=spent.decode_g + jnp.sum(decode * grams, axis=0),
        embodied_g=embodied,
        start_s=_first(spent.start_s, begins, steps.start),
        first_token_s=_first(spent.first_token_s, batch.ends_prompt, steps.end),
        finish_s=_first(spent.finish_s, steps.finished, steps.end),
        market_g=market,
    )


def _shares(prices: Prices, steps: Step) -> tuple[Array, Array]:
    """What a prompt's chunk and what a decode pays in each step: `streaming.step_shares`
    by phase."""
    batch, of, weights = steps.batch, prices.features, steps.measured.weights

    def total(price: Array) -> Array:
        return jnp.sum(weights * price, axis=-1)[..., None]

    present = jnp.sum(
        batch.prefilling | batch.decoding, axis=-1, keepdims=True, dtype=weights.dtype
    )
    fixed = total(prices.fixed) / jnp.maximum(present, 1)
    one = total(of.num_tokens + of.num_sequences + of.decode_tokens)
    one = one + total(steps.measured.nodes * of.decode_kv) + fixed
    decode = one + total(of.decode_kv) * batch.context
    chunk, cached = batch.chunk, batch.cached
    pairs = chunk * (cached + (chunk + 1) / 2)
    prefill = fixed + total(of.num_tokens) * chunk + total(of.prefill_pairs) * pairs
    prefill = prefill + total(of.prefill_kv) * (cached + chunk)
    prefill = prefill + jnp.where(batch.ends_prompt, total(of.num_sequences), 0.0)
    return (
        jnp.where(batch.prefilling, prefill, 0.0),
        jnp.where(batch.decoding, decode, 0.0),
    )


def _first(known: Array, who: Bool[Array, "steps lanes seats"], when: Array) -> Array:
    """The time of the first step in which it happened, unless it had happened before."""
    times = jnp.min(jnp.where(who, when[..., None], jnp.inf), axis=0)
    return jnp.where(jnp.isnan(known) & jnp.isfinite(times), times, known)


def _add_up(
    totals: Totals,
    steps: Step,
    rates: Rates,
    bought: Float[Array, "steps lanes"] | None,
) -> Totals:
    measured = steps.measured

    def total(values: Array) -> Array:
        return jnp.sum(measured.weights * values, axis=-1)

    electricity = total(rates.electricity(measured.latency, measured.energy))
    busy = total(measured.latency)
    added = Totals(
        electricity_j=electricity,
        operational_g=electricity * steps.intensity / JOULES_PER_KWH,
        embodied_g=rates.embodied * busy,
        gpu_energy_j=total(measured.energy),
        busy_s=busy,
        num_iterations=steps.num_iterations,
        num_steps=(steps.num_iterations > 0).astype(totals.num_steps.dtype),
        market_g=None if bought is None else electricity * bought / JOULES_PER_KWH,
    )
    return jax.tree.map(lambda old, new: old + jnp.sum(new, axis=0), totals, added)
