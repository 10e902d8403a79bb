"""What a reader of a recorded attribution must know: where the model and the log differ."""

import numpy as np
from jaxtyping import Bool, Float

from carbjax._attribution.recorded_prices import Priced
from carbjax._attribution.recorded_schedule import RecordedSchedule

_AS_MODELLED = 1e-6  # relative
_SPAN = (0.05, 0.5, 0.95)  # quantiles that a flag tells


def flags_of(schedule: RecordedSchedule, priced: Priced) -> tuple[str, ...]:
    """By how much wall time and measured energy are other than modelled, and the like."""
    busy = schedule.iterations.num_requests > 0
    measured = ~np.isnan(schedule.energy_j)
    latency, energy = np.asarray(priced.latency), np.asarray(priced.energy)
    time = _compare("wall time", schedule.duration_s, latency, busy)
    energy = _compare("measured energy", schedule.energy_j, energy, busy & measured)
    some = 0 < measured.sum() < len(measured)
    low = priced.electricity[:, 0] < 0
    counted = (
        ("have no measured energy: it is modelled", ~measured & some),
        ("have no participants and are unattributed", ~busy),
        ("drew less than an idle machine", low),
    )
    number = schedule.num_iterations
    return (
        *time,
        *energy,
        *(
            f"{who.sum()} of {number} iterations {what}"
            for what, who in counted
            if who.any()
        ),
    )


def _compare(
    what: str,
    real: Float[np.ndarray, " iterations"],
    modelled: Float[np.ndarray, " iterations"],
    where: Bool[np.ndarray, " iterations"],
) -> tuple[str, ...]:
    """What the shares were scaled by, unless by nothing."""
    ratio = real[where] / modelled[where]
    if not (np.abs(ratio - 1) > _AS_MODELLED).any():
        return ()
    low, middle, high = np.quantile(ratio, _SPAN)
    whole = real[where].sum() / modelled[where].sum()
    return (
        f"{what} is {whole:.3g} times the modelled (median {middle:.3g}, 5% to 95% of "
        f"iterations {low:.3g} to {high:.3g})",
    )
