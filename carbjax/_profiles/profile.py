"""Measured operator calls as one table."""

import dataclasses as dc
import os
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float, Shaped

from carbjax._errors import ProfileError
from carbjax._profiles.writing import write_csv, write_parquet

OPERATORS = (
    "gemm",
    "prefill_attention",
    "decode_attention",
    "mixed_attention",
    "all_reduce",
    "elementwise",
    "sampler",
    "moe",
    "layer",
    "idle",
)
ATTENTION = ("prefill_attention", "decode_attention", "mixed_attention")
_BFLOAT16_BYTES = 2.0

Floats = Float[np.ndarray, " rows"]
Names = Shaped[np.ndarray, " rows"]


@dc.dataclass(frozen=True)
class Profile:
    """Calls of operators on one GPU, a row each; all columns are arrays `" rows"`.

    Units: s, J, W, bytes, Hz, degrees Celsius. What was not measured is NaN (energy,
    power, its limit, clock, temperature); a size that an operator does not have is 0
    (the tokens of a prefill call that decode), as the sum over no requests is.

    `weight` is how much a latency counts in a fit: 1, or 0 where the call does not
    stand for one in a model (see the reader). `power_weight` in [0, 1] is how far the
    power can be trusted. `quarantined` counts, by reason, the rows of the files, or
    their power readings, that are not in the table; `averaged` the repeats that became
    one row with another. Both are of the whole reading, whatever rows are selected.
    """

    operator: Names  # one of OPERATORS
    label: Names  # a free name, such as mlp_up_proj
    source: Names  # format and file
    device: Names  # as the file says, "" where it does not
    precision: Names  # of weights and activations, such as bfloat16; "" unknown
    latency_s: Floats
    weight: Floats
    energy_j: Floats
    power_w: Floats
    power_limit_w: Floats
    power_weight: Floats
    num_tokens: Floats  # rows m of a GEMM; new tokens of an attention call
    n: Floats  # columns of a GEMM; logits a row of a sampler
    k: Floats  # depth of a GEMM
    bytes_per_weight: Floats
    num_heads: Floats  # per GPU
    num_kv_heads: Floats  # per GPU
    head_dim: Floats
    bytes_per_kv_element: Floats
    prefill_tokens: Floats  # new tokens of chunks
    prefill_pairs: Floats
    prefill_kv: Floats
    decode_tokens: Floats
    decode_kv: Floats
    decode_kv_sq: Floats
    num_gpus: Floats  # that take part in a collective
    message_bytes: Floats  # of an all-reduce; moved by an elementwise call or a sampler
    hidden_size: Floats  # of a mixture of experts, as the four below
    intermediate_size: Floats  # of one expert, per GPU
    num_experts: Floats  # on all GPUs
    experts_per_token: Floats
    expert_parallel: Floats
    tensor_parallel: Floats  # degree that cut the sizes; 0 unknown
    sm_clock_hz: Floats
    temperature_c: Floats
    quarantined: Mapping[str, int] = dc.field(default_factory=dict)
    averaged: int = 0

    @staticmethod
    def of(
        operator: str | Names,
        latency_s: Floats,
        *,
        quarantined: Mapping[str, int] | None = None,
        averaged: int = 0,
        **columns,
    ) -> "Profile":
        """A profile from the columns that apply, each an array or one value for all rows.

        The rest is filled in: energy from power and power from energy; `power_weight` 1
        where power is known; new prefill tokens from `num_tokens - decode_tokens`; even
        contexts, `decode_kv_sq = decode_kv² / decode_tokens`; bf16 weights and caches;
        experts on one GPU.

        Raises `ProfileError` for an operator or a column that is not known, and for a
        latency that is not positive.
        """
        latency_s = np.asarray(latency_s, dtype=np.float64)
        _refuse_unknown(operator, columns)
        _refuse_bad_latency(operator, latency_s)
        filled = _filled(np.asarray(operator), latency_s, columns)
        return Profile(**filled, quarantined=dict(quarantined or {}), averaged=averaged)

    def __len__(self) -> int:
        return len(self.latency_s)

    def columns(self) -> dict[str, np.ndarray]:
        """Every column by its name."""
        return {name: getattr(self, name) for name in COLUMNS}

    def select(self, rows: Bool[np.ndarray, " rows"]) -> "Profile":
        """These rows alone."""
        return dc.replace(self, **{c: v[rows] for c, v in self.columns().items()})

    def of_operator(self, *operators: str) -> "Profile":
        """The rows of these operators, none where there are none."""
        _refuse_unknown(np.array(operators), {})
        return self.select(np.isin(self.operator, operators))

    def leaving_out(self, counts: Mapping[str, int], averaged: int = 0) -> "Profile":
        """The same rows; more were left out, by reason, and averaged."""
        total = dict(Counter(self.quarantined) + Counter(counts))
        return dc.replace(self, quarantined=total, averaged=self.averaged + averaged)

    def summary(self) -> str:
        """Rows by operator and source, and what was left out or averaged, as text."""
        lines = [f"{len(self)} rows"]
        kinds = Counter(zip(self.operator.tolist(), self.source.tolist(), strict=True))
        for (operator, source), count in sorted(kinds.items()):
            rows = (self.operator == operator) & (self.source == source)
            lines.append(
                f"  {count:7} {operator}, {source or 'no source'}{_span(self, rows)}"
            )
        lines += [f"  {n:7} left out: {reason}" for reason, n in self.quarantined.items()]
        if (self.weight == 0).any():
            lines.append(f"  {(self.weight == 0).sum():7} rows have weight 0")
        if self.averaged:
            lines.append(f"  {self.averaged:7} repeats averaged into another row")
        return "\n".join(lines)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes carbjax's own format, which `read_profile` reads back.

        The file is there whole or not at all. Raises `OutputError`.
        """
        write_csv(path, self.columns())

    def to_parquet(
        self,
        path: str | os.PathLike[str],
        metadata: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        """The same as Parquet, with what was left out and averaged, and `metadata`.

        The file is there whole or not at all. Raises `OutputError`.
        """
        write_parquet(path, self.columns(), self.quarantined, self.averaged, metadata)

    @property
    def weight_bytes(self) -> Floats:
        """Bytes of the weights of a GEMM."""
        return self.bytes_per_weight * self.n * self.k

    @property
    def gemm_bytes(self) -> Floats:
        """Bytes of weights, operands and results of a GEMM."""
        return self.weight_bytes + 2.0 * self.num_tokens * (self.n + self.k)

    @property
    def gemm_flops(self) -> Floats:
        """FLOPs of a GEMM."""
        return 2.0 * self.num_tokens * self.n * self.k

    @property
    def prefill_flops(self) -> Floats:
        """FLOPs of the attention of chunks, two products a query-key pair."""
        return 4.0 * self.num_heads * self.head_dim * self.prefill_pairs

    @property
    def prefill_bytes(self) -> Floats:
        """Bytes of keys, values, queries and outputs, all counted on `prefill_kv`."""
        heads = self.num_kv_heads + self.num_heads
        return 4.0 * heads * self.head_dim * self.prefill_kv

    @property
    def decode_bytes(self) -> Floats:
        """Bytes of the key-value cache that is read."""
        per_token = 2.0 * self.bytes_per_kv_element * self.num_kv_heads * self.head_dim
        return per_token * self.decode_kv

    @property
    def decode_flops(self) -> Floats:
        """FLOPs of the attention of decodes."""
        return 4.0 * self.num_heads * self.head_dim * self.decode_kv


COLUMNS = tuple(
    f.name for f in dc.fields(Profile) if f.name not in ("quarantined", "averaged")
)
TEXT_COLUMNS = ("operator", "label", "source", "device", "precision")
UNKNOWN_IS_NAN = ("energy_j", "power_w", "power_limit_w", "sm_clock_hz", "temperature_c")
DERIVED = (
    "bytes_per_weight",
    "bytes_per_kv_element",
    "expert_parallel",
    "prefill_tokens",
    "decode_kv_sq",
)
"""Sizes that follow from other columns where they are not given."""
MEASURED = ("latency_s", "energy_j", "power_w", "sm_clock_hz", "temperature_c")


def concatenate(*profiles: Profile) -> Profile:
    """The rows of several profiles; what was left out and averaged is added up."""
    if not profiles:
        raise ProfileError("there is no profile to concatenate.", hint="Give at least one.")
    columns = {c: np.concatenate([getattr(p, c) for p in profiles]) for c in COLUMNS}
    reasons: Counter[str] = Counter()
    for profile in profiles:
        reasons.update(profile.quarantined)
    averaged = sum(p.averaged for p in profiles)
    return Profile(**columns, quarantined=dict(reasons), averaged=averaged)


def _refuse_unknown(operator: str | Names, columns) -> None:
    unknown = sorted(set(np.unique(operator).tolist()) - set(OPERATORS))
    if unknown:
        raise ProfileError(
            f"unknown operator {unknown[0]!r}.", hint=f"Known: {', '.join(OPERATORS)}."
        )
    strange = sorted(set(columns) - set(COLUMNS))
    if strange:
        raise ProfileError(
            f"unknown column {strange[0]!r}.", hint=f"Known: {', '.join(COLUMNS)}."
        )


def _refuse_bad_latency(operator: str | Names, latency_s: Floats) -> None:
    bad = np.flatnonzero(~(np.isfinite(latency_s) & (latency_s > 0)))
    if len(bad):
        name = np.broadcast_to(operator, latency_s.shape)[bad[0]]
        raise ProfileError(
            f"latency of {name} row {bad[0]} is {latency_s[bad[0]]}.",
            hint="Latencies are positive seconds.",
        )


def _filled(operator: Names, latency_s: Floats, columns) -> dict[str, np.ndarray]:
    given = {name: value for name, value in columns.items() if value is not None}
    blank: dict[str, object] = {name: 0.0 for name in COLUMNS}
    blank |= {name: np.nan for name in UNKNOWN_IS_NAN} | {name: "" for name in TEXT_COLUMNS}
    given = blank | {"operator": operator, "label": operator, "weight": 1.0} | given
    table = {
        name: _column(value, str if name in TEXT_COLUMNS else np.float64, len(latency_s))
        for name, value in given.items()
    }
    table["latency_s"] = latency_s
    derived = _derived(table)
    return table | {
        name: np.where(np.isnan(table[name]), value, table[name])
        if name in columns
        else value
        for name, value in derived.items()
    }


def _column(value: object, kind: type, rows: int) -> np.ndarray:
    array = np.asarray(value).astype(kind)
    return np.array(np.broadcast_to(array, rows)) if array.ndim == 0 else array


def _derived(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What follows from other columns, for those that were not given."""
    latency, decode = table["latency_s"], table["decode_tokens"]
    attention = np.isin(table["operator"], ATTENTION)
    weighted = np.isin(table["operator"], ("gemm", "moe"))
    known = np.isfinite(table["power_w"]) | np.isfinite(table["energy_j"])
    even = table["decode_kv"] ** 2 / np.where(decode > 0, decode, 1.0)
    return {
        "energy_j": latency * table["power_w"],
        "power_w": table["energy_j"] / latency,
        "power_weight": known.astype(np.float64),
        "bytes_per_weight": np.where(weighted, _BFLOAT16_BYTES, 0.0),
        "bytes_per_kv_element": np.where(attention, _BFLOAT16_BYTES, 0.0),
        "expert_parallel": np.where(table["operator"] == "moe", 1.0, 0.0),
        "prefill_tokens": np.where(attention, table["num_tokens"] - decode, 0.0),
        "decode_kv_sq": np.where(attention, even, 0.0),
    }


def _span(profile: Profile, rows: Bool[np.ndarray, " rows"]) -> str:
    latency, known = profile.latency_s[rows], np.isfinite(profile.power_w[rows])
    power = f", power of {known.sum()}" if known.any() else ""
    return f": {latency.min():.2g} to {latency.max():.2g} s{power}"
