"""Attention kernels of one layer and what they cost each other in one batch."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from carbjax._surrogate.smooth import smooth_max


class Attention(eqx.Module):
    """An attention kernel: launch + sqrt((a x)^2 + (b y)^2), of degree 1 past its launch.

    Prefill: x are query-key pairs (their FLOPs), y the key-value tokens read (bytes, and
    the work lost in part-filled tiles, which is why `second` exceeds the bandwidth's
    share). Decode: x are the key-value tokens read (bytes), y the requests.
    """

    launch: float  # s
    first: float  # s per FLOP (prefill) or byte (decode)
    second: float  # s per byte (prefill) or per request and key-value head (decode)

    def latency(
        self, x: Float[Array, "*batch"], y: Float[Array, "*batch"]
    ) -> Float[Array, "*batch"]:
        """Seconds of one layer, given FLOPs and bytes, or bytes and requests x heads."""
        return self.launch + smooth_max(self.first * x, self.second * y)


class Interaction(eqx.Module):
    """What decode costs more, in multiples of itself, where prefill shares its kernel.

    `J s P / (s P + J)` with P the prefill time, J = per_kv (decode time of the bytes) +
    per_request (decode time of the requests), s = `sharpness`. Of degree 1, 0 where
    either is absent, increasing in both, and J once prefill is not negligible.
    """

    per_kv: float
    per_request: float
    sharpness: float

    def latency(
        self,
        prefill: Float[Array, "*batch"],
        kv: Float[Array, "*batch"],
        requests: Float[Array, "*batch"],
    ) -> Float[Array, "*batch"]:
        """Extra seconds, from the seconds past launch of prefill, bytes and requests."""
        extra = self.per_kv * kv + self.per_request * requests
        ready = self.sharpness * prefill
        total = ready + extra
        return extra * ready / jnp.where(total > 0, total, jnp.ones_like(total))
