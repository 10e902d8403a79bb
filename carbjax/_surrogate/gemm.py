"""Matrix products on one GPU: from their dimensions to their cost."""

import equinox as eqx
from jaxtyping import ArrayLike, Float

from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.roofline import Roofline

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

    def latency(self, m, n, k, bytes_per_weight=2.0):
        """Seconds of one product, elementwise."""
        silent = PowerModel(0.0, 1.0, 0.0, 0.0)
        return self.roofline(n, k, silent, bytes_per_weight)(m)[0]

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
