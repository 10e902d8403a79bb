"""The fitted numbers of a GPU, as shipped in `parameters/<accelerator>.json`."""

import functools as ft
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

import equinox as eqx

from carbjax._errors import ConfigError
from carbjax._surrogate.attention_forms import KernelFit, SharedKernel
from carbjax._surrogate.gemm import Gemm
from carbjax._surrogate.moe import Moe
from carbjax._surrogate.overheads import Gaps, Host, Sampler
from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.streaming import Streaming
from carbjax._surrogate.token_spline import TokenSpline

_PACKAGE = "carbjax._surrogate"
_FOLDER = "parameters"


class OperatorFit(eqx.Module):
    """The fitted operators of one GPU, before any model is chosen."""

    name: str = eqx.field(static=True)
    idle_power: float  # W, nothing running for seconds
    active_idle_power: float  # W, between kernels
    max_power: float  # W, the most that an iteration draws on average
    gemm: Gemm
    gemm_fp8: Gemm
    moe: Moe | None
    prefill: KernelFit
    decode: KernelFit
    shared_kernel: SharedKernel | None  # None: prefill and decode run one by one
    elementwise: Streaming
    elementwise_kernels: dict[str, TokenSpline]  # over bytes, by name
    all_reduce: dict[int, TokenSpline]  # over bytes, by tensor-parallel degree
    host: Host
    gaps: Gaps
    sampler: Sampler
    power: dict[str, PowerModel]  # by operator class


def available_accelerators() -> tuple[str, ...]:
    """The names of the GPUs with a shipped fit."""
    folder = importlib.resources.files(_PACKAGE) / _FOLDER
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(n.removesuffix(".json") for n in names if n.endswith(".json")))


@ft.cache
def load_fit(accelerator_name: str) -> OperatorFit:
    """The shipped fit of a GPU. Raises `ConfigError` where there is none."""
    return fit_from_record(load_record(accelerator_name))


def load_record(accelerator_name: str) -> dict:
    """All of a parameter file: numbers, sources, errors, validity box, remarks."""
    known = available_accelerators()
    if accelerator_name not in known:
        raise ConfigError(
            f"there is no fit of accelerator {accelerator_name!r}.",
            hint=f"Known: {', '.join(known)}.",
        )
    file = importlib.resources.files(_PACKAGE) / _FOLDER / f"{accelerator_name}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def fitted_power(accelerator_name: str) -> dict[str, float]:
    """Idle and active-idle power in W that go with the fit of a GPU."""
    fit = load_fit(accelerator_name)
    return {"idle_power": fit.idle_power, "active_idle_power": fit.active_idle_power}


def fit_from_record(record: Mapping[str, Any]) -> OperatorFit:
    """The operators of a parameter file that was read."""
    latency = record["operators"]
    shared = latency["shared_kernel"]
    return OperatorFit(
        name=record["accelerator"],
        idle_power=record["idle_power"],
        active_idle_power=record["active_idle_power"],
        max_power=record["max_power"],
        gemm=Gemm.from_record(latency["gemm"]),
        gemm_fp8=Gemm.from_record(latency["gemm_fp8"]),
        moe=Moe.from_record(latency["moe"]) if "moe" in latency else None,
        prefill=KernelFit.from_record(latency["prefill_attention"]),
        decode=KernelFit.from_record(latency["decode_attention"]),
        shared_kernel=None if shared is None else SharedKernel.from_record(shared),
        elementwise=Streaming(**latency["elementwise"]),
        elementwise_kernels=_splines(latency.get("elementwise_kernels", {})),
        all_reduce={int(k): v for k, v in _splines(latency["all_reduce"]).items()},
        host=Host(**latency["host"]),
        gaps=Gaps(**latency["gaps"]),
        sampler=Sampler(**latency["sampler"]),
        power={name: PowerModel(**v) for name, v in record["power"].items()},
    )


def _splines(records: dict) -> dict[str, TokenSpline]:
    return {name: TokenSpline.from_record(v) for name, v in records.items()}
