"""Carbon of a served workload: a loop over iterations, and over intensity pieces."""

from typing import Literal, NamedTuple

from .features import CostFn, Features, total
from .simulator import Iteration, Participant, Result

JOULES_PER_KWH = 3.6e6


class Machine(NamedTuple):
    """What turns iterations into grams. Powers are of the whole backend."""

    idle_power_w: float
    host_power_w: float
    pue: float
    intensity: tuple[tuple[float, float, float], ...]
    """Pieces (start_s, end_s, gCO2e/kWh) that do not overlap."""
    embodied_g_per_s: float
    provisioning: Literal["always_on", "on_demand"]


class Carbon(NamedTuple):
    """gCO2e by component."""

    prefill: float
    decode: float
    idle: float
    embodied: float

    @property
    def total(self) -> float:
        return self.prefill + self.decode + self.idle + self.embodied


def intensity_integral(machine: Machine, start_s: float, end_s: float) -> float:
    """Integral of the intensity, in s gCO2e/kWh; `ValueError` where it is unknown."""
    integral = covered = 0.0
    for piece_start, piece_end, grams_per_kwh in machine.intensity:
        overlap = min(end_s, piece_end) - max(start_s, piece_start)
        if overlap > 0:
            integral += overlap * grams_per_kwh
            covered += overlap
    if abs(covered - (end_s - start_s)) > 1e-9 * max(1.0, end_s - start_s):
        raise ValueError(f"the intensity does not cover {start_s} to {end_s} s")
    return integral


def mean_intensity(machine: Machine, iteration: Iteration) -> float:
    """gCO2e/kWh, averaged over the iteration."""
    integral = intensity_integral(machine, iteration.start_s, iteration.end_s)
    return integral / iteration.latency_s


def operational(machine: Machine, cost_fn: CostFn, intensity: float, batch: Features):
    """Grams of running this batch, at one intensity, beyond what accrues without it.

    `always_on`: net of idle power. `on_demand`: with the host's power.
    """
    latency, energy = cost_fn(batch)
    if machine.provisioning == "always_on":
        joules = energy - machine.idle_power_w * latency
    else:
        joules = energy + machine.host_power_w * latency
    return joules * machine.pue * intensity / JOULES_PER_KWH


def split_by_phase(
    machine: Machine,
    cost_fn: CostFn,
    intensity: float,
    participants: tuple[Participant, ...] | list[Participant],
) -> tuple[float, float]:
    """(prefill, decode) grams: the Shapley value of the game between the two blocks."""

    def value(phases: tuple[str, ...]) -> float:
        present = [p.features for p in participants if p.phase in phases]
        if not present:
            return 0.0
        return float(operational(machine, cost_fn, intensity, total(present)))

    both = value(("prefill", "decode"))
    prefill, decode = value(("prefill",)), value(("decode",))
    return (prefill + both - decode) / 2, (decode + both - prefill) / 2


def standing_carbon(machine: Machine, window: tuple[float, float] | None) -> Carbon:
    """v(∅): what the machine emits with nobody to serve."""
    if machine.provisioning == "on_demand" or window is None:
        return Carbon(0.0, 0.0, 0.0, 0.0)
    start, end = window
    power = (machine.idle_power_w + machine.host_power_w) * machine.pue
    idle = power * intensity_integral(machine, start, end) / JOULES_PER_KWH
    return Carbon(0.0, 0.0, idle, machine.embodied_g_per_s * (end - start))


def served_carbon(
    result: Result,
    machine: Machine,
    cost_fn: CostFn,
    window: tuple[float, float] | None = None,
) -> Carbon:
    """Carbon of a simulated run, by component.

    `window` is (t0, t1) of `always_on`; by default from the first arrival that is
    not null to the end of this run. Give the grand coalition's for a smaller one.
    """
    if window is None and result.iterations:
        window = result.begin_s, result.end_s
    carbon = standing_carbon(machine, window)
    for iteration in result.iterations:
        intensity = mean_intensity(machine, iteration)
        prefill, decode = split_by_phase(
            machine, cost_fn, intensity, iteration.participants
        )
        carbon = carbon._replace(
            prefill=carbon.prefill + prefill, decode=carbon.decode + decode
        )
    if machine.provisioning == "on_demand":
        return carbon._replace(embodied=machine.embodied_g_per_s * result.busy_s)
    return carbon
