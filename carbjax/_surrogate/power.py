"""Power of an operator as energy per time, byte and FLOP under a cap."""

import equinox as eqx


class PowerModel(eqx.Module):
    """`P = smooth_min(max, static + bytes per s * byte + FLOP per s * flop)` of one GPU.

    Written as energy, `E = smooth_min(static t + byte bytes + flop FLOP, max t)`: below
    the cap it is linear, so bytes and FLOPs have owners and only `static t` is shared.
    """

    static_power: float  # W, while a kernel runs
    max_power: float  # W, sustained at the cap
    byte_energy: float  # J a byte moved from HBM
    flop_energy: float  # J a FLOP
    multiplier: float = 1.0  # of the class of operator, on bytes and FLOPs

    def work(self, bytes_moved, flops):
        """J of moving bytes and computing FLOPs."""
        return self.multiplier * (self.byte_energy * bytes_moved + self.flop_energy * flops)
