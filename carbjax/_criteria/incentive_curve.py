"""Reduction rewards as the length of a request, the load or the batch cap changes."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from carbjax._attribution.elasticities import elasticities
from carbjax._attribution.methods import Method
from carbjax._criteria.elasticity import finite_elasticity, has_derivative
from carbjax._criteria.guard import name_of
from carbjax._criteria.incentives import PARTS, Requests, chosen_requests, reduction_reward
from carbjax._errors import InputError
from carbjax._serving.system import System
from carbjax._workload import Workload

AGAINST = ("prompt", "decode", "load", "max_num_seqs")

DERIVATIVE, DIFFERENCES = "derivative", "differences"

Grid = Float[np.ndarray, "values asked"]
Asked = Int[np.ndarray, " asked"]


@dataclasses.dataclass(frozen=True)
class IncentiveCurve:
    """Rewards and elasticities of requests at each value of what is varied.

    - `against`: "prompt" or "decode" (tokens of the request itself), "load" (how many
      times faster requests arrive) or "max_num_seqs".
    - `prompt`, `decode`: reduction rewards.
    - `prompt_elasticity`, `decode_elasticity`: d log C / d log tokens; None if not asked
      for. `elasticity_by` says how: "derivative" of the continuous engine
      (`carbjax.elasticities`), or "differences" of a hundredth of the tokens.
    - `base_g`: C before the reduction, gCO2e.
    """

    method: str
    against: str
    values: Float[np.ndarray, " values"]
    requests: Asked
    factor: float
    prompt: Grid
    decode: Grid
    prompt_elasticity: Grid | None
    decode_elasticity: Grid | None
    elasticity_by: str | None
    base_g: Grid
    flags: tuple[str, ...] = ()


def incentive_curve(
    workload: Workload,
    system: System,
    method: str | Method = "streaming",
    *,
    against: str = "prompt",
    values: Sequence[float],
    factor: float = 0.5,
    requests: Requests | None = None,
    elasticity: bool = True,
    idle: str = "unattributed",
    key: PRNGKeyArray | None = None,
) -> IncentiveCurve:
    """How strongly `method` rewards shorter prompts and answers, along one axis.

    At each value of `against` the changed workload is served anew, and is the one whose
    window and other requests stay while a request is cut by `factor`, as in
    `carbjax.reduction_reward`. Lengths are set in one request at a time. "load" divides
    the time between arrivals; "max_num_seqs" is the batch cap of the system.

    Raises `InputError`.
    """
    _require(against, values, factor)
    asked = chosen_requests(workload, requests)
    how = None
    if elasticity:
        how = DERIVATIVE if has_derivative(workload, method, idle) else DIFFERENCES
    look = _Look(method, float(factor), how, idle, key)
    rows = [_at(look, workload, system, against, value, asked) for value in values]
    prompt, decode, base, *slopes, flags = zip(*rows, strict=True)
    prompt_slope, decode_slope = (np.array(x) if elasticity else None for x in slopes)
    return IncentiveCurve(
        method=name_of(method),
        against=against,
        values=np.asarray(values, float),
        requests=asked,
        factor=look.factor,
        prompt=np.array(prompt),
        decode=np.array(decode),
        prompt_elasticity=prompt_slope,
        decode_elasticity=decode_slope,
        elasticity_by=how,
        base_g=np.array(base),
        flags=tuple(dict.fromkeys(flag for each in flags for flag in each)),
    )


def _require(against: str, values: Sequence[float], factor: float) -> None:
    if against not in AGAINST:
        raise InputError(
            f"`against` is {against!r}.", hint=f"Choose of {', '.join(AGAINST)}."
        )
    if len(values) == 0:
        raise InputError("`values` is empty.", hint="Give such as [100, 1000].")
    if not isinstance(factor, int | float):
        raise InputError("`factor` is not a number.", hint="Draw one curve a factor.")


@dataclasses.dataclass(frozen=True)
class _Look:
    """What is measured of some requests of one workload on one system."""

    method: str | Method
    factor: float
    elasticity_by: str | None
    idle: str
    key: PRNGKeyArray | None

    def __call__(self, workload: Workload, system: System, asked: Asked) -> tuple:
        """Both rewards, C, both elasticities and the flags."""
        report = reduction_reward(
            workload,
            system,
            self.method,
            factor=self.factor,
            requests=asked,
            idle=self.idle,
            key=self.key,
        )
        slopes = self._slopes(workload, system, asked)
        return report.prompt, report.decode, report.base_g, *slopes, report.flags

    def _slopes(self, workload: Workload, system: System, asked: Asked) -> tuple:
        if self.elasticity_by is None:
            return None, None
        if self.elasticity_by == DERIVATIVE:
            found = elasticities(workload, system, method=name_of(self.method))
            return found.prefill_tokens[asked], found.decode_tokens[asked]
        return tuple(
            finite_elasticity(
                workload, system, self.method, part, asked, idle=self.idle, key=self.key
            )
            for part in PARTS
        )


def compress(workload: Workload, load: float) -> Workload:
    """The same requests arriving `load` times as fast, from the same first arrival."""
    if not load > 0:
        raise InputError(f"`load` is {load}.", hint="Give more than 0; 2 is twice as fast.")
    start = workload.start_s
    return Workload(
        start + (workload.arrival_s - start) / load,
        workload.num_prefill_tokens,
        workload.num_decode_tokens,
        workload.player,
        workload.epoch,
        request_ids=workload.request_ids,
        player_names=workload.player_names,
    )


def _at(
    look: _Look,
    workload: Workload,
    system: System,
    against: str,
    value: float,
    asked: Asked,
) -> tuple:
    """What `look` sees of the requests at one value."""
    if against == "load":
        return look(compress(workload, value), system, asked)
    if against == "max_num_seqs":
        capped = dataclasses.replace(system, max_num_seqs=_whole(value))
        return look(workload, capped, asked)
    one_by_one = []
    for request in asked:
        changed = with_length(workload, against, request, _whole(value))
        one_by_one.append(look(changed, system, np.array([request])))
    *grids, flags = zip(*one_by_one, strict=True)
    joined = (None if grid[0] is None else np.concatenate(grid) for grid in grids)
    return *joined, tuple(flag for each in flags for flag in each)


def with_length(workload: Workload, part: str, request: int, tokens: int) -> Workload:
    """The workload with a prompt or an answer of this length in one request."""
    prefill = workload.num_prefill_tokens.copy()
    decode = workload.num_decode_tokens.copy()
    (prefill if part == "prompt" else decode)[request] = tokens
    return workload.with_tokens(prefill, decode)


def _whole(value: float) -> int:
    if value != int(value):
        raise InputError(f"`values` holds {value}.", hint="Give whole numbers.")
    return int(value)
