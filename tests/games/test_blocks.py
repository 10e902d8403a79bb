"""Blocks that never share the server: proven, and then the game is a sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carbjax._attribution.by_blocks import index_by_blocks, index_of_game
from carbjax._attribution.enumerated import enumerate_index
from carbjax._attribution.indices import (
    banzhaf_index,
    interaction_index,
    shapley_index,
)
from carbjax._estimators.blocks import separate_blocks
from carbjax._estimators.estimate import estimate_shapley
from carbjax._games.block_ends import latest_ends
from carbjax._games.block_game import Block
from carbjax._games.block_tables import tabulate_blocks
from carbjax._games.blocks import blocks_of, independent_blocks
from carbjax._games.serving import ServingGame
from carbjax._serving.system import System
from carbjax._workload import Workload
from tests.reference.shapley import coalitions
from tests.reference.workloads import cases
from tests.systems import judged


def _judged(case, seed=0):
    _, workload, system = judged(case, np.random.default_rng(seed), "always_on")
    return workload, system


def _everybody(game: ServingGame) -> Block:
    slots = np.flatnonzero(np.asarray((game.prefill > 0) | (game.decode > 0)))
    return Block(slots, np.unique(np.asarray(game.player)[slots]))


def _clusters(seed: int, players=None, count: int = 8, policy=None):
    """Requests in clusters with long and short gaps, on a shipped system."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.exponential(3.0, 4))
    arrival = np.sort(rng.choice(starts, count) + rng.uniform(0, 0.3, count))
    prefill, decode = rng.integers(0, 2000, count), rng.integers(0, 90, count)
    system = System.load(
        policy=policy or ["prefill_first", "chunked_prefill", "static"][seed % 3],
        provisioning=["always_on", "on_demand"][seed % 2],
    )
    return Workload(arrival, prefill, decode, players), system


def _bits(table):
    """The rows of a block's table for all coalitions of eight players."""
    all_coalitions = np.arange(2**8)[:, None] >> np.arange(8) & 1
    return all_coalitions[:, table.block.players] @ np.asarray(table.lattice.stride)


@pytest.mark.parametrize("seed", range(3))
def test_the_game_is_the_sum_of_its_blocks(seed):
    game = ServingGame(*_clusters(seed))
    blocks = blocks_of(game)
    assert len(blocks) > 1
    (whole,) = tabulate_blocks(game, [_everybody(game)])
    tables = tabulate_blocks(game, blocks)
    for column in ("prefill", "decode", "embodied", "energy_j"):
        parts = [getattr(t.values, column)[_bits(t)] for t in tables]
        expected = getattr(whole.values, column)[_bits(whole)]
        np.testing.assert_allclose(np.sum(parts, axis=0), expected, rtol=1e-11)


