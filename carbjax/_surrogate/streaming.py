"""Operators that move bytes: elementwise kernels and all-reduce."""

from typing import Any

import equinox as eqx


class Streaming(eqx.Module):
    """Elementwise operators and all-reduce: a launch and bytes at a bandwidth.

        launch + byte moved + far_byte excess(moved - near_bytes)

    `excess(d) = (d + sqrt(d^2 + (near_bytes / 10)^2)) / 2`, less its value at -near_bytes,
    is a smooth max(d, 0): what one call moves beyond `near_bytes` no longer stays in the
    L2 cache. With far_byte 0, the default, there is one bandwidth.
    """

    launch: float  # s a kernel
    byte: float  # s a byte
    far_byte: float = 0.0  # s more for a byte beyond `near_bytes`
    near_bytes: float = 0.0

    def latency(self, moved: Any) -> Any:
        """Seconds of one kernel that moves `moved` bytes, elementwise."""
        excess = _excess(moved, self.near_bytes) - _excess(0.0, self.near_bytes)
        return self.launch + self.byte * moved + self.far_byte * excess


def _excess(moved: Any, near: Any) -> Any:
    # The square root by a power: it takes floats, numpy arrays and JAX arrays alike.
    # At near = moved = 0 its slope would be 1 / 0, so a byte is added.
    past = moved - near
    return 0.5 * (past + (past * past + (0.1 * near) ** 2 + 1.0) ** 0.5)
