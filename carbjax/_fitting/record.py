"""The record of a fit: what `Surrogate.save` writes, and `System.load` reads."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from carbjax._errors import ConfigError, ProfileError
from carbjax._fitting.axes import chunks, contexts
from carbjax._fitting.fit import GpuFacts
from carbjax._fitting.power_fits import transfer_power
from carbjax._fitting.recipes import ALL_REDUCE, MIXED, Module
from carbjax._hardware import ACCELERATORS, Accelerator, accelerator as find_accelerator
from carbjax._profiles.profile import Profile
from carbjax._surrogate.attention_forms import KernelFit, SharedKernel
from carbjax._surrogate.gemm import Gemm
from carbjax._surrogate.moe import Moe
from carbjax._surrogate.parameter_files import available_accelerators, load_record
from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.token_spline import TokenSpline

NEEDED = (
    "gemm",
    "gemm_fp8",
    "prefill_attention",
    "decode_attention",
    "shared_kernel",
    "elementwise",
    "sampler",
    "all_reduce",
    "host",  # no profile of kernels tells host and gaps: serving runs do
    "gaps",
)
POWER_CLASSES = (
    "gemm",
    "prefill_attention",
    "decode_attention",
    "elementwise",
    "all_reduce",
)
UNFITTED = ("layer",)  # it judges the sum of its operators
_DIGITS = 6


def hardware_of(accelerator: str | Accelerator | None, base: str | None) -> Accelerator:
    """The GPU that was measured. Raises `ConfigError` where nobody says which it is."""
    if isinstance(accelerator, Accelerator):
        return accelerator
    name = accelerator or base
    if name is None:
        raise ConfigError(
            "`accelerator` is missing: which GPU was measured?",
            hint=f"Name one of {', '.join(ACCELERATORS)}, or give a cj.Accelerator.",
        )
    return find_accelerator(name)


def hardware_of_record(record: Mapping[str, Any]) -> Accelerator:
    """The GPU of a record: a shipped one, or as it was given to the fit."""
    if "hardware" in record:
        return Accelerator(**record["hardware"])
    return find_accelerator(record["accelerator"])


def gpu_facts(hardware: Accelerator) -> GpuFacts:
    """Datasheet numbers, with which a fit begins."""
    h = hardware
    return GpuFacts(h.name, h.memory_bandwidth, h.peak_flops, 0.0, h.max_power)


def make_record(
    profile: Profile,
    hardware: Accelerator,
    base: str | None,
    found: Mapping[str, Module],
    power: Mapping[str, PowerModel],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """All of a parameter file but its date.

    `found` are fitted modules by operator, `power` fitted power models by class, `about`
    what is known of the fit. What is missing comes from the shipped fit `base`.
    """
    carried = [name for name in NEEDED if name not in fitted_names(found)]
    no_power = [name for name in POWER_CLASSES if name not in power]
    base = require_base([*carried, *(f"power of {name}" for name in no_power)], base)
    other = load_record(base)
    operators = other["operators"] | fitted_operators(found)
    if "sampler" in found:
        per_logit = {"per_logit": found["sampler"].byte}
        operators["sampler"] = other["operators"]["sampler"] | per_logit
    if "elementwise" in found:
        operators["elementwise_kernels"] = {}  # those of `base`, by name
    carried_power = _carried_power(other, base, hardware)
    powers = carried_power | {name: plain(model) for name, model in power.items()}
    if "gemm" in power and "gemm_fp8" in carried_power:
        powers["gemm_fp8"] = _of_fp8(powers["gemm"], carried_power)
    record = {
        "accelerator": hardware.name,
        "sources": _sources(profile, base),
        "validity": other["validity"] | measured_box(profile, fitted_names(found)),
        "idle_power": _idle_power(profile, hardware),
        "active_idle_power": other["active_idle_power"],
        "max_power": _most_of_an_iteration(other, base, hardware),
        "operators": operators,
        "power": powers,
        "calibration": other["calibration"],
        **about,
        "remarks": _remarks(profile, carried, no_power, base, hardware),
    }
    if hardware.name not in ACCELERATORS:
        record["hardware"] = dict(vars(hardware))
    return rounded(record)


def fitted_names(tasks: Collection[str]) -> set[str]:
    """What these tasks fit, in words of the parameter file."""
    names = {"all_reduce" if task.startswith(ALL_REDUCE) else task for task in tasks}
    if MIXED in names:
        names |= {"prefill_attention", "decode_attention", "shared_kernel"}
    return names - {MIXED}


def fitted_operators(found: Mapping[str, Module]) -> dict[str, Any]:
    """The fitted modules as a parameter file holds them, the sampler apart."""
    modules = dict(found)
    if MIXED in modules:
        mixed = modules.pop(MIXED)
        modules |= {"prefill_attention": mixed.prefill, "decode_attention": mixed.decode}
        modules |= {"shared_kernel": mixed.shared}
    links = {name: plain(m) for name, m in modules.items() if name.startswith(ALL_REDUCE)}
    kernels = {k: plain(m) for k, m in modules.items() if k not in (*links, "sampler")}
    if not links:
        return kernels
    degrees = {name.removeprefix(ALL_REDUCE): link for name, link in links.items()}
    return kernels | {"all_reduce": degrees}


def require_base(carried: list[str], base: str | None) -> str:
    """`base`, or the `ProfileError` that lists what nobody gives.

    No profile of kernels gives all: host and gaps are known from serving.
    """
    if base is None:
        raise ProfileError(
            f"the profile cannot tell {', '.join(carried)}.",
            hint="Name the shipped fit to take them from with `base` / `--base`: "
            f"{', '.join(available_accelerators())}.",
        )
    return base


def measured_box(profile: Profile, fitted: Collection[str]) -> dict[str, list[int]]:
    """The sizes that the fitted rows span, by the names of a box of validity."""
    box = {}
    products = profile.of_operator("gemm")
    prefill = profile.select(profile.prefill_tokens > 0)
    decode = profile.select((profile.decode_tokens > 0) & (profile.decode_kv > 0))
    if "gemm" in fitted:
        box["num_tokens"] = _span(products.num_tokens)
        box["gemm_columns_and_depth"] = _span(np.append(products.n, products.k))
    if "prefill_attention" in fitted:
        box["prompt_tokens"] = _span(chunks(prefill))
    if "decode_attention" in fitted:
        box["context_tokens"] = _span(contexts(decode))
        box["num_sequences"] = _span(decode.decode_tokens)
    if "all_reduce" in fitted:
        links = profile.of_operator("all_reduce")
        box["tensor_parallel"] = [1, *np.unique(links.num_gpus).astype(int).tolist()]
    return box


def plain(module: Module) -> dict[str, Any]:
    """The numbers of a module, as a parameter file holds them."""
    if isinstance(module, Gemm | KernelFit | Moe | SharedKernel | TokenSpline):
        return module.to_record()
    return dict(vars(module))


def rounded(value: Any) -> Any:
    """Every float to six digits, so that a file changes only where a fit did."""
    if isinstance(value, Mapping):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _carried_power(other: Mapping, base: str, hardware: Accelerator) -> dict:
    """The power of `base`, as shares of the limit where it is another GPU."""
    if base == hardware.name:
        return other["power"]
    source = gpu_facts(find_accelerator(base))
    return transfer_power(other["power"], source, gpu_facts(hardware))


def _most_of_an_iteration(other: Mapping, base: str, hardware: Accelerator) -> float:
    """W that an iteration draws at most, the share of the limit that it is in `base`."""
    return other["max_power"] * hardware.max_power / find_accelerator(base).max_power


def _of_fp8(gemm: Mapping[str, float], carried: Mapping[str, Any]) -> dict[str, float]:
    """Power of fp8 products: a FLOP costs the share that it does in `base`."""
    share = carried["gemm_fp8"]["flop_energy"] / carried["gemm"]["flop_energy"]
    return {**gemm, "flop_energy": share * gemm["flop_energy"]}


def _idle_power(profile: Profile, hardware: Accelerator) -> float:
    """As measured, else of the datasheet."""
    readings = profile.of_operator("idle").power_w
    measured = readings[np.isfinite(readings)]
    return float(measured.mean()) if len(measured) else hardware.idle_power


def _sources(profile: Profile, base: str) -> dict[str, str]:
    own = {
        name: ", ".join(np.unique(profile.source[profile.operator == name]).tolist())
        for name in np.unique(profile.operator).tolist()
    }
    return own | {"taken over": f"the shipped fit of {base}"}


def _remarks(
    profile: Profile,
    carried: list[str],
    no_power: list[str],
    base: str,
    hardware: Accelerator,
) -> list[str]:
    found = [f"{n} left out: {reason}" for reason, n in profile.quarantined.items()]
    other = "" if base == hardware.name else ", another GPU, in seconds as they are"
    if carried:
        found.append(f"not in the profile, taken from {base}{other}: {', '.join(carried)}")
    share = "" if base == hardware.name else ", as shares of the power limit"
    for name in UNFITTED:
        count = int((profile.operator == name).sum())
        if count:
            found.append(f"{count} rows of {name} are not fitted")
    if no_power:
        found.append(f"power not measured, taken from {base}{share}: {', '.join(no_power)}")
    return found


def _span(values: np.ndarray) -> list[int]:
    return [int(values.min()), int(values.max())]
