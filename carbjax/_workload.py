"""The requests that share one backend."""

import datetime as dt

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from carbjax._errors import WorkloadError
from carbjax._units import INT32_MAX


class Workload(eqx.Module):
    """Requests with their arrival, prompt and answer lengths, and who pays for them.

    **Arguments:**

    - `arrival_s`: seconds since `epoch`, `" requests"`, finite, in any order.
    - `num_prefill_tokens`, `num_decode_tokens`: tokens of prompt and answer,
      `" requests"`, whole, 0 to 2^31 - 1. A request with neither is a null player.
    - `player`: who shares the bill, `" requests"`, ids 0 to `num_players - 1`, each
      used at least once. By default each request is a player.
    - `epoch`: the UTC instant of `arrival_s = 0`. Needed where the carbon intensity
      is a series over calendar time.
    - `request_ids`, `player_names`: labels for ledgers and tables.

    Arrays live on the host: tokens as int64, arrivals as float64.

    Raises `WorkloadError`, which names the argument and the first bad request.
    """

    arrival_s: Float[np.ndarray, " requests"]
    num_prefill_tokens: Int[np.ndarray, " requests"]
    num_decode_tokens: Int[np.ndarray, " requests"]
    player: Int[np.ndarray, " requests"]
    epoch: dt.datetime | None = eqx.field(static=True)
    request_ids: tuple[str, ...] | None = eqx.field(static=True)
    player_names: tuple[str, ...] | None = eqx.field(static=True)

    def __init__(
        self,
        arrival_s: ArrayLike,
        num_prefill_tokens: ArrayLike,
        num_decode_tokens: ArrayLike,
        player: ArrayLike | None = None,
        epoch: dt.datetime | None = None,
        *,
        request_ids: tuple[str, ...] | None = None,
        player_names: tuple[str, ...] | None = None,
    ):
        self.arrival_s = _arrivals(arrival_s)
        shape = self.arrival_s.shape
        self.num_prefill_tokens = _counts("num_prefill_tokens", num_prefill_tokens, shape)
        self.num_decode_tokens = _counts("num_decode_tokens", num_decode_tokens, shape)
        ids = np.arange(shape[0]) if player is None else player
        self.player = _players(_counts("player", ids, shape))
        self.epoch = _utc(epoch)
        self.request_ids = _labels("request_ids", request_ids, shape[0])
        self.player_names = _labels("player_names", player_names, self.num_players)

    @property
    def num_requests(self) -> int:
        """How many requests there are, null players included."""
        return len(self.arrival_s)

    @property
    def num_players(self) -> int:
        """How many share the bill."""
        return int(self.player.max()) + 1 if len(self.player) else 0

    @property
    def is_null(self) -> Bool[np.ndarray, " requests"]:
        """Requests that ask for nothing: they are never scheduled."""
        return (self.num_prefill_tokens == 0) & (self.num_decode_tokens == 0)

    @property
    def start_s(self) -> float:
        """Arrival of the first request that is not null, or NaN where all are."""
        arrivals = self.arrival_s[~self.is_null]
        return float(arrivals.min()) if len(arrivals) else float("nan")

    def select(self, requests: Bool[np.ndarray, " requests"] | slice) -> "Workload":
        """The workload of these requests alone; players are renumbered, order kept."""
        chosen = np.arange(self.num_requests)[requests]
        if len(chosen) == 0:
            raise WorkloadError("no request was selected.", hint="Widen the selection.")
        kept, player = np.unique(self.player[chosen], return_inverse=True)
        ids, names = self.request_ids, self.player_names
        return Workload(
            self.arrival_s[chosen],
            self.num_prefill_tokens[chosen],
            self.num_decode_tokens[chosen],
            player,
            self.epoch,
            request_ids=None if ids is None else tuple(ids[i] for i in chosen),
            player_names=None if names is None else tuple(names[i] for i in kept),
        )

    def by_request(self) -> "Workload":
        """The same requests, each its own player."""
        return Workload(
            self.arrival_s,
            self.num_prefill_tokens,
            self.num_decode_tokens,
            epoch=self.epoch,
            request_ids=self.request_ids,
            player_names=self.request_ids,
        )

    def with_tokens(
        self, num_prefill_tokens: ArrayLike, num_decode_tokens: ArrayLike
    ) -> "Workload":
        """The same requests with other lengths."""
        return Workload(
            self.arrival_s,
            num_prefill_tokens,
            num_decode_tokens,
            self.player,
            self.epoch,
            request_ids=self.request_ids,
            player_names=self.player_names,
        )


def _arrivals(values: ArrayLike) -> np.ndarray:
    arrival_s = np.asarray(values)
    if arrival_s.dtype.kind not in "iuf":
        raise WorkloadError(
            f"`arrival_s` holds {arrival_s.dtype}.", hint="Give numbers of seconds."
        )
    arrival_s = arrival_s.astype(np.float64)
    if arrival_s.ndim != 1 or len(arrival_s) == 0:
        raise WorkloadError(
            f"`arrival_s` has shape {arrival_s.shape}.",
            hint="Give one arrival time in seconds for each request, at least one.",
        )
    bad = np.flatnonzero(~np.isfinite(arrival_s))
    if len(bad):
        raise WorkloadError(
            f"`arrival_s[{bad[0]}]` is {arrival_s[bad[0]]}.", hint="Give finite seconds."
        )
    return arrival_s


def _counts(name: str, values: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    counts = np.asarray(values)
    if counts.shape != shape:
        raise WorkloadError(
            f"`{name}` has shape {counts.shape}, `arrival_s` has shape {shape}.",
            hint="Give one value for each request.",
        )
    if counts.dtype.kind not in "iuf":
        raise WorkloadError(f"`{name}` holds {counts.dtype}.", hint="Give whole numbers.")
    wide = counts.astype(np.float64)
    for problem, bad in (
        ("not finite", ~np.isfinite(wide)),
        ("negative", wide < 0),
        ("not a whole number", wide != np.floor(wide)),
        (f"beyond {INT32_MAX}", wide > INT32_MAX),
    ):
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise WorkloadError(
                f"`{name}[{i}]` is {counts[i]}, which is {problem}.",
                hint=f"Give whole numbers from 0 to {INT32_MAX}.",
            )
    return counts.astype(np.int64)


def _players(player: np.ndarray) -> np.ndarray:
    used = np.unique(player)
    gaps = np.flatnonzero(used != np.arange(len(used)))
    if len(gaps):
        raise WorkloadError(
            f"`player` has no request for player {gaps[0]}.",
            hint="Number the players 0, 1, 2, … without gaps: "
            "`numpy.unique(player, return_inverse=True)[1]` does it.",
        )
    return player


def _utc(epoch: dt.datetime | None) -> dt.datetime | None:
    if epoch is None:
        return None
    if epoch.tzinfo is None:
        raise WorkloadError(
            f"`epoch` {epoch.isoformat()} has no time zone.",
            hint="Give an aware datetime, such as "
            "`datetime(2023, 11, 16, tzinfo=timezone.utc)`.",
        )
    return epoch.astimezone(dt.UTC)


def _labels(name: str, labels: tuple[str, ...] | None, size: int) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if len(labels) != size:
        raise WorkloadError(f"`{name}` has {len(labels)} labels for {size} entries.")
    return tuple(str(label) for label in labels)
