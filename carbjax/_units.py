"""Units and constants. Inside carbjax: s, W, J, bytes, FLOP, gCO2e, g/kWh.

Data in other units is converted where it enters, through these names.
"""

JOULES_PER_KWH = 3.6e6
JOULES_PER_WH = 3.6e3
SECONDS_PER_HOUR = 3600.0
SECONDS_PER_YEAR = 365.25 * 24 * SECONDS_PER_HOUR
SECONDS_PER_MILLISECOND = 1e-3
SECONDS_PER_MICROSECOND = 1e-6
MICROSECONDS_PER_SECOND = 1e6
GRAMS_PER_KILOGRAM = 1e3
INT32_MAX = 2**31 - 1
