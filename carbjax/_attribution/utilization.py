"""Shares in proportion to the use of compute and of KV memory."""

import numpy as np
from jaxtyping import Float, PRNGKeyArray

from carbjax._attribution.attribution import Attribution
from carbjax._attribution.methods import register_method, require_run
from carbjax._attribution.proportional import in_proportion
from carbjax._games.base import AbstractGame
from carbjax._hardware import ModelShape
from carbjax._serving.serve import Timeline, serve
from carbjax._serving.system import System
from carbjax._workload import Workload


def utilization(
    game: AbstractGame | None,
    *,
    workload: Workload | None = None,
    system: System | None = None,
    timeline: Timeline | None = None,
    key: PRNGKeyArray | None = None,
    compute_part: float = 0.5,
) -> Attribution:
    """Shares by FLOP and by KV-byte-seconds, half of v(all) - v(none) by each.

    `share_i = (v(all) - v(none)) (a F_i / sum F + (1 - a) M_i / sum M)` with
    `a = compute_part`, 0 to 1; F are a player's FLOP (`request_flop`), M its
    KV-byte-seconds (`kv_byte_seconds`).

    Source: the idea of chargeback in shared clusters, where use of each resource and
    reservation of it are paid for (Schneider and Mattia 2024, of Google's cloud). That
    the two are FLOP and KV bytes, and the equal halves, are carbjax's choice. Cost: O(R)
    after one run. Keeps efficiency and null player; not linearity, and equal requests
    pay the same only if they stay equally long.
    """
    workload, system = require_run("utilization", workload, system)
    timeline = timeline or serve(workload, system)
    part = np.zeros(workload.num_players)
    for weight, used in (
        (compute_part, request_flop(workload, system.model)),
        (1 - compute_part, kv_byte_seconds(workload, system.model, timeline)),
    ):
        by_player = np.bincount(workload.player, used, workload.num_players)
        part += weight * by_player / by_player.sum()
    return in_proportion("utilization", part, timeline)


def request_flop(workload: Workload, model: ModelShape) -> Float[np.ndarray, " requests"]:
    """FLOP of the matrix products that each request's tokens need, alone or in a batch.

    `2 N T + 2 h V Q + 4 L H D A`: N weights of the layers for each of T tokens read, the
    head of h V weights for each of Q tokens emitted (one for a prompt alone), and two
    products of L layers, H heads and D numbers for each of A pairs of a query and a key.
    A request reads `T = p + max(d - 1, 0)` tokens, each of which sees itself and all
    before it: `A = T (T + 1) / 2`. Null players need none.
    """
    prefill = workload.num_prefill_tokens.astype(float)
    decode = workload.num_decode_tokens.astype(float)
    head = float(model.hidden_size * model.vocab_size)
    layers = model.num_parameters - head * (1 if model.tied_embeddings else 2)
    tokens = prefill + np.maximum(decode - 1, 0)
    rows = np.where(workload.is_null, 0.0, np.maximum(decode, 1))
    pairs = tokens * (tokens + 1) / 2
    pair = 4.0 * model.num_layers * model.num_heads * model.head_dim
    return 2 * layers * tokens + 2 * head * rows + pair * pairs


def kv_byte_seconds(
    workload: Workload, model: ModelShape, timeline: Timeline
) -> Float[np.ndarray, " requests"]:
    """Bytes of KV cache times the seconds for which each request kept them from others.

    The server reserves p + d tokens from a request's first iteration to its last.
    """
    reserved = workload.num_prefill_tokens + workload.num_decode_tokens
    return model.kv_bytes_per_token * reserved * timeline.residence_s


register_method(
    "utilization", utilization, needs_game=False, claims=("efficiency", "null_player")
)
