"""A ledger's row a request."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from carbjax._carbon.intensity import Intensity
from carbjax._fleet.fleet import Served
from carbjax._ledger.rollups import MARKET
from carbjax._units import JOULES_PER_KWH, MICROSECONDS_PER_SECOND, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from carbjax._ledger.group import Group


def request_rows(
    requests: pa.Table, served: Served, group: "Group", zero_s: float
) -> pa.Table:
    """The rows of the requests that were served, and after them those of null players.

    Times are seconds after the arrival, unknown for a null player. `hour` is the hour
    in which the last token came (a null player's: in which it arrived). Grams are above
    the idle machine's; `docs/ledger.md` says what each column holds.
    """
    count = requests.num_rows
    spent = {name: _padded(x, count, name) for name, x in served.spent.items()}
    arrival = requests["arrival_s"].to_numpy()

    def after(name: str) -> pa.Array:
        # Seconds since 1970 are told apart to 0.2 us only: their difference comes first.
        return _known(spent[name] - (arrival - zero_s))

    finish = spent["finish_s"] + zero_s
    ends = np.where(np.isnan(finish), arrival, finish)
    energy = spent["prefill_j"] + spent["decode_j"]
    names = [backend.name for backend in group.backends]
    backend = pa.array(names).take(requests["lane"].combine_chunks())
    columns = {
        "request_id": requests["request_id"],
        "tenant_id": requests["tenant_id"],
        "backend": backend,
        "model": pa.repeat(group.model, count),
        "row": requests["row"],
        "arrival": _times(arrival, group),
        "hour": _times(np.floor(ends / SECONDS_PER_HOUR) * SECONDS_PER_HOUR, group),
        "prompt_tokens": requests["prompt_tokens"],
        "decode_tokens": requests["decode_tokens"],
        "start_s": after("start_s"),
        "first_token_s": after("first_token_s"),
        "finish_s": after("finish_s"),
        "energy_j": pa.array(energy),
        "prefill_gco2e": pa.array(spent["prefill_g"]),
        "decode_gco2e": pa.array(spent["decode_g"]),
        "embodied_gco2e": pa.array(spent["embodied_g"]),
    }
    if group.market is not None:
        columns[MARKET] = pa.array(_bought(energy, spent, group.market))
    return pa.table(columns)


def _bought(energy_j: np.ndarray, spent: dict[str, np.ndarray], market: Intensity):
    """Grams of the electricity that was bought: known for a series, a product else."""
    if market.is_constant:
        return energy_j * (float(market.values[0]) / JOULES_PER_KWH)
    return spent["market_g"]


def _padded(values: np.ndarray, count: int, name: str) -> np.ndarray:
    """The values, and for each null player 0, or no time."""
    missing = np.nan if name.endswith("_s") else 0.0
    return np.append(values, np.full(count - len(values), missing))


def _known(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _times(seconds: np.ndarray, group: "Group") -> pa.Array:
    """Instants where the trace has a calendar, else seconds."""
    if not group.backends[0].has_calendar:
        return pa.array(seconds)
    stamps = np.round(seconds * MICROSECONDS_PER_SECOND).astype(np.int64)
    return pa.array(stamps).cast(pa.timestamp("us", "UTC"))
