"""A whole plan: compiled first, then measured in its order."""

import contextlib
from collections.abc import Iterator, Sequence

import jax

from carbjax._errors import ConfigError, ProfileError
from carbjax._profiler.estimate import Rates, call_seconds
from carbjax._profiler.gpu import AbstractGpu
from carbjax._profiler.loads import Load, load_of
from carbjax._profiler.loop import Program, compiled
from carbjax._profiler.measure import Measurement, keys_of, measure
from carbjax._profiler.meter import Meter
from carbjax._profiler.plan import Plan
from carbjax._profiler.point import Point
from carbjax._profiler.protocol import Protocol
from carbjax._profiler.shape import LayerShape
from carbjax._progress import report

_HALF_DUTY_LAUNCH_S = 3e-3
_MOST_TRIPS = 10**6
_ATTENTION = ("prefill", "decode", "layer")
_LEAST_RISE = 1.1


def measure_plan(
    plan: Plan, gpu: AbstractGpu | None, rates: Rates, protocol: Protocol
) -> list[Measurement]:
    """What was seen at each point of the plan, in its order; without a GPU, times alone.

    Raises `ConfigError` where the device has too little memory after all, and
    `ProfileError` where the meter saw nothing of the load.
    """
    with _out_of_memory():
        programs = _compile_all(plan, rates, protocol)
        measured = _measure_all(plan, programs, gpu, protocol)
    if gpu is not None:
        _require_load_seen(measured)
    return measured


def _measure_all(
    plan: Plan,
    programs: dict[str, tuple[Program, str]],
    gpu: AbstractGpu | None,
    protocol: Protocol,
) -> list[Measurement]:
    keys = keys_of(plan.points, protocol.seed)
    measured = []
    with _metered(gpu, protocol) as meter:
        for done, (point, key) in enumerate(zip(plan.points, keys, strict=True)):
            report(f"measuring {point.label}", done, len(plan))
            program, implementation = programs.get(point.label, (None, "xla"))
            seen = measure(
                point, program, meter, protocol, key=key, implementation=implementation
            )
            measured.append(seen)
    return measured


def _compile_all(
    plan: Plan, rates: Rates, protocol: Protocol
) -> dict[str, tuple[Program, str]]:
    """The program of each label, and the attention that it uses.

    All before the first measurement: autotuning runs kernels, and must not run beside one.
    """
    points = {p.label: p for p in plan.points if p.kind != "idle"}
    programs = {}
    for done, (label, point) in enumerate(points.items()):
        report(f"compiling {label}", done, len(points))
        programs[label] = _compile(point, plan.shape, rates, protocol)
    return programs


def _compile(
    point: Point, shape: LayerShape, rates: Rates, protocol: Protocol
) -> tuple[Program, str]:
    if point.kind in _ATTENTION and jax.default_backend() == "gpu":
        # cuDNN refuses some head sizes, and what it refuses depends on its version.
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            load = load_of(point, shape, "cudnn")
            return compiled(load, _trips(point, shape, rates, protocol, load)), "cudnn"
    load = load_of(point, shape, "xla")
    return compiled(load, _trips(point, shape, rates, protocol, load)), "xla"


def _trips(
    point: Point, shape: LayerShape, rates: Rates, protocol: Protocol, load: Load
) -> int:
    half_duty = point.kind == "gemm_half_duty"
    launch = min(protocol.launch, _HALF_DUTY_LAUNCH_S) if half_duty else protocol.launch
    turn = load.replicas * call_seconds(point, shape, rates)
    return min(max(round(launch / turn), 1), _MOST_TRIPS)


@contextlib.contextmanager
def _metered(gpu: AbstractGpu | None, protocol: Protocol) -> Iterator[Meter | None]:
    if gpu is None:
        yield None
        return
    with Meter(gpu, protocol.sample) as meter:
        yield meter


@contextlib.contextmanager
def _out_of_memory() -> Iterator[None]:
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ConfigError(
            "the device ran out of memory while a point was prepared or measured.",
            hint="Leave out the largest points with `--memory-gb`, or split heads over "
            "more GPUs with `--tensor-parallel`.",
        ) from error


def _require_load_seen(measured: Sequence[Measurement]) -> None:
    """A meter of another GPU would show idle power throughout."""
    idle = [m.slope.power_w for m in measured if m.point.kind == "idle"]
    busy = [m.slope.power_w for m in measured if m.point.kind != "idle"]
    known_idle = [power for power in idle if power == power]
    known_busy = [power for power in busy if power == power]
    if busy and not known_busy:
        raise ProfileError(
            "the energy counter did not move often enough to tell any power.",
            hint="Measure latencies alone with `--time-only`.",
        )
    if known_idle and known_busy and max(known_busy) < _LEAST_RISE * min(known_idle):
        raise ProfileError(
            f"no load drew more than the {min(known_idle):.0f} W of the idle GPU: the "
            "meter watches another GPU than JAX uses.",
            hint="Set CUDA_DEVICE_ORDER=PCI_BUS_ID, and CUDA_VISIBLE_DEVICES to one GPU.",
        )
