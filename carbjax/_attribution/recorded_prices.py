"""Prices of recorded iterations: modelled by token, scaled to what was measured."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carbjax._attribution.prices import Prices, Weigh, average_prices
from carbjax._attribution.recorded_features import FEATURES, Iterations
from carbjax._attribution.recorded_schedule import RecordedSchedule
from carbjax._carbon.footprint import Rates
from carbjax._progress import report
from carbjax._serving.system import System
from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.features import BatchFeatures

_CHUNK = 2**12  # iterations priced at once


class Priced(NamedTuple):
    """Of each iteration, a leading axis `" iterations"`."""

    latency: Array  # s, modelled
    energy: Array  # J of the GPUs, modelled
    electricity: Array  # J at the site: of all, of the chunks alone, of the decodes alone
    prices: Prices  # J at the site
    seconds: Prices | None  # s of wall time, where an iteration's time is paid for


class _Carbon(eqx.Module):
    """How latency and energy make electricity at the site."""

    rates: Rates
    waiting_power: Float[Array, ""]  # W, all GPUs
    prices_time: bool = eqx.field(static=True)


def price_iterations(schedule: RecordedSchedule, system: System) -> Priced:
    """Prices of all iterations, in chunks. On the host.

    Latency is scaled to the wall time. Energy is scaled to what was measured; where it
    was not, time beyond the modelled latency draws the power of a GPU between kernels.
    """
    carbon = _Carbon(
        system.footprint.rates,
        jnp.asarray(waiting_power(system), float),
        system.provisioning == "on_demand",
    )
    parts, number = [], schedule.num_iterations
    for start in range(0, number, _CHUNK):
        now = slice(start, start + _CHUNK)
        chunks, decodes = _features(schedule.iterations, now)
        measured = (_filled(x[now]) for x in (schedule.duration_s, schedule.energy_j))
        found = _price_all(system.cost, carbon, chunks, decodes, *measured)
        size = min(_CHUNK, number - start)
        parts.append(jax.tree.map(lambda x, n=size: np.asarray(x)[:n], found))
        report("iterations", start + size, number)
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def waiting_power(system: System) -> float:
    """W that the GPUs draw together between the kernels of a busy server."""
    return float(system.accelerator.active_idle_power * system.tensor_parallel)


def _features(iterations: Iterations, now: slice) -> tuple[BatchFeatures, BatchFeatures]:
    chunks, decodes = (
        BatchFeatures(**{name: _filled(of[name][now]) for name in FEATURES})
        for of in (iterations.of_chunks, iterations.of_decodes)
    )
    return chunks, decodes


def _filled(values: np.ndarray) -> Float[Array, " chunk"]:
    """At one length, so that one size is compiled."""
    return jnp.asarray(np.resize(values, _CHUNK), float)


@eqx.filter_jit
def _price_all(cost, carbon, chunks, decodes, duration_s, energy_j) -> Priced:
    def price(*iteration):
        return _price(cost, carbon, *iteration)

    return jax.vmap(price)(chunks, decodes, duration_s, energy_j)


def _price(
    cost: AbstractIterationCost,
    carbon: _Carbon,
    chunks: BatchFeatures,
    decodes: BatchFeatures,
    duration_s: Float[Array, ""],
    energy_j: Float[Array, ""],
) -> Priced:
    batch = chunks + decodes
    somebody = batch.num_tokens + batch.num_sequences > 0
    latency, energy = cost(jax.tree.map(lambda *x: jnp.stack(x), batch, chunks, decodes))
    measured = ~jnp.isnan(energy_j)
    longer = duration_s / jnp.where(somebody, latency[0], duration_s)
    more = energy_j / jnp.where(somebody, energy[0], 1.0)
    waiting = jnp.where(measured, 0.0, carbon.waiting_power * (longer - 1))
    rates = carbon.rates
    of_energy = rates.energy * jnp.where(measured, more, 1.0)
    of_latency = rates.time * longer + rates.energy * waiting

    def electricity(cost: Cost) -> Float[Array, "*batch"]:
        return of_latency * cost[0] + of_energy * cost[1]

    def prices(weigh: Weigh) -> Prices:
        found = average_prices(cost, weigh, batch)
        return jax.tree.map(lambda x: jnp.where(somebody, x, 0.0), found)

    unused = jnp.where(measured, energy_j, carbon.waiting_power * duration_s)
    unused = rates.energy * unused + rates.time * duration_s
    return Priced(
        latency=latency[0],
        energy=energy[0],
        electricity=jnp.where(somebody, electricity((latency, energy)), unused),
        prices=prices(electricity),
        seconds=prices(lambda c: longer * c[0]) if carbon.prices_time else None,
    )
