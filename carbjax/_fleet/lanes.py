"""Backends side by side, a lane each: served and charged a slice of their traces at a time.

A block is a few steps of the engine in every lane, followed by what can be done for many
steps at once: prices, shares, and who leaves and who comes. Lanes advance in lockstep.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

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
from carbjax._fleet.step_prices import Pricing, StepPrices
from carbjax._serving.batch import Batch
from carbjax._serving.engine import Progress, Proposal, Server, Step, has_work, propose
from carbjax._serving.queue import Queue
from carbjax._units import JOULES_PER_KWH

_STEPS_A_BLOCK = 16


class Totals(eqx.Module):
    """Sums over a lane's iterations in a slice, apart from what requests are charged."""

    electricity_j: Float[Array, " lanes"]  # at the site, above the idle machine's
    operational_g: Float[Array, " lanes"]
    embodied_g: Float[Array, " lanes"]
    gpu_energy_j: Float[Array, " lanes"]
    busy_s: Float[Array, " lanes"]
    num_iterations: Float[Array, " lanes"]
    num_steps: Int[Array, " lanes"]
    market_g: Float[Array, " lanes"] | None  # see `Spent`


class Slice(eqx.Module):
    """Lanes part way through a slice."""

    place: Int[Array, " lanes"]  # rows of the source that have been seated
    seats: Seats
    finished: Finished
    totals: Totals


@eqx.filter_jit
def run_slice(
    sources: Source,
    seats: Seats,
    server: Server,
    pricing: Pricing,
    market: RelativeIntensity | None,
) -> Slice:
    """The lanes when none can go on: each has served all it has, or waits for more rows.

    `market` is a second series of intensity; all its changes must be changes of the
    server's too.
    """
    num_lanes, num_rows, _ = sources.rows.shape
    finished = no_finished(num_rows + len(seats.row), seats.spent)
    totals = _no_totals(num_lanes, with_market=market is not None)
    state = Slice(jnp.zeros(num_lanes, int), seats, finished, totals)

    def goes_on(state: Slice) -> Bool[Array, ""]:
        return jnp.any(_can_go_on(state.seats))

    def block(state: Slice) -> Slice:
        served = _serve_block(sources, state, server, pricing, market)
        return _reseat(sources, served)

    with jax.numpy_rank_promotion("allow"):  # numbers of a lane meet those of its seats
        return jax.lax.while_loop(goes_on, block, _reseat(sources, state))


def _no_totals(num_lanes: int, *, with_market: bool) -> Totals:
    zero, none = jnp.zeros(num_lanes), jnp.zeros(num_lanes, int)
    market = zero if with_market else None
    return Totals(zero, zero, zero, zero, zero, zero, none, market)


def _can_go_on(seats: Seats) -> Bool[Array, " lanes"]:
    to_serve = has_work(seats.queue, seats.progress) & ~seats.starved
    return to_serve | jnp.any(has_finished(seats), axis=0)


def _reseat(sources: Source, state: Slice) -> Slice:
    found = reseat(sources, state.place, state.seats, state.finished)
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
        progress, starved, taken = _advance(queue, progress, more, server)
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
    queue: Queue, progress: Progress, more: Bool[Array, " lanes"], server: Server
) -> tuple[Progress, Bool[Array, " lanes"], Step]:
    """A step, not taken where it would hang on a request that has no seat yet.

    Admission is first come, first served: as long as a request with a seat still waits
    after the step, those behind it cannot matter.
    """
    proposal = propose(queue, progress, server)
    admitted = jnp.where(
        proposal.accepted, proposal.after.num_admitted, progress.num_admitted
    )
    waits = jnp.any(queue.present & (queue.order_count > admitted), axis=0)
    starved = more & ~waits
    proposal = eqx.tree_at(
        lambda p: (p.accepted, p.stay.longest),
        proposal,
        (
            proposal.accepted & ~starved,
            jnp.where(starved, progress.longest, proposal.stay.longest),
        ),
    )
    # A branch of its own, or XLA would ask again in each seat what holds for its lane.
    some = jnp.any(proposal.accepted)
    progress, step = jax.lax.cond(some, Proposal.settle, _nothing, proposal)
    return progress, starved, step


