"""Reader of carbjax's own format of profiles, CSV or Parquet (see docs/profiler.md)."""

import json

import numpy as np
import pyarrow.parquet as pq

from carbjax._profiles.gathering import (
    gathered,
    measurements,
    names,
    require_columns,
)
from carbjax._profiles.kind import Context, Kind
from carbjax._profiles.profile import (
    COLUMNS,
    DERIVED,
    OPERATORS,
    TEXT_COLUMNS,
    UNKNOWN_IS_NAN,
    Profile,
)
from carbjax._profiles.units import SECOND
from carbjax._profiles.writing import AVERAGED_KEY, QUARANTINE_KEY
from carbjax._traces.table import Table

FORM = "carbjax"
_REQUIRED = ("operator", "latency_s")
_HEADS = ("num_heads", "num_kv_heads", "head_dim")
_PREFILL = ("num_tokens", "prefill_pairs", "prefill_kv", *_HEADS)
_DECODE = ("num_tokens", "decode_tokens", "decode_kv", *_HEADS)
SIZES = {
    "gemm": ("num_tokens", "n", "k"),
    "prefill_attention": _PREFILL,
    "decode_attention": _DECODE,
    "mixed_attention": tuple(dict.fromkeys(_PREFILL + _DECODE)),
    "all_reduce": ("num_gpus", "message_bytes"),
    "elementwise": ("num_tokens", "message_bytes"),
    "sampler": ("num_tokens", "message_bytes"),
    "moe": (
        "num_tokens",
        "hidden_size",
        "intermediate_size",
        "num_experts",
        "experts_per_token",
    ),
    "layer": ("num_tokens",),
    "idle": (),
}
"""The sizes that a row of each operator cannot do without."""
_PARQUET = b"PAR1"
_MILLIJOULES = 30.0  # times the power that energy over time may be, before it is refused
_MOST_POWER = 5000.0  # W of one GPU


def _own(table: Table, context: Context) -> Profile:
    require_columns(table, _REQUIRED, "carbjax")
    table.require(_REQUIRED, tuple(c for c in COLUMNS if c not in _REQUIRED))
    operator = names(table, "operator")
    _refuse_unknown_operators(table, operator)
    _require_sizes(table, operator)
    columns = _columns(table)
    _refuse_milliwatts(table, columns)
    _refuse_millijoules(table, columns)
    profile = gathered(table, FORM).profile(operator, "latency_s", SECOND, **columns)
    return _with_counts(profile, table)


def _columns(table: Table) -> dict[str, np.ndarray]:
    """The columns that the file has; without a value a size is 0, a weight 1.

    What follows from other columns is NaN there: `Profile.of` fills it in.
    """
    columns: dict[str, np.ndarray] = {}
    for name in table.columns:
        if name in _REQUIRED:
            continue
        if name in TEXT_COLUMNS:
            columns[name] = _text(table, name)
        elif name in UNKNOWN_IS_NAN or name in DERIVED:
            columns[name] = measurements(table, name)
        else:
            absent = 1.0 if name == "weight" else 0.0
            columns[name] = np.nan_to_num(measurements(table, name), nan=absent)
    if "energy_j" in columns:
        drawn = _drawn_w(table, columns)
        given = columns.get("power_w", drawn)
        columns["power_w"] = np.where(np.isnan(given), drawn, given)
    if "power_w" in columns:
        known = np.isfinite(columns["power_w"]).astype(float)
        columns.setdefault("power_weight", known)
    return columns


def _text(table: Table, name: str) -> np.ndarray:
    values = table.columns[name].to_pylist()
    return np.array(["" if v is None else str(v) for v in values], dtype=str)


def _refuse_unknown_operators(table: Table, operator: np.ndarray) -> None:
    unknown = np.flatnonzero(~np.isin(operator, OPERATORS))
    if len(unknown):
        raise table.fail(
            f"unknown operator {str(operator[unknown[0]])!r}.",
            int(unknown[0]),
            "operator",
            hint=f"Known: {', '.join(OPERATORS)}.",
        )


def _require_sizes(table: Table, operator: np.ndarray) -> None:
    present = [name for name in OPERATORS if (operator == name).any()]
    needed = dict.fromkeys(size for name in present for size in SIZES[name])
    require_columns(table, needed, f"carbjax with {', '.join(present)}")
    for size in needed:
        users = [name for name in present if size in SIZES[name]]
        absent = np.isin(operator, users) & np.isnan(measurements(table, size))
        if absent.any():
            record = int(np.flatnonzero(absent)[0])
            raise table.fail(
                f"a row of {operator[record]} needs it, and there is no value.",
                record,
                size,
                hint="Fill it in.",
            )


def _refuse_milliwatts(table: Table, columns: dict[str, np.ndarray]) -> None:
    """Nothing, or the error that a power is beyond what a GPU can draw."""
    for name in ("power_w", "power_limit_w"):
        if name in table.columns and (columns[name] > _MOST_POWER).any():
            record = int(np.flatnonzero(columns[name] > _MOST_POWER)[0])
            raise table.fail(
                f"{table.shown(name, record)} W is more than a GPU draws; is it in mW?",
                record,
                name,
                hint="Give W.",
            )


def _drawn_w(table: Table, columns: dict[str, np.ndarray]) -> np.ndarray:
    """W, from energies and latencies; NaN where one of them is not known."""
    latency = measurements(table, "latency_s")
    return columns["energy_j"] / np.where(latency > 0, latency, np.nan)


def _refuse_millijoules(table: Table, columns: dict[str, np.ndarray]) -> None:
    """Nothing, or the error that energies are too large for powers and times."""
    if "energy_j" not in columns:
        return
    drawn, power = _drawn_w(table, columns), columns["power_w"]
    off = (
        (drawn > _MOST_POWER)
        | (drawn > _MILLIJOULES * power)
        | (drawn < power / _MILLIJOULES)
    )
    if off.any():
        record = int(np.flatnonzero(off)[0])
        raise table.fail(
            f"the energy over the latency is {drawn[record]:.3g} W; is it in mJ, or the "
            "latency in another unit?",
            record,
            "energy_j",
            hint="Give J and s of one call.",
        )


def _with_counts(profile: Profile, table: Table) -> Profile:
    """The profile with the counts that a Parquet file carries from its first reading."""
    with open(table.file, "rb") as file:
        if file.read(len(_PARQUET)) != _PARQUET:
            return profile
    kept = pq.read_schema(table.file).metadata or {}
    counts = json.loads(kept.get(QUARANTINE_KEY, b"{}"))
    return profile.leaving_out(counts, averaged=int(kept.get(AVERAGED_KEY, b"0")))


KINDS = (Kind(FORM, "profile", _REQUIRED, _own),)
