"""An attribution as rows: one a player, and one for what nobody was charged for."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from carbjax._attribution.attribution import Attribution
from carbjax._workload import Workload

UNATTRIBUTED = "unattributed"
SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("tenant_id", pa.string()),
        ("method", pa.string()),
        ("prompt_tokens", pa.int64()),
        ("decode_tokens", pa.int64()),
        ("energy_j", pa.float64()),
        ("operational_gco2e", pa.float64()),
        ("embodied_gco2e", pa.float64()),
        ("stderr_gco2e", pa.float64()),
        ("flags", pa.string()),
    ]
)


def ledger_table(
    attribution: Attribution, workload: Workload, tenants: Sequence[str] | None = None
) -> pa.Table:
    """The ledger: a row a player in the players' order, then the row `unattributed`.

    Where each request is a player the row names it, and its tenant if `tenants`
    (`" requests"`) says; else the row is a tenant's, with an empty `request_id` and the
    tokens of all its requests. `operational_gco2e` is prefill, decode and what was
    spread of the idle machine; `stderr_gco2e` is empty where the method does not sample.
    Adding up both carbon columns over all rows gives the total.
    """
    parts = attribution.components
    rest = attribution.unattributed_components
    count = workload.num_players
    prompt, decode = tokens_of_players(workload)
    request_ids, tenant_ids = _names(workload, tenants)
    flags = "; ".join(attribution.flags)
    stderr = [None] * count if attribution.stderr is None else attribution.stderr.tolist()
    embodied = np.append(parts["embodied"], rest["embodied"])
    operational = sum(np.append(parts[c], rest[c]) for c in ("prefill", "decode", "idle"))
    columns = [
        [*request_ids, UNATTRIBUTED],
        [*tenant_ids, None],
        [attribution.method] * (count + 1),
        np.append(prompt, 0),
        np.append(decode, 0),
        np.append(attribution.energy_j, attribution.unattributed_energy_j),
        operational,
        embodied,
        [*stderr, None],
        [flags] * (count + 1),
    ]
    arrays = [
        pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def players_are_requests(workload: Workload) -> bool:
    """Whether each request is its own player, rather than players being tenants."""
    return workload.num_players == workload.num_requests and (
        workload.player_names is None or workload.player_names == workload.request_ids
    )


def player_labels(workload: Workload) -> list[str]:
    """A name for each player: its own, else that of its one request, else its number."""
    if workload.player_names is not None:
        return list(workload.player_names)
    names = [str(i) for i in range(workload.num_players)]
    if workload.request_ids is not None and players_are_requests(workload):
        for player, request_id in zip(workload.player, workload.request_ids, strict=True):
            names[player] = request_id
    return names


def tokens_of_players(workload: Workload) -> tuple[np.ndarray, np.ndarray]:
    """Prompt and decode tokens of each player, over all its requests."""
    return (
        _per_player(workload, workload.num_prefill_tokens),
        _per_player(workload, workload.num_decode_tokens),
    )


def _names(
    workload: Workload, tenants: Sequence[str] | None
) -> tuple[Sequence[str | None], Sequence[str | None]]:
    labels = player_labels(workload)
    empty = [None] * workload.num_players
    if not players_are_requests(workload):
        return empty, labels
    if tenants is None:
        return labels, empty
    of_player = dict(zip(workload.player.tolist(), tenants, strict=True))
    return labels, [of_player[i] for i in range(workload.num_players)]


def _per_player(workload: Workload, tokens: np.ndarray) -> np.ndarray:
    sums = np.zeros(workload.num_players, np.int64)
    np.add.at(sums, workload.player, tokens)
    return sums
