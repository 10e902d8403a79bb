"""Carbon intensity of electricity over time, as published and as seen from a workload."""

import datetime as dt

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jaxtyping import Array, ArrayLike, Float

from carbjax._errors import IntensityError

MAX_INTENSITY = 5000.0  # gCO2e/kWh; no grid comes near it, other units do
KINDS = ("lca", "direct")
_FEW_EDGES = 32  # comparing with all of them is then quicker than bisection


class RelativeIntensity(eqx.Module):
    """A carbon intensity in the seconds of a workload, for use on the device.

    Interval i runs from `edges_s[i]` (included) to `edges_s[i + 1]` (excluded). Nothing
    is extrapolated: outside the edges every answer but `next_change` is NaN. All methods
    broadcast over their arguments.
    """

    edges_s: Float[Array, " edges"]  # s since the epoch of the workload
    values: Float[Array, " intervals"]  # gCO2e/kWh
    cumulative: Float[Array, " edges"]  # gCO2e/kWh * s, from the interval of second 0

    def at(self, time_s: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch"]:
        """Intensity at an instant, gCO2e/kWh."""
        time_s = self._seconds(time_s)
        inside = (time_s >= self.edges_s[0]) & (time_s < self.edges_s[-1])
        return jnp.where(inside, self.values[self._interval(time_s)], jnp.nan)

    def integral(
        self, start_s: Float[ArrayLike, "*batch"], end_s: Float[ArrayLike, "*batch"]
    ) -> Float[Array, "*batch"]:
        """Integral of the intensity over a span, gCO2e/kWh times s.

        Exact however many intervals the span crosses. Within one interval it is the
        intensity times the length, so that 32-bit floats do not cancel.
        """
        start_s, end_s = self._seconds(start_s), self._seconds(end_s)
        return self._integral(start_s, end_s, self._interval(start_s))

    def mean(
        self, start_s: Float[ArrayLike, "*batch"], end_s: Float[ArrayLike, "*batch"]
    ) -> Float[Array, "*batch"]:
        """Mean intensity over a span, gCO2e/kWh; at an instant where the span is empty."""
        start_s, end_s = self._seconds(start_s), self._seconds(end_s)
        first = self._interval(start_s)
        integral = self._integral(start_s, end_s, first)
        length = end_s - start_s
        empty = length == 0
        mean = integral / jnp.where(empty, 1, length)
        # At an instant the integral is 0, or NaN where the series does not cover it.
        return jnp.where(empty, self.values[first] + integral, mean)

    def next_change(self, time_s: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch"]:
        """The first edge strictly after an instant, s; infinity where there is none."""
        time_s = self._seconds(time_s)
        beyond = jnp.full((1,), jnp.inf, self.edges_s.dtype)
        edges = jnp.concatenate([self.edges_s, beyond])
        return edges[self._search(time_s)]

    def _seconds(self, time_s: ArrayLike) -> Array:
        return jnp.asarray(time_s, self.edges_s.dtype)

    def _interval(self, time_s: Array) -> Array:
        return jnp.clip(self._search(time_s) - 1, 0, self.values.shape[0] - 1)

    def _search(self, time_s: Array) -> Array:
        """Number of edges at or before an instant."""
        method = "compare_all" if len(self.edges_s) <= _FEW_EDGES else "scan"
        return jnp.searchsorted(self.edges_s, time_s, side="right", method=method)

    def _integral(self, start_s: Array, end_s: Array, first: Array) -> Array:
        last = self._interval(end_s)
        together = first == last
        # The edges of a constant are infinite: choose before multiplying, not after.
        leave = jnp.where(together, end_s, self.edges_s[first + 1])
        enter = jnp.where(together, end_s, self.edges_s[last])
        between = self.cumulative[last] - self.cumulative[first + 1]
        total = (
            self.values[first] * (leave - start_s)
            + jnp.where(together, 0, between)
            + self.values[last] * (end_s - enter)
        )
        return jnp.where(self._covers(start_s, end_s), total, jnp.nan)

    def _covers(self, start_s: Array, end_s: Array) -> Array:
        low, high = jnp.minimum(start_s, end_s), jnp.maximum(start_s, end_s)
        return (low >= self.edges_s[0]) & (high <= self.edges_s[-1])


class Intensity(eqx.Module):
    """A carbon intensity in gCO2e/kWh, piecewise constant over calendar time.

    Interval i runs from `edges_s[i]` to `edges_s[i + 1]`, in UTC Unix seconds. Arrays
    are float64 and stay on the host: 32 bits cannot hold calendar time. `relative` makes
    what runs on the device.

    **Arguments:**

    - `edges_s`: `" edges"`, increasing, one more than `values`.
    - `values`: gCO2e/kWh, `" intervals"`, 0 to 5000.
    - `name`: of the grid zone, for tables.
    - `kind`: `"lca"`, `"direct"`, or `"constant"`.
    - `source`: the file, for errors.
    - `flags`: what a reader of the result must know, such as hours filled in.

    Raises `IntensityError`.
    """

    edges_s: Float[np.ndarray, " edges"]
    values: Float[np.ndarray, " intervals"]
    name: str = eqx.field(static=True)
    kind: str = eqx.field(static=True)
    source: str | None = eqx.field(static=True)
    flags: tuple[str, ...] = eqx.field(static=True)

    def __init__(
        self,
        edges_s: npt.ArrayLike,
        values: npt.ArrayLike,
        *,
        name: str = "",
        kind: str = "lca",
        source: str | None = None,
        flags: tuple[str, ...] = (),
    ):
        self.edges_s = np.asarray(edges_s, dtype=np.float64)
        self.values = np.asarray(values, dtype=np.float64)
        self.name, self.kind, self.source, self.flags = name, kind, source, flags

    def __check_init__(self):
        values, edges_s = self.values, self.edges_s
        if values.ndim != 1 or len(values) == 0 or edges_s.shape != (len(values) + 1,):
            raise IntensityError(
                f"`values` has shape {values.shape}, `edges_s` has shape {edges_s.shape}.",
                hint="Give at least one value, and one edge more than values.",
            )
        if not (np.diff(edges_s) > 0).all():
            raise IntensityError("`edges_s` does not increase.", hint="Sort the intervals.")
        bad = np.flatnonzero(~((values >= 0) & (values <= MAX_INTENSITY)))
        if len(bad):
            raise IntensityError(
                f"the carbon intensity {values[bad[0]]} is not within 0 to "
                f"{MAX_INTENSITY:g}.",
                hint="Give gCO2e/kWh.",
            )

    @classmethod
    def constant(cls, value: float) -> "Intensity":
        """The same intensity at all times, in gCO2e/kWh."""
        edges_s, values = np.asarray([-np.inf, np.inf]), np.asarray([value])
        return cls(edges_s, values, name=f"{value:g} gCO2e/kWh", kind="constant")

    @property
    def is_constant(self) -> bool:
        """Whether it is the same at all times, and needs no calendar."""
        return bool(np.isinf(self.edges_s[0]))

    @property
    def start(self) -> dt.datetime:
        """First instant covered, UTC. A constant has none."""
        return _instant(self.edges_s[0])

    @property
    def end(self) -> dt.datetime:
        """Instant at which cover ends, UTC. A constant has none."""
        return _instant(self.edges_s[-1])

    def require_cover(self, start: dt.datetime, end: dt.datetime) -> None:
        """Nothing, if the series covers this time; else raises `IntensityError`."""
        if self.edges_s[0] <= _unix(start) and _unix(end) <= self.edges_s[-1]:
            return
        raise IntensityError(
            f"the carbon intensity covers {self.start.isoformat()} to "
            f"{self.end.isoformat()}; {start.astimezone(dt.UTC).isoformat()} to "
            f"{end.astimezone(dt.UTC).isoformat()} was asked for.",
            file=self.source,
            hint="Give a series of that time, a shorter trace, or a constant in gCO2e/kWh.",
        )

    def window(self, start: dt.datetime, end: dt.datetime) -> "Intensity":
        """The intervals that overlap this time alone: a short series is cheap to search.

        Raises `IntensityError` where the series does not cover the time.
        """
        self.require_cover(start, end)
        first = np.searchsorted(self.edges_s, _unix(start), side="right") - 1
        last = np.searchsorted(self.edges_s, _unix(end), side="left")
        first = min(first, len(self.values) - 1)
        last = max(last, first + 1)
        return Intensity(
            self.edges_s[first : last + 1],
            self.values[first:last],
            name=self.name,
            kind=self.kind,
            source=self.source,
            flags=self.flags,
        )

    def split_at(self, other: "Intensity") -> "Intensity":
        """The same intensity where both are known, in intervals in which neither changes.

        Raises `IntensityError` where the two share no time.
        """
        low = max(self.edges_s[0], other.edges_s[0])
        high = min(self.edges_s[-1], other.edges_s[-1])
        edges_s = np.union1d(self.edges_s, other.edges_s)
        edges_s = edges_s[(edges_s >= low) & (edges_s <= high)]
        if len(edges_s) < 2:
            raise IntensityError(
                f"the series has no time in common with {self.source}.",
                file=other.source,
                hint="Give two series of the same time.",
            )
        place = np.searchsorted(self.edges_s, edges_s[:-1], side="right") - 1
        return Intensity(
            edges_s,
            self.values[place],
            name=self.name,
            kind=self.kind,
            source=self.source,
            flags=self.flags,
        )

    def relative(
        self, epoch: dt.datetime | None, start_s: float = 0.0
    ) -> RelativeIntensity:
        """The series in seconds from `start_s` after `epoch` (aware), in JAX's float type.

        A constant needs no `epoch`; a series without one raises `IntensityError`.
        """
        if self.is_constant:
            edges_s, cumulative = self.edges_s, np.zeros(2)
        elif epoch is None:
            raise IntensityError(
                "the carbon intensity is a series over calendar time, the workload has no "
                "calendar (`epoch` is None).",
                file=self.source,
                hint="Give the workload an epoch, or a constant in gCO2e/kWh.",
            )
        else:
            edges_s = self.edges_s - _unix(epoch) - start_s
            cumulative = _cumulative(edges_s, self.values)
        return RelativeIntensity(
            jnp.asarray(edges_s, dtype=float),
            jnp.asarray(self.values, dtype=float),
            jnp.asarray(cumulative, dtype=float),
        )


def _cumulative(edges_s: np.ndarray, values: np.ndarray) -> np.ndarray:
    total = np.concatenate([[0.0], np.cumsum(values * np.diff(edges_s))])
    # Counted from the workload's own time, where 32-bit floats are needed most.
    start = np.clip(np.searchsorted(edges_s, 0.0, side="right") - 1, 0, len(values))
    return total - total[start]


def _unix(instant: dt.datetime) -> float:
    if instant.tzinfo is None:
        raise IntensityError(
            f"the instant {instant.isoformat()} has no time zone.",
            hint="Give an aware datetime, such as "
            "`datetime(2023, 11, 16, tzinfo=timezone.utc)`.",
        )
    return instant.timestamp()


def _instant(unix_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(unix_s, dt.UTC)
