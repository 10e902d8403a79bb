"""Numbers in words: three digits, the unit, and what is unknown called so."""

import math
import re

import numpy as np

from carbjax._report.record import Number

UNKNOWN = "unknown"
_PERCENT = {
    *("relative", "max_relative", "noise", "R_prompt", "R_decode"),
    *("padding_rewarded", "padding_fall"),
}
_COUNTED = {"evaluations", "bytes"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LARGE, _SMALL = 1e4, 1e-4
_ROUNDING = 1e-9  # of a bill: what adding up in floats makes
_DIGITS = 3
_OPEN, _CLOSE = "\u2068", "\u2069"


def plain(value: float) -> str:
    """`value` with three digits: 0.0123, 12,346, 1.2 × 10⁻⁷, ∞, unknown."""
    if math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = abs(value)
    if size < _SMALL or size >= 1e9:
        digits, power = f"{size:.1e}".split("e")
        text = f"{digits} × 10{str(int(power)).translate(_SUPERSCRIPTS)}"
    elif size >= _LARGE:
        text = f"{size:,.0f}"
    else:
        text = np.format_float_positional(
            size, _DIGITS, unique=False, fractional=False, trim="-"
        )
    return text if value > 0 else f"−{text}"


def percent(value: float) -> str:
    """A part as a percentage; what is mere rounding is 0%."""
    if abs(value) < _ROUNDING:
        return "0%"
    text = plain(100 * value)
    return f"{text}%" if math.isfinite(value) else text


def count(value: float) -> str:
    """A whole number, to the last digit."""
    return f"{value:,.0f}" if math.isfinite(value) else plain(value)


def said(value: float, quantity: str, unit: str) -> str:
    """A value of a quantity, with its unit where it is no mere count."""
    if quantity in _PERCENT:
        return percent(value)
    if unit in _COUNTED:
        return "not reached" if value == math.inf else count(value)
    return f"{plain(value)} {unit}" if unit and math.isfinite(value) else plain(value)


def value_of(number: Number) -> str:
    """The number's value with its unit."""
    return said(number.value, number.quantity, number.unit)


def interval_of(number: Number) -> str:
    """Its interval as "a to b"; nothing where none is known, or it is a point."""
    if not number.has_interval:
        return ""
    unit = number.unit if number.unit in _COUNTED else ""
    low, high = (said(end, number.quantity, unit) for end in (number.lower, number.upper))
    return f"{low} to {high}" if low != high else ""


def with_interval(number: Number) -> str:
    """The value, and its interval with the level in brackets."""
    interval = interval_of(number)
    if not interval:
        return value_of(number)
    level = "" if math.isnan(number.level) else f"{percent(number.level)} interval "
    return f"{value_of(number)} ({level}{interval})"


def listed(names: list[str], most: int = 6) -> str:
    """Names with commas and "and", each marked; those beyond `most` are counted."""
    names = [marked(name) for name in names]
    if len(names) > most:
        shown, more = names[: most - 1], f"{len(names) - most + 1} more"
        return f"{', '.join(shown)} and {more}"
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def marked(name: str) -> str:
    """A name between Unicode's isolates, by which the template knows it."""
    return f"{_OPEN}{clean(name)}{_CLOSE}"


def pieces(text: str) -> list[tuple[str, bool]]:
    """`text` in pieces, each with whether it is a marked name."""
    parts = re.split(f"{_OPEN}(.*?){_CLOSE}", text)
    return [(part, i % 2 == 1) for i, part in enumerate(parts)]


def clean(text: str) -> str:
    """`text` without the control characters that a page cannot hold."""
    return "".join(
        c if c in "\n\t" or (c.isprintable() or c.isspace()) and c >= " " else "�"
        for c in text
    )
