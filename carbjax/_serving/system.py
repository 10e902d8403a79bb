"""The system function S: scheduler, model and hardware, and what its hours emit."""

import datetime as dt
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from carbjax._carbon.footprint import PROVISIONING, Footprint
from carbjax._carbon.intensity import Intensity, RelativeIntensity
from carbjax._errors import ConfigError, WorkloadError
from carbjax._hardware import (
    Accelerator,
    ModelShape,
    accelerator as find_accelerator,
    kv_capacity_tokens as capacity_left,
    model as find_model,
)
from carbjax._serving.policies import POLICIES, Caps
from carbjax._serving.queue import count_dtype
from carbjax._surrogate.cost import AbstractIterationCost, Cost
from carbjax._surrogate.features import BatchFeatures
from carbjax._surrogate.surrogate import Surrogate
from carbjax._surrogate.validity import outside_box, warn_once
from carbjax._units import INT32_MAX
from carbjax._workload import Workload

_LONG_SERIES = 64  # intervals; a shorter one is quick to search as it is
_CAPS = ("max_num_seqs", "max_num_batched_tokens", "kv_capacity_tokens")


class System(eqx.Module):
    """One LLM backend: `tensor_parallel` GPUs that serve one model.

    Make one with `System.load` from names, or directly with a cost model of your own.

    - `cost`: latency (s) and energy (J) of an iteration.
    - `policy`: "prefill_first", "chunked_prefill" or "static".
    - `max_num_seqs`, `max_num_batched_tokens`, `kv_capacity_tokens`: the scheduler's caps.
    - `carbon_intensity`: of the electricity, g/kWh, a constant or a series.
    - `pue`: power usage effectiveness of the site, at least 1.
    - `provisioning`: "always_on" or "on_demand" (docs/semantics.md).
    - `surrogate`: where `cost` comes from, if known: it says what was measured.

    Raises `ConfigError` naming the setting that cannot be used.
    """

    accelerator: Accelerator
    model: ModelShape
    cost: AbstractIterationCost
    carbon_intensity: Intensity
    kv_capacity_tokens: int = eqx.field(static=True)
    tensor_parallel: int = eqx.field(static=True, default=1)
    policy: str = eqx.field(static=True, default="chunked_prefill")
    max_num_seqs: int = eqx.field(static=True, default=256)
    max_num_batched_tokens: int = eqx.field(static=True, default=8192)
    pue: float = 1.1
    provisioning: str = eqx.field(static=True, default="always_on")
    surrogate: Surrogate | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        _require_one_of("policy", self.policy, tuple(POLICIES))
        _require_one_of("provisioning", self.provisioning, PROVISIONING)
        for name in (*_CAPS, "tensor_parallel"):
            value = getattr(self, name)
            if value != int(value) or not 1 <= value <= INT32_MAX:
                raise ConfigError(
                    f"`{name}` is {value}.", hint=f"Give a whole number, 1 to {INT32_MAX}."
                )
        if not 1 <= self.pue < 10:
            raise ConfigError(
                f"`pue` is {self.pue}.", hint="Give 1.0 or more, such as 1.1."
            )

    @classmethod
    def load(
        cls,
        accelerator: str | Accelerator = "h200-sxm",
        model: str | ModelShape = "llama-3.1-8b",
        tensor_parallel: int = 1,
        policy: str = "chunked_prefill",
        max_num_seqs: int = 256,
        max_num_batched_tokens: int = 8192,
        kv_capacity_tokens: int | None = None,
        carbon_intensity: float | Intensity = 400.0,
        pue: float = 1.1,
        provisioning: str = "always_on",
        surrogate: str | os.PathLike | Surrogate | None = None,
        cost: AbstractIterationCost | None = None,
    ) -> "System":
        """A system from the names of a GPU and a model that carbjax has measurements of.

        `kv_capacity_tokens=None` takes what the memory leaves after the weights. A GPU
        of your own, without a fit that ships, needs a `surrogate` (a file of
        `carbjax fit`, or what `cj.fit_profile` returned) or a `cost` of your own.
        """
        gpu = find_accelerator(accelerator) if isinstance(accelerator, str) else accelerator
        shape = find_model(model) if isinstance(model, str) else model
        if kv_capacity_tokens is None:
            kv_capacity_tokens = capacity_left(gpu, shape, tensor_parallel)
        if cost is None:
            surrogate = _find_surrogate(surrogate, gpu)
            cost = surrogate.specialise(shape, tensor_parallel)
        elif surrogate is not None:
            raise ConfigError("both `cost` and `surrogate` are given.", hint="Give one.")
        if not isinstance(carbon_intensity, Intensity):
            carbon_intensity = Intensity.constant(carbon_intensity)
        return cls(
            accelerator=gpu,
            model=shape,
            cost=cost,
            carbon_intensity=carbon_intensity,
            kv_capacity_tokens=kv_capacity_tokens,
            tensor_parallel=tensor_parallel,
            policy=policy,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            pue=pue,
            provisioning=provisioning,
            surrogate=surrogate,
        )

    @classmethod
    def from_toml(cls, path: str | os.PathLike) -> "System":
        """The system that the `[system]` table of a TOML file describes."""
        from carbjax._serving.configuration import read_system

        return read_system(path)

    def iteration_cost(self, features: BatchFeatures) -> Cost:
        """Latency (s) and energy (J, all GPUs) of one iteration, elementwise."""
        return self.cost(_real(features))

    def operator_costs(self, features: BatchFeatures) -> dict[str, Cost]:
        """Latency (s) and power (W, per GPU) of each operator, summed over layers."""
        return self.cost.operator_costs(_real(features))

    def flags(self, workload: Workload) -> tuple[str, ...]:
        """What a reader of the workload's results must know about their inputs.

        Asking the surrogate for more than it was fitted to also warns, once.
        """
        if self.surrogate is None:
            return self.carbon_intensity.flags
        prompts = workload.num_prefill_tokens
        outside = outside_box(
            self.surrogate.record,
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_num_seqs=self.max_num_seqs,
            max_context=int((prompts + workload.num_decode_tokens).max()),
            longest_prompt=int(prompts.max()),
            num_requests=int((~workload.is_null).sum()),
            whole_prompts=self.policy != "chunked_prefill",
            model=self.model,
            tensor_parallel=self.tensor_parallel,
        )
        warn_once(outside)
        return (*self.carbon_intensity.flags, *outside)

    @property
    def caps(self) -> Caps:
        counts = count_dtype()
        return Caps(*(jnp.asarray(getattr(self, name), counts) for name in _CAPS))

    @property
    def footprint(self) -> Footprint:
        gpu, count = self.accelerator, self.tensor_parallel
        return Footprint(
            idle_power=jnp.asarray(gpu.idle_power * count, float),
            host_power=jnp.asarray(gpu.host_power * count, float),
            embodied_rate=jnp.asarray(gpu.embodied_rate * count, float),
            pue=jnp.asarray(self.pue, float),
            provisioning=self.provisioning,
        )

    def intensity_from(
        self,
        workload: Workload,
        zero_s: float,
        until_s: float | None = None,
        *,
        from_s: float | None = None,
    ) -> RelativeIntensity:
        """The intensity on a clock whose zero is `zero_s` on the arrivals' clock.

        From `from_s` to `until_s` on the arrivals' clock, or as far as it goes: a short
        series is quick to search.
        """
        if self.carbon_intensity.is_constant:
            return self.carbon_intensity.relative(None)
        if workload.epoch is None:
            raise WorkloadError(
                "the carbon intensity is a series over calendar time, and the workload "
                "has no `epoch`.",
                hint="Give `Workload(..., epoch=...)`, the UTC instant of "
                "`arrival_s = 0`, or a constant intensity.",
            )
        series = self.carbon_intensity
        if until_s is not None and len(series.values) > _LONG_SERIES:
            start, until = (
                workload.epoch + dt.timedelta(seconds=s)
                for s in ((zero_s if from_s is None else from_s) - 1, until_s + 1)
            )
            if series.start < start and until < series.end:
                series = series.window(start, until)
        return series.relative(workload.epoch, zero_s)

    def require_cover(self, workload: Workload, start_s: float, end_s: float) -> None:
        """Raises `IntensityError` unless the intensity covers this span of the arrivals."""
        if workload.epoch is None or self.carbon_intensity.is_constant:
            return
        first, last = (dt.timedelta(seconds=s) for s in (start_s, end_s))
        self.carbon_intensity.require_cover(workload.epoch + first, workload.epoch + last)

    def require_feasible(self, workload: Workload) -> None:
        """Raises `WorkloadError`, naming the request, where one can never be admitted."""
        size = workload.num_prefill_tokens + workload.num_decode_tokens
        too_large = np.flatnonzero(size > self.kv_capacity_tokens)
        if len(too_large):
            i = int(too_large[0])
            name = i if workload.request_ids is None else repr(workload.request_ids[i])
            raise WorkloadError(
                f"request {name} needs {size[i]} tokens of KV cache, and "
                f"`kv_capacity_tokens` is {self.kv_capacity_tokens} "
                f"({len(too_large)} requests are too large).",
                hint="Leave it out, raise the capacity, or use more GPUs "
                "(`tensor_parallel`).",
            )


def _real(features: BatchFeatures) -> BatchFeatures:
    """The features as floats: costs take the type of what they are given."""

    def as_float(x):
        array = jnp.asarray(x)
        return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)

    return jax.tree.map(as_float, features)


def _find_surrogate(
    given: str | os.PathLike | Surrogate | None, gpu: Accelerator
) -> Surrogate:
    """The surrogate that was given, or the shipped one, if it is of this GPU."""
    if given is None:
        return Surrogate.shipped(gpu.name)
    surrogate = given if isinstance(given, Surrogate) else Surrogate.load(given)
    if surrogate.name != gpu.name:
        raise ConfigError(
            f"`surrogate` was fitted to {surrogate.name!r}, and `accelerator` is "
            f"{gpu.name!r}.",
            hint="Name the accelerator that was measured.",
        )
    return surrogate


def _require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"`{name}` is {value!r}.", hint=f"Choose of {', '.join(known)}.")
