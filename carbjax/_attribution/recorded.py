"""Streaming attribution of a recorded schedule, in a pass over its iterations."""

import jax
import numpy as np
from jaxtyping import Float

from carbjax._attribution.attribution import Attribution, sum_players
from carbjax._attribution.idle import IDLE_RULES, spread_idle
from carbjax._attribution.prices import Prices
from carbjax._attribution.recorded_carbon import (
    Window,
    mean_intensity,
    standing,
    window_of,
)
from carbjax._attribution.recorded_flags import flags_of
from carbjax._attribution.recorded_players import FixedParts
from carbjax._attribution.recorded_prices import Priced, price_iterations, waiting_power
from carbjax._attribution.recorded_schedule import RecordedSchedule
from carbjax._attribution.recorded_sums import DecodePrices, sum_over_runs
from carbjax._carbon.emissions import Emissions
from carbjax._errors import InputError
from carbjax._estimators.columns import to_emissions
from carbjax._games.many import require_finite
from carbjax._serving.serve import Timeline
from carbjax._serving.system import System
from carbjax._units import JOULES_PER_KWH


def attribute_recorded(
    schedule: RecordedSchedule,
    system: System,
    *,
    idle: str = "unattributed",
    window_s: Window | None = None,
) -> Attribution:
    """Who of the schedule's players is responsible for which grams.

    Streaming attribution (docs/streaming.md) of iterations that a real server ran,
    whatever its policy; of `system` the GPU, model, cost and carbon count, not the
    scheduler's caps. An iteration takes its wall time and its measured energy; `flags`
    say by how much these differ from the model (docs/recorded.md). Iterations without
    participants are unattributed.

    - `idle`: as in `attribute`.
    - `window_s`: (start, end), s from the schedule's epoch, over which the machine is
      kept on with `always_on`; by default from the first iteration to the last's end.

    Cost: O(I) prices, and sums in O((R + chunks + runs) log). `sum(shares) + unattributed
    = total`. Raises `InputError` and its kin.
    """
    if idle not in IDLE_RULES:
        raise InputError(
            f"there is no idle rule {idle!r}.", hint=f"Choose of {', '.join(IDLE_RULES)}."
        )
    window = window_of(schedule, window_s)
    nobody = jax.tree.map(np.asarray, standing(schedule, system, window))
    intensity = mean_intensity(schedule, system)
    priced = price_iterations(schedule, system)
    emitted = _emitted(schedule, system, priced, intensity)
    empty = schedule.iterations.num_requests == 0
    attribution = Attribution(
        "recorded",
        _shares(schedule, system, priced, intensity),
        nobody + sum_players(jax.tree.map(lambda x: x[empty], emitted)),
        nobody + sum_players(emitted),
        flags=(*flags_of(schedule, priced), *system.flags(schedule.workload)),
    )
    require_finite(attribution.emissions)
    return spread_idle(
        attribution,
        idle,
        nobody=nobody,
        workload=schedule.workload,
        timeline=_timeline(schedule, system, priced, attribution, nobody, window),
    )


def _emitted(
    schedule: RecordedSchedule,
    system: System,
    priced: Priced,
    intensity: Float[np.ndarray, " iterations"],
) -> Emissions:
    """What each iteration emits, `" iterations"`; without participants it is `idle`.

    An iteration of both phases is split between them as the engine does it: by the
    Shapley value of two players.
    """
    both, chunks, decodes = np.asarray(priced.electricity, np.float64).T
    has_chunks = schedule.iterations.num_chunks > 0
    has_decodes = schedule.iterations.of_decodes["decode_tokens"] > 0
    prefill = np.where(has_decodes, (both - decodes + chunks) / 2, both) * has_chunks
    grams = intensity / JOULES_PER_KWH
    somebody = has_chunks | has_decodes
    decode, idle = (np.where(who, both - prefill, 0.0) for who in (somebody, ~somebody))
    embodied = _embodied_rate(system) * schedule.duration_s
    columns = prefill * grams, decode * grams, idle * grams, embodied, both
    return to_emissions(np.stack(columns, axis=-1))


def _embodied_rate(system: System) -> float:
    """gCO2e of embodied carbon for each second of an iteration."""
    return float(system.footprint.rates.embodied)


def _shares(
    schedule: RecordedSchedule,
    system: System,
    priced: Priced,
    intensity: Float[np.ndarray, " iterations"],
) -> Emissions:
    """What each player is charged."""
    fixed = FixedParts(schedule)

    def charge(prices: Prices, weight: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        weighed = jax.tree.map(lambda x: weight * np.asarray(x, np.float64), prices)
        return _by_phase(schedule, fixed, weighed)

    prefill, decode = charge(priced.prices, intensity / JOULES_PER_KWH)
    joules = np.add(*charge(priced.prices, 1.0))
    idle = embodied = np.zeros_like(joules)
    if priced.seconds is not None:
        embodied = np.add(*charge(priced.seconds, _embodied_rate(system)))
    return to_emissions(np.stack([prefill, decode, idle, embodied, joules], axis=-1))


def _by_phase(
    schedule: RecordedSchedule, fixed: FixedParts, prices: Prices
) -> tuple[Float[np.ndarray, " players"], Float[np.ndarray, " players"]]:
    """What each player pays for its chunks, and for its decodes."""
    price = jax.tree.map(np.asarray, prices.features)
    chunks, runs = schedule.chunks, schedule.runs
    at, tokens = chunks.iteration, chunks.tokens
    of_chunks = price.num_tokens[at] * tokens
    of_chunks += price.num_sequences[at] * chunks.ends_prompt
    of_chunks += price.prefill_pairs[at] * (
        tokens * chunks.cached + tokens * (tokens + 1) // 2
    )
    of_chunks += price.prefill_kv[at] * (chunks.cached + tokens)
    constant = price.num_tokens + price.num_sequences + price.decode_tokens
    kv, kv_sq = price.decode_kv, price.decode_kv_sq
    of_runs = sum_over_runs(
        DecodePrices(constant, kv, kv_sq), runs.first, runs.length, runs.context
    )
    player, number = schedule.workload.player, schedule.workload.num_players
    prefill, decode = fixed.shares(np.asarray(prices.fixed))
    prefill += np.bincount(player[chunks.request], of_chunks, number)
    decode += np.bincount(player[runs.request], of_runs, number)
    return prefill, decode


def _timeline(
    schedule: RecordedSchedule,
    system: System,
    priced: Priced,
    attribution: Attribution,
    nobody: Emissions,
    window: Window,
) -> Timeline:
    """What is known of when things happened; times to the first token are not."""
    workload, finish_s = schedule.workload, schedule.finish_s
    waiting = waiting_power(system) * (schedule.duration_s - priced.latency)
    modelled = np.isnan(schedule.energy_j)
    energy_j = np.where(modelled, priced.energy + waiting, schedule.energy_j)
    return Timeline(
        *window,
        busy_s=float(schedule.duration_s.sum()),
        energy_j=float(energy_j.sum()),
        num_iterations=schedule.num_iterations,
        emissions=attribution.whole,
        standing=nobody,
        scheduled_s=np.where(workload.is_null, np.nan, workload.arrival_s),
        ttft_s=np.full(workload.num_requests, np.nan),
        finish_s=finish_s,
    )
