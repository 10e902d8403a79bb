"""The expert feed-forward of one layer: which experts a batch touches, what that costs."""

import dataclasses as dc
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from carbjax._errors import ProfileError
from carbjax._surrogate.gemm import BYTES_PER_ACTIVATION

_MATRICES = 3  # gate, up and down
_DIGITS = 6


class Moe(eqx.Module):
    """A mixture of experts on one GPU: routed tokens, two grouped products, the sum.

        touched(T) = E (1 - (1 + c T)^-spread),  with c such that touched(1) = k
        latency(T) = launch + depth_latency (h + e)
                     + touched (expert + weight_byte weight_bytes)
                     + T k (activation_byte activation_bytes + flop FLOPs)          [s]

    T tokens go to k of E experts, of hidden size h and expert size e (on this GPU: the
    model's, over the tensor-parallel degree). Were each token to choose its experts
    evenly, `1 - (1 - k/E)^T` of them would be touched; that is the limit of a large
    `spread`. Popular experts are chosen again and again, so fewer are touched: odds that
    are gamma distributed in the number of tokens that they need give the power above.

    Latency, bytes and FLOPs are increasing and smooth in T >= 0, positive at 0, concave,
    and linear once all experts are touched. The router is a matrix product of its own.
    """

    launch: float  # s, all kernels of the layer
    depth_latency: float  # s a unit of hidden and expert size: the chain of one tile
    expert: float  # s an expert touched
    weight_byte: float  # s a byte of weights of experts touched
    activation_byte: float  # s a byte moved for a routed token
    flop: float  # s a FLOP
    spread: float  # how evenly experts are chosen

    def touched(
        self,
        num_tokens: Float[ArrayLike, "*shapes"],
        num_experts: Float[ArrayLike, "*shapes"],
        experts_per_token: Float[ArrayLike, "*shapes"],
    ) -> Float[Array, "*shapes"]:
        """How many distinct experts a batch is expected to use."""
        missed = 1.0 - jnp.asarray(experts_per_token / num_experts)
        rate = missed ** (-1.0 / self.spread) - 1.0
        unused = (1.0 + rate * num_tokens) ** (-self.spread)
        return jnp.asarray(num_experts * (1.0 - unused))

    def latency(
        self,
        num_tokens: Float[ArrayLike, "*shapes"],
        hidden: Float[ArrayLike, "*shapes"],
        expert_size: Float[ArrayLike, "*shapes"],
        num_experts: Float[ArrayLike, "*shapes"],
        experts_per_token: Float[ArrayLike, "*shapes"],
        bytes_per_weight: Float[ArrayLike, "*shapes"] = 2.0,
    ) -> Float[Array, "*shapes"]:
        """Seconds of one layer, elementwise."""
        touched = self.touched(num_tokens, num_experts, experts_per_token)
        return self.latency_of(
            touched, num_tokens * experts_per_token, hidden, expert_size, bytes_per_weight
        )

    def latency_of(
        self,
        touched: Float[ArrayLike, "*shapes"],
        routed: Float[ArrayLike, "*shapes"],
        hidden: Float[ArrayLike, "*shapes"],
        expert_size: Float[ArrayLike, "*shapes"],
        bytes_per_weight: Float[ArrayLike, "*shapes"] = 2.0,
    ) -> Float[Array, "*shapes"]:
        """Seconds where `touched` experts see `routed` (token, expert) pairs together."""
        weights = bytes_per_weight * _MATRICES * hidden * expert_size
        activations = _activation_bytes(hidden, expert_size)
        flops = _flops(hidden, expert_size)
        return jnp.asarray(
            self.launch
            + self.depth_latency * (hidden + expert_size)
            + touched * (self.expert + self.weight_byte * weights)
            + routed * (self.activation_byte * activations + self.flop * flops)
        )

    def bytes_moved(
        self,
        num_tokens: Float[ArrayLike, "*shapes"],
        hidden: Float[ArrayLike, "*shapes"],
        expert_size: Float[ArrayLike, "*shapes"],
        num_experts: Float[ArrayLike, "*shapes"],
        experts_per_token: Float[ArrayLike, "*shapes"],
        bytes_per_weight: Float[ArrayLike, "*shapes"] = 2.0,
    ) -> Float[Array, "*shapes"]:
        """Bytes of one layer: weights of the experts touched, and activations."""
        touched = self.touched(num_tokens, num_experts, experts_per_token)
        weights = bytes_per_weight * _MATRICES * hidden * expert_size
        routed = num_tokens * experts_per_token
        return touched * weights + routed * _activation_bytes(hidden, expert_size)

    def flops(
        self,
        num_tokens: Float[ArrayLike, "*shapes"],
        hidden: Float[ArrayLike, "*shapes"],
        expert_size: Float[ArrayLike, "*shapes"],
        experts_per_token: Float[ArrayLike, "*shapes"],
    ) -> Float[Array, "*shapes"]:
        """FLOPs of one layer."""
        return jnp.asarray(num_tokens * experts_per_token * _flops(hidden, expert_size))

    def carried(self, bandwidth: float, flop_rate: float) -> "Moe":
        """The same on a GPU with so many times the memory bandwidth and FLOP rate.

        Launches keep their seconds, and routing does not depend on the GPU. What a routed
        token moves stays in the cache for the most part: it goes with the FLOP rate.
        """
        return dc.replace(
            self,
            expert=self.expert / bandwidth,
            weight_byte=self.weight_byte / bandwidth,
            activation_byte=self.activation_byte / flop_rate,
            flop=self.flop / flop_rate,
        )

    def to_record(self) -> dict[str, float]:
        """The parameters as JSON values of six digits."""
        return {name: float(f"{value:.{_DIGITS}g}") for name, value in vars(self).items()}

    @staticmethod
    def from_record(record: Mapping[str, float]) -> "Moe":
        """The module of `to_record`. Raises `ProfileError` for other names or values."""
        names = [field.name for field in dc.fields(Moe)]
        if set(record) != set(names) or not all(record[name] > 0 for name in names):
            raise ProfileError(
                f"the record of a mixture of experts is {dict(record)}.",
                hint=f"Give positive numbers for {', '.join(names)}.",
            )
        return Moe(**record)


def _activation_bytes(hidden, expert_size):
    """Bytes that one (token, expert) pair moves: in, gate and up, their product, out."""
    return BYTES_PER_ACTIVATION * (2.0 * hidden + 3.0 * expert_size)


def _flops(hidden, expert_size):
    """FLOPs of one (token, expert) pair."""
    return 2.0 * _MATRICES * hidden * expert_size
