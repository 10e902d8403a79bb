"""Sizes that arrays are filled up to, so that few of them are compiled."""

_FEW = 12
_STEP = 4
_STEPS_UP_TO = 32


def power_of_two(size: int, *, least: int) -> int:
    """The least power of two that is at least `size` and `least`, itself one."""
    return max(least, 1 << max(size - 1, 0).bit_length())


def power_of(base: int, size: int, *, least: int) -> int:
    """`least` times the least power of `base` that makes it at least `size`."""
    while least < size:
        least *= base
    return least


def num_slots(num_requests: int) -> int:
    """12, then every fourth number up to 32, then powers of two.

    Finer than powers of two where games of 2^n coalitions are run, which cost as much as
    they have slots.
    """
    if num_requests > _STEPS_UP_TO:
        return power_of_two(num_requests, least=2 * _STEPS_UP_TO)
    return max(_FEW, -(-num_requests // _STEP) * _STEP)
