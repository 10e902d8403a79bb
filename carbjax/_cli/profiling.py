"""What `carbjax profile` does, and its answers as plain data and as lines."""

import dataclasses as dc
import datetime as dt
import importlib.metadata
import math
import os
from typing import Any

from carbjax._cli.progress import progress
from carbjax._errors import ConfigError
from carbjax._files import require_writable
from carbjax._hardware import accelerator, model
from carbjax._profiler import (
    SLOW,
    Device,
    LayerShape,
    Outcome,
    Plan,
    Protocol,
    Rates,
    estimate,
    known_accelerator,
    make_plan,
    measure_plan,
    memory_bytes,
    metadata,
    open_gpu,
    outcome,
    require_same_gpu,
    without,
)
from carbjax._profiler.gpu import AbstractGpu
from carbjax._version import __version__

_ASSUMED_GPU = "h200-sxm"
_BYTES_PER_GB = 1e9
# JAX takes this share of the GPU's memory when it starts.
_FRACTION_VARIABLE, _FRACTION = "XLA_PYTHON_CLIENT_MEM_FRACTION", "0.75"


@dc.dataclass(frozen=True)
class Request:
    """The options of the command."""

    model: str
    out: str | None = None
    tensor_parallel: int = 1
    dry_run: bool = False
    time_only: bool = False
    accelerator: str | None = None
    blocks: tuple[str, ...] = ()
    memory_gb: float | None = None
    share: bool = False
    seed: int = 0


def dry_run(request: Request) -> dict[str, Any]:
    """The plan, its minutes and its memory; no GPU is asked."""
    plan, rates = _plan(request), Rates.of(accelerator(request.accelerator or _ASSUMED_GPU))
    expected = estimate(plan, rates, Protocol(seed=request.seed))
    return {
        "model": request.model,
        "tensor_parallel": request.tensor_parallel,
        "accelerator_assumed": rates.name,
        "num_points": len(plan),
        "points_by_block": plan.by_block,
        "estimated_minutes": round(expected.minutes, 2),
        "memory_bytes": expected.memory_bytes,
        "largest_point": expected.largest,
        "left_out": [point.label for point in plan.left_out],
        "points": [point.label for point in plan.points],
    }


def dry_run_lines(answer: dict[str, Any]) -> list[str]:
    blocks = ", ".join(f"{name} {n}" for name, n in answer["points_by_block"].items())
    return [
        f"{answer['model']}, one of {answer['tensor_parallel']} GPUs, "
        f"{answer['accelerator_assumed']} assumed",
        f"  points: {answer['num_points']} ({blocks})",
        f"  time: about {answer['estimated_minutes']:.1f} minutes, compiling included",
        f"  memory: {answer['memory_bytes'] / _BYTES_PER_GB:.1f} GB "
        f"({answer['largest_point']})",
        *_left_out_lines(answer["left_out"]),
        "Nothing was run.",
    ]


def run_profile(
    request: Request, gpu: AbstractGpu | None = None, protocol: Protocol | None = None
) -> dict[str, Any]:
    """What was measured, after the profile stands in its file.

    Raises `ConfigError` where this machine cannot measure, and `OutputError`.
    """
    if request.out is None:
        raise ConfigError("`--out` is missing.", hint="Name a Parquet file to write.")
    require_writable(request.out, (".parquet",))
    protocol = Protocol(seed=request.seed) if protocol is None else protocol
    plan = _plan(request)
    if not request.time_only and gpu is None:
        gpu = open_gpu(share=request.share)
    try:
        if gpu is not None:
            _require_memory(plan, gpu)
            require_same_gpu(gpu)
        device = _device(gpu)
        rates = device.rates or _rates(request, gpu)
        with progress(1) as advance:
            advance("Profiling")
            measured = measure_plan(plan, gpu, rates, protocol)
    finally:
        if gpu is not None:
            gpu.close()
    found = outcome(
        plan, measured, device, protocol, tensor_parallel=request.tensor_parallel
    )
    about = _about(request, device, gpu)
    found.profile.to_parquet(request.out, metadata(plan, found, protocol, about))
    return _answer(request, plan, found, about)