@pytest.mark.parametrize("index_of", [shapley_index, banzhaf_index, interaction_index])
def test_an_index_is_the_sum_over_blocks(index_of):
    game = ServingGame(*_clusters(1))
    by_blocks = index_by_blocks(game, blocks_of(game), index_of)
    whole = index_by_blocks(game, [_everybody(game)], index_of)
    pairs = zip(jax.tree.leaves(by_blocks), jax.tree.leaves(whole), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_tenant_plays_in_every_block_of_its_requests():
    workload, system = _clusters(1, [0, 1, 2, 0, 1, 2, 0, 1])
    game = ServingGame(workload, system)
    blocks = blocks_of(game)
    assert sum(0 in block.players for block in blocks) > 1
    by_blocks = index_by_blocks(game, blocks, shapley_index).total
    whole = enumerate_index(game, shapley_index).total
    np.testing.assert_allclose(by_blocks, whole, rtol=1e-10)


def _ends(case):
    """When the crowd ends, and when the coalition that ends last does: the judge's."""
    crowd = case.simulate()
    ends = [
        case._replace(requests=[case.requests[i] for i in members]).simulate().end_s
        for members in coalitions(len(case.requests))
        if any(not case.requests[i].is_null for i in members)
    ]
    return crowd.end_s - crowd.begin_s, max(ends, default=0.0) - crowd.begin_s


def _with_late_request(case, after_s: float):
    workload, system = _judged(case)
    late = workload.start_s + after_s
    return Workload(
        [*workload.arrival_s, late],
        [*workload.num_prefill_tokens, 1],
        [*workload.num_decode_tokens, 1],
        epoch=workload.epoch,
    ), system


def test_blocks_that_only_a_smaller_coalition_joins_are_one():
    """The crowd has idled before the last request comes, but some coalition has not."""
    random = [c for c in cases(11, 60, max_requests=5, max_answer=40)]
    chunked = [c for c in random if c.policy == "chunked_prefill" and len(c.requests) == 4]
    ends = [(case, *_ends(case)) for case in chunked]
    case, crowd, latest = max(ends, key=lambda found: found[2] / max(found[1], 1e-9))
    assert latest > 1.01 * crowd
    meeting = _with_late_request(case, (crowd + latest) / 2)
    apart = _with_late_request(case, latest * 1.001)
    assert [len(b) for b in independent_blocks(*meeting) if 4 in b] != [1]
    assert [len(b) for b in independent_blocks(*apart) if 4 in b] == [1]


def test_no_coalition_outlasts_the_bound():
    bounded = 0
    for seed in (*range(3), 6, 7, 8):
        game = ServingGame(*_clusters(seed))
        blocks = blocks_of(game)
        bounds = latest_ends(game, blocks)
        for table, bound in zip(tabulate_blocks(game, blocks), bounds, strict=True):
            assert table.end.max() <= bound
            bounded += np.isfinite(bound)
    assert bounded > 12


def test_a_block_that_is_not_proven_is_merged():
    """No bound where requests wait for seats; with all coalitions run, none is needed."""
    workload, system = _clusters(0)
    one_seat = System.load(policy=system.policy, max_num_seqs=1)
    game = ServingGame(workload, one_seat)
    assert len(blocks_of(game, most_probed=0)) < len(blocks_of(game))


def test_a_budget_that_pays_for_each_block_makes_an_estimate_exact():
    """Coalitions of all blocks go together in one coalition of the whole."""
    game = ServingGame(*_clusters(0))
    blocks = separate_blocks(game)
    largest = max(2 ** len(block.players) for block in blocks)
    assert 1 < len(blocks) and largest < 2**game.num_players
    found = estimate_shapley(game, budget=largest)
    assert found.num_evaluations == largest and found.estimator == "exact"
    whole = index_by_blocks(game, [_everybody(game)], shapley_index)
    np.testing.assert_allclose(found.shares, whole.total, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.stderr, 0.0)


def test_null_players_are_in_no_block():
    workload, system = _clusters(1)
    nothing = np.arange(8) == 3
    lengths = [
        np.where(nothing, 0, x)
        for x in (workload.num_prefill_tokens, workload.num_decode_tokens)
    ]
    blocks = independent_blocks(workload.with_tokens(*lengths), system)
    assert sorted(np.concatenate(blocks)) == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.slow
def test_two_hundred_requests_are_exact():
    """The shares are efficient, and those of a block are those that it has alone."""
    rng = np.random.default_rng(0)
    arrival = np.cumsum(rng.exponential(6.0, 200))
    lengths = rng.integers(1, 1500, 200), rng.integers(1, 120, 200)
    system = System.load(provisioning="on_demand")
    game = ServingGame(Workload(arrival, *lengths), system)
    shares = index_of_game(game, shapley_index).total
    everybody = float(game(jnp.ones(200, bool)))
    assert float(shares.sum()) == pytest.approx(everybody, rel=1e-9)
    block = max(independent_blocks(Workload(arrival, *lengths), system), key=len)
    alone = Workload(arrival, *lengths).select(np.isin(np.arange(200), block))
    found = enumerate_index(ServingGame(alone, system), shapley_index).total
    np.testing.assert_allclose(shares[block], found, rtol=1e-8)
