"""A folder as `carbjax evaluate` leaves it, with numbers made up by a seed."""

import json
import math
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

EVIL = "<script>alert(1)</script>"
LONG = "a_method_with_a_name_that_nobody_would_choose_but_somebody_will_v2_final"
REFUSED = "raises_always"
DISTANCES = {
    "shapley": 0.0,
    "streaming": 0.012,
    "retimed": 0.013,
    "sampled": 0.02,
    "iteration_tokens": 0.06,
    "utilization": 0.15,
    "tokens": 0.41,
    "time": 0.55,
    LONG: 0.6,
    EVIL: 0.8,
    "leave_one_out": 0.9,
}
METHODS = (*DISTANCES, REFUSED)
AXIOMS = ("null_player", "symmetry", "efficiency", "closure", "linearity_phases")
AXES = {"C": 1, "I": 8, "t": 2048, "R": 8}
WORKLOADS = 20

_TYPES = pa.schema(
    [(c, pa.string()) for c in ("criterion", "method", "quantity", "unit", "group")]
    + [("workload", pa.int32())]
    + [(c, pa.float64()) for c in ("value", "lower", "upper", "level")]
    + [("num_values", pa.int64()), ("status", pa.string()), ("reason", pa.string())]
)


def row(criterion: str, method: str, quantity: str, value: float | None, **extra) -> dict:
    """One number; bounds are given as a factor `within` of it."""
    within = extra.pop("within", None)
    bounds: tuple = (None, None)
    if within is not None and value is not None:
        bounds = (value - within * abs(value), value + within * abs(value))
    plain = {
        **{"criterion": criterion, "method": method, "quantity": quantity, "unit": ""},
        **{"group": None, "workload": None, "value": value, "num_values": WORKLOADS},
        **{
            "lower": bounds[0],
            "upper": bounds[1],
            "level": None if within is None else 0.95,
        },
        **{"status": "ok", "reason": None},
    }
    return {**plain, **extra}


def rows() -> list[dict]:
    """Numbers of all criteria, some of them unknown, refused or infinite."""
    rng = np.random.default_rng(0)
    found = []
    for name, distance in DISTANCES.items():
        found += _fairness(name, distance, rng) + _axioms(name, distance)
        found += _cost(name) + _incentives(name, distance)
    for criterion in (
        "fairness",
        "axioms",
        "scalability",
        "sample_efficiency",
        "incentives",
    ):
        reason = f"it raises ValueError('{EVIL}')"
        found.append(row(criterion, REFUSED, "", None, status="refused", reason=reason))
    return found


def _fairness(name: str, distance: float, rng: np.random.Generator) -> list[dict]:
    each = distance * rng.lognormal(0, 0.5, WORKLOADS)
    each[3] = np.nan
    single = [row("fairness", name, "relative", v, workload=i) for i, v in enumerate(each)]
    return [
        row("fairness", name, "relative", distance, within=0.2),
        row("fairness", name, "absolute_g", 3 * distance, unit="gCO2e", within=0.2),
        row("fairness", name, "kendall_tau", 1 - distance, within=0.05),
        row("fairness", name, "odd_quantity", distance**2, unit="g2"),
        *single,
    ]


def _axioms(name: str, distance: float) -> list[dict]:
    broken = distance > 0.3
    gaps = [distance * (i + 1) * 0.01 if broken and i != 1 else 1e-16 for i in range(5)]
    found = [
        row("axioms", name, "violation_g", gap, unit="gCO2e", group=axiom)
        for axiom, gap in zip(AXIOMS, gaps, strict=True)
    ]
    found[4]["value"] = None if name == "time" else found[4]["value"]
    return found


def _cost(name: str) -> list[dict]:
    exponential = name == "shapley"
    found = []
    for i, axis in enumerate(AXES):
        grows = exponential and axis == "C"
        exponent = 5.0 if grows else 0.3 * i + 0.2
        found += [
            row("scalability", name, "exponent", exponent, group=axis, within=0.1),
            row("scalability", name, "polynomial", float(not grows), group=axis),
            row("scalability", name, "compile_s", 1.5, unit="s", group=axis),
        ]
    for eps, most in (("5%", 200), ("1%", math.inf)):
        number = {"shapley": 4096.0, "sampled": most, "streaming": 0.0}.get(name)
        extra: dict[str, Any] = {"unit": "evaluations", "group": eps}
        if number is None:
            extra |= {"status": "not_applicable", "reason": "it never comes so near"}
        elif 0 < number < math.inf:
            extra["within"] = 0.3
        found.append(row("sample_efficiency", name, "N_eps", number, **extra))
    return found