def _nothing(proposal: Proposal) -> tuple[Progress, Step]:
    """As `settle` where no lane accepts."""
    step = jax.tree.map(jnp.zeros_like, proposal.step)
    return proposal.stay, step


def _mean_of(series: RelativeIntensity, steps: Step) -> Float[Array, "steps lanes"]:
    """The series' mean over each step that happened."""
    return _if_any(steps, series.mean(steps.start, steps.end))


def _if_any(steps: Step, intensity: Array) -> Array:
    """The intensity, 0 where nothing happened: the series may end before such a step."""
    return jnp.where(steps.num_iterations > 0, intensity, 0.0)


def _charge(
    spent: Spent,
    steps: Step,
    prices: tuple[StepPrices, ...],
    rates: Rates,
    bought: Float[Array, "steps lanes"] | None,
) -> Spent:
    """What was spent before, and each step's shares.

    `bought` is the second intensity in each step, if asked for.
    """

    def charge(spent: Spent, of_step) -> tuple[Spent, None]:
        step, prices, bought = of_step
        return _charge_step(spent, step, prices, bought, rates), None

    return jax.lax.scan(charge, spent, (steps, prices, bought))[0]


def _charge_step(
    spent: Spent,
    step: Step,
    prices: tuple[StepPrices, ...],
    bought: Float[Array, " lanes"] | None,
    rates: Rates,
) -> Spent:
    batch = step.batch
    prefill, decode = _shares(prices[0], batch)
    grams = step.intensity / JOULES_PER_KWH
    embodied, market = spent.embodied_g, spent.market_g
    if len(prices) > 1:
        embodied = embodied + rates.embodied * sum(_shares(prices[1], batch))
    if market is not None and bought is not None:
        market = market + (prefill + decode) * (bought / JOULES_PER_KWH)
    begins = batch.prefilling & (batch.cached == 0)
    return Spent(
        prefill_j=spent.prefill_j + prefill,
        decode_j=spent.decode_j + decode,
        prefill_g=spent.prefill_g + prefill * grams,
        decode_g=spent.decode_g + decode * grams,
        embodied_g=embodied,
        start_s=_first(spent.start_s, begins, step.start),
        first_token_s=_first(spent.first_token_s, batch.ends_prompt, step.end),
        finish_s=_first(spent.finish_s, step.finished, step.end),
        market_g=market,
    )


def _shares(prices: StepPrices, batch: Batch) -> tuple[Array, Array]:
    """What a prompt's chunk and what a decode pays: `streaming.step_shares` by phase."""
    present = jnp.sum(batch.prefilling | batch.decoding, axis=0, dtype=prices.fixed.dtype)
    fixed = prices.fixed / jnp.maximum(present, 1)
    decode = fixed + prices.decode + prices.decode_kv * batch.context
    chunk, cached = batch.chunk, batch.cached
    pairs = chunk * (cached + (chunk + 1) / 2)
    prefill = fixed + prices.token * chunk + prices.pair * pairs
    prefill = prefill + prices.prefill_kv * (cached + chunk)
    prefill = prefill + jnp.where(batch.ends_prompt, prices.sequence, 0.0)
    return (
        jnp.where(batch.prefilling, prefill, 0.0),
        jnp.where(batch.decoding, decode, 0.0),
    )


def _first(known: Array, who: Bool[Array, "seats lanes"], when: Array) -> Array:
    """The time of the step in which it happened, unless it had happened before."""
    return jnp.where(jnp.isnan(known) & who, when, known)


def _add_up(
    totals: Totals,
    steps: Step,
    rates: Rates,
    bought: Float[Array, "steps lanes"] | None,
) -> Totals:
    measured = steps.measured

    def total(values: Array) -> Array:
        return jnp.sum(measured.weights * values, axis=1)

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