def summary_lines(answer: dict[str, Any]) -> list[str]:
    rows = ", ".join(f"{name} {n}" for name, n in answer["rows_by_operator"].items())
    checks = [
        f"  {check['label']}: time {_percent(check['latency_error'])}, "
        f"energy {_percent(check['energy_error'])}"
        for check in answer["additivity_percent"]
    ]
    heading = ["Sum of operators against the measured layer:"] if checks else []
    return [
        f"{answer['out']}: {answer['num_rows']} rows on {answer['device']} ({rows})",
        *heading,
        *checks,
        *_warnings(answer),
        *_left_out_lines(answer["left_out"]),
    ]


def _plan(request: Request) -> Plan:
    shape = LayerShape.of(model(request.model), request.tensor_parallel)
    plan = make_plan(shape, seed=request.seed, blocks=request.blocks or None)
    if request.memory_gb is None:
        return plan
    limit = request.memory_gb * _BYTES_PER_GB
    return without(plan, [p for p in plan.points if memory_bytes(p, shape) > limit])


def _require_memory(plan: Plan, gpu: AbstractGpu) -> None:
    fraction = float(os.environ.get(_FRACTION_VARIABLE, _FRACTION))
    usable = min(gpu.free_bytes, fraction * gpu.total_bytes)
    sizes = {point.label: memory_bytes(point, plan.shape) for point in plan.points}
    largest = max(sizes, key=lambda label: sizes[label])
    if sizes[largest] > usable:
        raise ConfigError(
            f"{largest!r} needs {sizes[largest] / _BYTES_PER_GB:.1f} GB, and JAX can use "
            f"{usable / _BYTES_PER_GB:.1f} GB of {gpu.name}.",
            hint=f"Free some, set {_FRACTION_VARIABLE} higher, or leave out what does not "
            f"fit with `--memory-gb {math.floor(usable / _BYTES_PER_GB * 10) / 10:g}`.",
        )


def _device(gpu: AbstractGpu | None) -> Device:
    import jax

    name = jax.devices()[0].device_kind if gpu is None else gpu.name
    known = known_accelerator(name)
    limit = math.nan if gpu is None else gpu.power_limit_w
    return Device(name, limit, None if known is None else Rates.of(known))


def _rates(request: Request, gpu: AbstractGpu | None) -> Rates:
    """Rates to size the loops by, of a device that we do not know."""
    if request.accelerator is not None:
        return Rates.of(accelerator(request.accelerator))
    return SLOW if gpu is None else Rates.of(accelerator(_ASSUMED_GPU))


def _about(request: Request, device: Device, gpu: AbstractGpu | None) -> dict[str, Any]:
    return {
        "device": device.name,
        "driver": None if gpu is None else gpu.driver,
        "power_limit_w": None if gpu is None else gpu.power_limit_w,
        "metered": gpu is not None,
        "shared_with_others": request.share,
        "model": request.model,
        "tensor_parallel": request.tensor_parallel,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "carbjax": __version__,
        **{name: importlib.metadata.version(name) for name in ("jax", "jaxlib")},
    }


def _answer(
    request: Request, plan: Plan, found: Outcome, about: dict[str, Any]
) -> dict[str, Any]:
    left_out = [point.label for point in plan.left_out]
    return {"out": request.out, **about, **found.summary(), "left_out": left_out}


def _warnings(answer: dict[str, Any]) -> list[str]:
    counts = {
        "windows rejected and measured again": answer["windows_rejected"],
        "points slowed down by heat to the end (weight 0)": answer["points_slowed_by_heat"],
        "points of uncertain power (less weight)": answer["points_of_uncertain_power"],
        "points with XLA's attention for cuDNN's": answer["metered"]
        * answer["points_without_cudnn"],
    }
    lines = [f"  {count} {what}" for what, count in counts.items() if count]
    if answer["points_faster_than_the_datasheet"]:
        names = ", ".join(answer["points_faster_than_the_datasheet"])
        lines.append(f"  faster than the GPU can be, weight 0: {names}")
    if not answer["metered"]:
        lines.append("  latency alone: power and energy are not known")
    if answer["shared_with_others"]:
        lines.append("  others may have used the GPU: power may hold theirs")
    return lines


def _left_out_lines(labels: list[str]) -> list[str]:
    if not labels:
        return []
    return [f"  {len(labels)} points left out: {', '.join(labels[:5])} ..."]


def _percent(value: float | None) -> str:
    return "not known" if value is None else f"{value:+.1f}%"
