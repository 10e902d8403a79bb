"""Missing steps of a series: finding them, and filling them by a named policy."""

import dataclasses
import datetime as dt

import numpy as np
from jaxtyping import Float, Int

MISSING = ("error", "nearest", "interpolate")
_REACH = 3  # steps on either side that tell how long a step is here


@dataclasses.dataclass(frozen=True)
class Gaps:
    """Where a series skips steps. Steps may change length along the series."""

    step_s: Float[np.ndarray, " rows"]  # how long each row lasts
    num_missing: Int[np.ndarray, " rows"]  # steps missing after each row but the last, 0
    from_s: Float[np.ndarray, " gaps"]
    until_s: Float[np.ndarray, " gaps"]

    @property
    def count(self) -> int:
        return len(self.from_s)

    @property
    def first_missing(self) -> str:
        return _iso(self.from_s[0])

    @property
    def first_until(self) -> str:
        return _iso(self.until_s[0])

    def flags(self, missing: str) -> list[str]:
        if not self.count:
            return []
        return [
            f"{self.num_missing.sum()} missing steps in {self.count} gaps were filled "
            f"({missing}), the first from {self.first_missing} to {self.first_until}"
        ]


def find_gaps(stamps_s: Float[np.ndarray, " rows"]) -> Gaps:
    """The gaps of a series of at least two increasing stamps, in Unix seconds.

    A step is a gap where it is longer than half again the median of the steps around
    it, so that a series may change from 30 to 15 minutes, but not skip one of them.
    """
    steps = np.diff(stamps_s)
    padded = np.pad(steps, _REACH, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1)
    expected = np.nanmedian(windows, axis=1)
    is_gap = steps > 1.5 * expected
    step_s = np.where(is_gap, expected, steps)
    num_missing = np.where(is_gap, np.rint(steps / expected).astype(np.int64) - 1, 0)
    return Gaps(
        step_s=np.append(step_s, expected[-1]),
        num_missing=np.append(num_missing, 0),
        from_s=(stamps_s[:-1] + step_s)[is_gap],
        until_s=stamps_s[1:][is_gap],
    )


def fill_gaps(
    stamps_s: Float[np.ndarray, " rows"],
    values: Float[np.ndarray, " rows"],
    gaps: Gaps,
    missing: str,
) -> tuple[Float[np.ndarray, " edges"], Float[np.ndarray, " intervals"]]:
    """Edges and values without gaps; the last value holds for one step."""
    starts = [stamps_s]
    for row in np.flatnonzero(gaps.num_missing):
        steps = np.arange(1, gaps.num_missing[row] + 1)
        starts.append(stamps_s[row] + steps * gaps.step_s[row])
    all_starts = np.sort(np.concatenate(starts))
    if missing == "interpolate":
        filled = np.interp(all_starts, stamps_s, values)
    else:
        middles = (stamps_s[1:] + stamps_s[:-1]) / 2
        filled = values[np.searchsorted(middles, all_starts, side="left")]
    return np.append(all_starts, stamps_s[-1] + gaps.step_s[-1]), filled


def _iso(unix_s: float) -> str:
    return dt.datetime.fromtimestamp(unix_s, dt.UTC).isoformat()