def _incentives(name: str, distance: float) -> list[dict]:
    return [
        row("incentives", name, "R_prompt", 0.1 + distance / 3, within=0.3),
        row("incentives", name, "R_decode", 0.45 - distance, within=0.3),
        row("incentives", name, "R_decode", 0.4 - distance, group="load 2"),
        row("incentives", name, "padding_g", math.nan, unit="gCO2e"),
    ]


def curves() -> list[dict]:
    """Rewards against length, one of them unknown."""
    return [
        {
            **{"method": name, "part": part, "tokens": float(tokens)},
            **{"reward": reward, "lower": reward - 0.05, "upper": reward + 0.05},
        }
        for name, distance in DISTANCES.items()
        for part, steep in (("prompt", 0.05), ("decode", 0.1))
        for tokens in (16, 64, 256, 1024, 4096)
        for reward in [steep * math.log2(tokens) - 1.6 * distance * (part == "decode")]
        if not (name == "time" and tokens == 64)
    ] + [_unknown_reward()]


def _unknown_reward() -> dict:
    nothing = dict.fromkeys(("reward", "lower", "upper"))
    return {"method": "time", "part": "prompt", "tokens": 64.0, **nothing}


def scaling() -> list[dict]:
    """Seconds by size; memory is unknown on the smallest."""
    return [
        {
            **{"method": name, "axis": axis, "size": least * 2**k},
            **{"seconds": 1e-3 * 2 ** (k * (0.3 * i + 0.2)), "compile_s": 1.0},
            "peak_bytes": None if k == 0 else 1000 * 2**k,
        }
        for name in DISTANCES
        for i, (axis, least) in enumerate(AXES.items())
        for k in range(8)
    ]


def examples() -> list[dict]:
    workload = {
        "arrival_s": [0.0, 0.25],
        "num_prefill_tokens": [3, 1],
        "num_decode_tokens": [0, 2],
        "player": [0, 1],
    }
    return [
        {
            **{"method": r["method"], "axiom": r["group"], "violation_g": r["value"]},
            **{"text": f"request 0 pays for {EVIL}", "workload": workload},
        }
        for r in rows()
        if r["quantity"] == "violation_g" and r["value"] is not None and r["value"] > 1e-9
    ]


def about() -> dict:
    return {
        "format": 1,
        "finished_at": "2026-01-02T03:04:05+00:00",
        "versions": dict.fromkeys(("carbjax", "jax", "jaxlib", "numpy", "python"), "1.2.3"),
        "device": "cpu:0",
        "seed": 7,
        "configuration": {"fairness": {"eps": [0.05, 0.01]}, "note": EVIL},
        "system": "llama-3.1-8b on h200-sxm, chunked_prefill",
        "workloads": [
            {
                **{"index": i, "num_requests": 12, "load": 2.0},
                "description": '"><img src=x onerror=alert(1)>',
            }
            for i in range(WORKLOADS)
        ],
        "criteria": ["fairness", "axioms", "scalability"],
        "methods": [
            {
                **{"name": name, "claims": ["efficiency"], "source": "registry"},
                "docstring": f"Shares by {name}.",
            }
            for name in METHODS
        ],
        "flags": ["workload 3: C(p) = 0, no reward", f"a flag of {EVIL}"],
        "seconds": {"fairness": 12.5, "axioms": 3.25},
    }


def write(folder: pathlib.Path, numbers: list[dict] | None = None) -> pathlib.Path:
    """The folder, with every file of the format."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows() if numbers is None else numbers, schema=_TYPES)
    pq.write_table(table, folder / "results.parquet")
    pq.write_table(pa.Table.from_pylist(curves()), folder / "curves.parquet")
    pq.write_table(pa.Table.from_pylist(scaling()), folder / "scaling.parquet")
    (folder / "examples.json").write_text(json.dumps(examples()))
    (folder / "evaluation.json").write_text(json.dumps(about()))
    return folder
