"""Operators that move bytes: elementwise kernels and all-reduce."""

import equinox as eqx

from carbjax._surrogate.power import PowerModel
from carbjax._surrogate.roofline import Roofline


class Streaming(eqx.Module):
    """Elementwise operators and all-reduce: a launch and bytes at a bandwidth."""

    launch: float  # s a kernel
    byte: float  # s a byte

    def latency(self, moved):
        """Seconds of one kernel that moves `moved` bytes, elementwise."""
        return self.launch + self.byte * moved

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
