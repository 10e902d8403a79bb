"""Each step of a run as a run of its own, for methods that go by the timeline."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from carbjax._carbon.emissions import Emissions, no_emissions
from carbjax._criteria.axiom_bench import Run
from carbjax._serving.serve import serve
from carbjax._units import JOULES_PER_KWH


def iteration_runs(run: Run) -> list[Run]:
    """For each step, its tokens, its emissions, and when it ran.

    The iterations of one step have the same batch, so that a method that goes by tokens
    or by time charges each of them in the same proportion. What nobody is charged for is
    left out.
    """
    recorded = serve(run.workload, run.system, steps=True).steps
    assert recorded is not None
    grams = _step_grams(run, recorded)
    return [_step_run(run, recorded, j, float(g)) for j, g in enumerate(grams)]


def _step_run(run: Run, steps: Any, step: int, grams: float) -> Run:
    batch, many = steps.batch, steps.num_iterations[step]
    prefill = np.round(batch.chunk[step]).astype(int)
    first = batch.ends_prompt[step] & (run.workload.num_decode_tokens > 0)
    decode = np.round(batch.decoding[step] * many).astype(int) + first
    present = batch.prefilling[step] | batch.decoding[step]
    start_s, end_s = float(steps.start[step]), float(steps.end[step])
    zero_s = run.timeline.start_s
    timeline = dataclasses.replace(
        run.timeline,
        start_s=zero_s + start_s,
        end_s=zero_s + end_s,
        busy_s=end_s - start_s,
        emissions=_as_decode(grams),
        standing=_as_decode(0.0),
        scheduled_s=np.where(present, zero_s + start_s, np.nan),
        ttft_s=np.where(present, zero_s + end_s - run.workload.arrival_s, np.nan),
        finish_s=np.where(present, zero_s + end_s, np.nan),
    )
    return Run(run.workload.with_tokens(prefill, decode), run.system, timeline, None)


def _step_grams(run: Run, steps: Any) -> Float[np.ndarray, " steps"]:
    """What each step adds to v(none), gCO2e."""
    measured = steps.measured
    rates = run.system.footprint.rates
    electricity = rates.electricity(measured.latency, measured.energy)
    joules = (np.asarray(measured.weights) * np.asarray(electricity)).sum(axis=1)
    busy_s = (np.asarray(measured.weights) * np.asarray(measured.latency)).sum(axis=1)
    operational = joules * np.asarray(steps.intensity) / JOULES_PER_KWH
    return operational + float(rates.embodied) * busy_s


def _as_decode(grams: float) -> Emissions:
    nothing = no_emissions()
    return dataclasses.replace(nothing, decode=np.asarray(grams))
