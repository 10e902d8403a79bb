"""Measured operator calls as one table."""

import dataclasses as dc

import numpy as np
from jaxtyping import Bool, Float

from carbjax._errors import ProfileError

OPERATORS = (
    "gemm",
    "prefill_attention",
    "decode_attention",
    "mixed_attention",
    "all_reduce",
    "elementwise",
)


@dc.dataclass(frozen=True)
class Profile:
    """Calls of one operator on one GPU, all arrays `" rows"`, 0 where not applicable.

    Units: s, W, bytes. `power_w` is NaN where it was not measured; `power_weight` in
    [0, 1] says how far a power reading can be trusted (see the reader that set it).
    """

    operator: str
    latency_s: Float[np.ndarray, " rows"]
    num_tokens: Float[np.ndarray, " rows"]  # rows m of a GEMM
    n: Float[np.ndarray, " rows"]
    k: Float[np.ndarray, " rows"]
    bytes_per_weight: Float[np.ndarray, " rows"]
    num_heads: Float[np.ndarray, " rows"]  # per GPU
    num_kv_heads: Float[np.ndarray, " rows"]  # per GPU
    head_dim: Float[np.ndarray, " rows"]
    prefill_pairs: Float[np.ndarray, " rows"]
    prefill_kv: Float[np.ndarray, " rows"]
    decode_tokens: Float[np.ndarray, " rows"]
    decode_kv: Float[np.ndarray, " rows"]
    num_gpus: Float[np.ndarray, " rows"]
    message_bytes: Float[np.ndarray, " rows"]
    power_w: Float[np.ndarray, " rows"]
    power_weight: Float[np.ndarray, " rows"]

    @staticmethod
    def of(operator: str, latency_s: Float[np.ndarray, " rows"], **columns) -> "Profile":
        """A profile from the columns that apply. Raises `ProfileError` on bad rows."""
        latency_s = np.asarray(latency_s, dtype=np.float64)
        if operator not in OPERATORS:
            raise ProfileError(
                f"unknown operator {operator!r}.", hint=f"Known: {OPERATORS}."
            )
        bad = np.flatnonzero(~(np.isfinite(latency_s) & (latency_s > 0)))
        if len(bad):
            raise ProfileError(
                f"latency of {operator} row {bad[0]} is {latency_s[bad[0]]}.",
                hint="Latencies are positive seconds.",
            )
        empty = {
            f.name: np.zeros(len(latency_s))
            for f in dc.fields(Profile)
            if f.name not in ("operator", "latency_s")
        }
        empty["power_w"] = np.full(len(latency_s), np.nan)
        given = {name: np.asarray(v, dtype=np.float64) for name, v in columns.items()}
        return Profile(operator, latency_s, **(empty | given))

    def __len__(self) -> int:
        return len(self.latency_s)

    def select(self, rows: Bool[np.ndarray, " rows"]) -> "Profile":
        """These rows alone."""
        arrays = {
            f.name: getattr(self, f.name)[rows]
            for f in dc.fields(self)
            if f.name != "operator"
        }
        return Profile(self.operator, **arrays)

    @property
    def weight_bytes(self) -> Float[np.ndarray, " rows"]:
        """Bytes of the weights of a GEMM."""
        return self.bytes_per_weight * self.n * self.k

    @property
    def gemm_bytes(self) -> Float[np.ndarray, " rows"]:
        return self.weight_bytes + 2.0 * self.num_tokens * (self.n + self.k)

    @property
    def gemm_flops(self) -> Float[np.ndarray, " rows"]:
        return 2.0 * self.num_tokens * self.n * self.k

    @property
    def prefill_flops(self) -> Float[np.ndarray, " rows"]:
        return 4.0 * self.num_heads * self.head_dim * self.prefill_pairs

    @property
    def prefill_bytes(self) -> Float[np.ndarray, " rows"]:
        """Bytes of keys, values, queries and outputs, all counted on `prefill_kv`."""
        heads = self.num_kv_heads + self.num_heads
        return 4.0 * heads * self.head_dim * self.prefill_kv

    @property
    def decode_bytes(self) -> Float[np.ndarray, " rows"]:
        """Bytes of the bf16 key-value cache that is read."""
        return 4.0 * self.num_kv_heads * self.head_dim * self.decode_kv

    @property
    def decode_flops(self) -> Float[np.ndarray, " rows"]:
        return 4.0 * self.num_heads * self.head_dim * self.decode_kv

    @property
    def decode_rows(self) -> Float[np.ndarray, " rows"]:
        """Requests times key-value heads: the independent pieces of work."""
        return self.num_kv_heads * self.decode_tokens


def concatenate(*profiles: Profile) -> Profile:
    """The rows of several profiles of one operator."""
    columns = {
        f.name: np.concatenate([getattr(p, f.name) for p in profiles])
        for f in dc.fields(Profile)
        if f.name != "operator"
    }
    return Profile(profiles[0].operator, **columns)
