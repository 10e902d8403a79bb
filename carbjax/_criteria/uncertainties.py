"""Between which ends the inputs of a bill lie, as published and as measured."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from carbjax._errors import InputError
from carbjax._serving.system import System
from carbjax._surrogate.specialise import SpecialisedCost
from carbjax._surrogate.surrogate import Surrogate

Ends = tuple[float, float]
"""Least and most."""

# kgCO2e of a bare GPU. A100: 150 (co2_submissions, Vidur-Energy) to 181 (ADEME's
# calculator); H100: 164 (EcoLogits, of NVIDIA's footprint summary) to 180 (Vidur-Energy),
# which stands in for its successors.
_EMBODIED_KG = {
    "a100-sxm": (150.0, 181.0),
    "h100-sxm": (164.0, 180.0),
    "h200-sxm": (164.0, 180.0),
    "b200-sxm": (164.0, 180.0),
}
_LIFETIME_YEARS = (3.0, 6.0)  # EcoLogits and BoaviztAPI's GPUs; AWS and Azure servers
_PUE = (1.09, 1.2)  # Google; OpenAI at Microsoft (both as EcoLogits has them)
# Multiples of what was given, from the hours of 2021 to 2023 of Electricity Maps in ES and
# US-CAL-CISO: life-cycle over direct intensity is 1.32 to 1.37, and the 5th and 95th
# percentile of an hour over the year's mean are 0.5 and 1.7.
_INTENSITY = {"lca": (0.73, 1.0), "direct": (1.0, 1.37), "constant": (0.5, 1.7)}

_SD_OF_MEAN_ERROR = math.sqrt(math.pi / 2)  # of a normal variable
_GEMM = "gemm latency, unseen shapes", "gemm power"
_SERVING = "serving iteration time, model left out", "power, given time, model left out"
_ERRORS = {
    "prefill_attention": ("prefill_attention latency", "prefill_attention power"),
    "decode_attention": ("decode_attention latency", "decode_attention power"),
    **dict.fromkeys(("elementwise", "host", "gaps", "sampler"), _SERVING),
    **dict.fromkeys(("all_reduce",), ("all_reduce latency, 2 GPUs, interpolation", "")),
}


class OperatorError(NamedTuple):
    """Standard deviations of the logarithms of an operator's latency and of its power."""

    latency: float
    power: float


@dataclasses.dataclass(frozen=True)
class Uncertainties:
    """Between which ends each input may lie, all alike; None: it counts as known.

    - `embodied_kg`: kgCO2e of one GPU without its server; `lifetime_years` of both.
    - `pue`: of the site. `intensity`: multiples of the intensity that was given.
    - `operators`: errors of the surrogate by operator, normal in logarithms, the same at
      every size of batch.
    - `flags`: what is not known.

    `published_uncertainties` fills it. Raises `InputError` for ends that are not positive
    or not in order.
    """

    embodied_kg: Ends | None = None
    lifetime_years: Ends | None = None
    pue: Ends | None = None
    intensity: Ends | None = None
    operators: Mapping[str, OperatorError] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def __post_init__(self):
        for name in ("embodied_kg", "lifetime_years", "pue", "intensity"):
            ends = getattr(self, name)
            if ends is not None and not 0 < ends[0] <= ends[1] < math.inf:
                raise InputError(
                    f"`{name}` is {ends}.", hint="Give the least and the most, such as "
                    "(1.09, 1.2)."
                )  # fmt: skip


def published_uncertainties(system: System) -> Uncertainties:
    """What is published of embodied carbon, lifetime and PUE, and measured of the rest.

    The intensity's ends depend on its kind: of a life-cycle series that accounting by
    direct emissions would say less, of a direct one that upstream emissions are missing,
    of a constant that the hour is not the year. The surrogate's errors are those of rows
    (operators) and serving runs (host, gaps, sampler, small kernels) that no fit saw.
    """
    embodied = _EMBODIED_KG.get(system.accelerator.name)
    flags = []
    if embodied is None:
        name = system.accelerator.name
        flags.append(f"no range of the embodied carbon of {name} is known")
    operators = _operator_errors(system)
    if not operators:
        flags.append("errors of the cost model are not known")
    return Uncertainties(
        embodied_kg=embodied,
        lifetime_years=_LIFETIME_YEARS,
        pue=_PUE,
        intensity=_INTENSITY.get(system.carbon_intensity.kind),
        operators=operators,
        flags=tuple(flags),
    )


def _operator_errors(system: System) -> dict[str, OperatorError]:
    """By operator; none of a cost model whose errors nobody measured."""
    if system.surrogate is None or not isinstance(system.cost, SpecialisedCost):
        return {}
    errors = _with_those_of_its_calibration(system.surrogate)
    cost = system.cost
    names = [*cost.token_operators, *cost.sequence_operators]
    names += ["prefill_attention", "decode_attention"]
    given = {name: _ERRORS.get(name, _GEMM) for name in names}
    found = {
        name: OperatorError(
            _sd(errors, latency), _sd(errors, power) or _sd(errors, _SERVING[1])
        )
        for name, (latency, power) in given.items()
    }
    return {name: error for name, error in found.items() if any(error)}


def _with_those_of_its_calibration(surrogate: Surrogate) -> dict[str, Any]:
    """Its errors, and those of the GPU whose serving runs it was calibrated by."""
    source = surrogate.record.get("calibration", {}).get("from")
    others = Surrogate.shipped(source).errors if source else {}
    return {**others, **surrogate.errors}


def _sd(errors: Mapping[str, Any], name: str) -> float:
    """From the mean absolute error in percent; 0 where it was not measured."""
    return _SD_OF_MEAN_ERROR * errors.get(name, {"mape": 0.0})["mape"] / 100
