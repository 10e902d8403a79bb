"""Operators of a transformer on one GPU: from their dimensions to their cost.

Every coefficient is a fitted number: `fit.py` finds, `parameter_files.py` reads them.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.roofline import Roofline
from carbjax._surrogate.smooth import smooth_max

BYTES_PER_ACTIVATION = 2.0  # bf16


class Gemm(eqx.Module):
    """One surrogate for every matrix product `[m, k] x [k, n]` of a GPU.

    launch + k_latency k + activation_byte activation_bytes
    + sqrt((weight_byte weight_bytes)^2 + (flop FLOPs)^2)
    """

    launch: float  # s
    k_latency: float  # s per unit of k: the serial chain of one output tile
    weight_byte: float  # s a byte of weights
    activation_byte: float  # s a byte of input and output
    flop: float  # s a FLOP

    def roofline(
        self,
        n: Float[ArrayLike, "*shapes"],
        k: Float[ArrayLike, "*shapes"],
        power: PowerModel,
        bytes_per_weight: Float[ArrayLike, "*shapes"] = 2.0,
        count: float = 1.0,
    ) -> Roofline:
        """The cost of `count` products with n columns, as a function of m."""
        weight_bytes = bytes_per_weight * n * k
        item_bytes = BYTES_PER_ACTIVATION * (n + k)
        item_flops = 2.0 * n * k
        return Roofline(
            launch=count * (self.launch + self.k_latency * k),
            item=count * self.activation_byte * item_bytes,
            floor=count * self.weight_byte * weight_bytes,
            rate=count * self.flop * item_flops,
            fixed_energy=count * power.work(weight_bytes, 0.0),
            item_energy=count * power.work(item_bytes, item_flops),
            static_power=power.static_power,
            max_power=power.max_power,
        )


class Streaming(eqx.Module):
    """Elementwise operators and all-reduce: a launch and bytes at a bandwidth."""

    launch: float  # s a kernel
    byte: float  # s a byte

    def roofline(
        self, bytes_per_item: float, power: PowerModel, count: float = 1.0
    ) -> Roofline:
        """The cost of `count` kernels that together move `bytes_per_item` an item."""
        return Roofline(
            launch=count * self.launch,
            item=self.byte * bytes_per_item,
            floor=0.0,
            rate=0.0,
            fixed_energy=0.0,
            item_energy=power.work(bytes_per_item, 0.0),
            static_power=power.static_power,
            max_power=power.max_power,
        )


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


class Host(eqx.Module):
    """Time of an iteration in which the GPU waits for the host.

    `base + per_sequence num_sequences`: scheduling, batch building, detokenising.
    """

    base: float  # s
    per_sequence: float  # s
    power: float  # W, one GPU


class Gaps(eqx.Module):
    """Gaps and small kernels between the profiled ones: `per_layer num_layers`."""

    per_layer: float  # s
    power: float  # W, one GPU


class Sampler(eqx.Module):
    """Choosing tokens from logits, on the GPU: `per_logit vocab_size num_sequences`."""

    per_logit: float  # s
    power: float  # W, one GPU
