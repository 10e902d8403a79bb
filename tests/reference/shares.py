"""Baseline attributions by loops. All share v(all) - v(nobody) out and keep the rest."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .games import Served, iteration_cost, reschedule_value, standing_carbon
from .simulator import Iteration, Participant

Weigh = Callable[[Iteration, Participant], float]


def by_player(served: Served, request_shares: Sequence[float]) -> list[float]:
    """Each player's sum over its requests."""
    shares = [0.0] * served.num_players
    for player, share in zip(served.player, request_shares, strict=True):
        shares[player] += share
    return shares


def attributable(served: Served) -> float:
    """v(all) - v(nobody), the same in both games."""
    grams = 0.0
    for iteration in served.result.iterations:
        grams += float(iteration_cost(served, iteration, iteration.features))
    return grams


def unattributed(served: Served) -> float:
    """v(nobody)."""
    return standing_carbon(served.machine, served.window).total


def in_proportion(amount: float, weights: Sequence[float]) -> list[float]:
    """`amount` in proportion to the weights; nothing where all of them are 0."""
    whole = sum(weights)
    return [amount * weight / whole if whole else 0.0 for weight in weights]


def token_shares(
    served: Served, prefill_weight: float, decode_weight: float
) -> list[float]:
    """In proportion to w1 p + w2 d."""
    weights = [
        prefill_weight * request.num_prefill_tokens
        + decode_weight * request.num_decode_tokens
        for request in served.requests
    ]
    return by_player(served, in_proportion(attributable(served), weights))


def time_shares(served: Served) -> list[float]:
    """In proportion to residence: from first being scheduled to finishing."""
    weights = []
    for start, finish in zip(served.result.start_s, served.result.finish_s, strict=True):
        weights.append(0.0 if math.isnan(start) else finish - start)
    return by_player(served, in_proportion(attributable(served), weights))


def _per_iteration(served: Served, weigh: Weigh) -> list[float]:
    shares = [0.0] * len(served.requests)
    for iteration in served.result.iterations:
        grams = float(iteration_cost(served, iteration, iteration.features))
        weights = [weigh(iteration, p) for p in iteration.participants]
        for p, share in zip(
            iteration.participants, in_proportion(grams, weights), strict=True
        ):
            shares[p.request] += share
    return by_player(served, shares)


def iteration_equal_shares(served: Served) -> list[float]:
    """Each iteration in equal parts to the requests in it."""
    return _per_iteration(served, lambda iteration, participant: 1.0)


def iteration_token_shares(served: Served) -> list[float]:
    """Each iteration by tokens; in equal parts where nobody in it has a token."""

    def tokens(iteration: Iteration, participant: Participant) -> float:
        if iteration.features.num_tokens == 0:
            return 1.0
        return participant.features.num_tokens

    return _per_iteration(served, tokens)


def standalone_shares(served: Served) -> list[float]:
    """In proportion to what each player, served alone, adds to nobody served."""
    nobody = reschedule_value(served, frozenset())
    weights = [
        reschedule_value(served, frozenset({i})) - nobody for i in range(served.num_players)
    ]
    return in_proportion(attributable(served), weights)


def energy_per_token_shares(served: Served) -> list[float]:
    """In proportion to answer tokens alone."""
    return token_shares(served, 0, 1)


class Flop(NamedTuple):
    """FLOP of a model for each token read, token emitted, and query-key pair."""

    token: float
    row: float
    pair: float


def _running(served: Served, iteration: Iteration) -> list[int]:
    """Requests that hold their reservation during the iteration, at work or not."""
    times = zip(served.result.start_s, served.result.finish_s, strict=True)
    return [
        i
        for i, (start, finish) in enumerate(times)
        if start <= iteration.start_s and iteration.end_s <= finish
    ]


def utilization_shares(served: Served, flop: Flop) -> list[float]:
    """Half by FLOP, half by reserved tokens times seconds, along the run."""
    compute = [0.0] * len(served.requests)
    memory = [0.0] * len(served.requests)
    for iteration in served.result.iterations:
        for p in iteration.participants:
            f = p.features
            pairs = f.prefill_pairs + f.decode_kv
            compute[p.request] += flop.token * f.num_tokens + flop.row * f.num_sequences
            compute[p.request] += flop.pair * pairs
        for i in _running(served, iteration):
            memory[i] += served.requests[i].reserved_tokens * iteration.latency_s
    half = attributable(served) / 2
    halves = in_proportion(half, compute), in_proportion(half, memory)
    return by_player(served, [a + b for a, b in zip(*halves, strict=True)])


def demand_shares(served: Served) -> list[float]:
    """Each level of reserved tokens, paid for by the time in which it was reached.

    That price of a second, times what each request had reserved in it.
    """
    iterations = served.result.iterations
    running = [_running(served, iteration) for iteration in iterations]
    demand = [sum(served.requests[i].reserved_tokens for i in who) for who in running]
    levels = [0, *sorted(set(demand))]
    weights = [0.0] * len(served.requests)
    for below, level in zip(levels[:-1], levels[1:], strict=True):
        reached = [j for j, tokens in enumerate(demand) if tokens >= level]
        price = (level - below) / sum(iterations[j].latency_s for j in reached)
        for j in reached:
            for i in running[j]:
                reserved = served.requests[i].reserved_tokens
                weights[i] += price * reserved * iterations[j].latency_s
    return by_player(served, in_proportion(attributable(served), weights))
