"""Recorded schedules against the engine, against loops over participants, and bad logs."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

from carbjax._attribution.attribute import attribute
from carbjax._attribution.prices import average_prices
from carbjax._attribution.recorded import attribute_recorded
from carbjax._attribution.recorded_features import FEATURES
from carbjax._attribution.recorded_schedule import (
    DecodeRuns,
    PromptChunks,
    RecordedSchedule,
)
from carbjax._attribution.recorded_sums import DecodePrices, sum_over_runs
from carbjax._carbon.intensity import Intensity
from carbjax._errors import InputError, IntensityError, WorkloadError
from carbjax._surrogate.features import BatchFeatures
from tests.reference.workloads import cases
from tests.systems import EPOCH, judged

CASES = [
    case
    for case in cases(11, 120, max_requests=8, max_answer=80)
    if len(case.requests) == 6 and not all(r.is_null for r in case.requests)
]
SYSTEMS = (
    ("prefill_first", "on_demand"),
    ("chunked_prefill", "always_on"),
    ("chunked_prefill", "on_demand"),
    ("static", "always_on"),
)
NUM_ITERATIONS = 40


@pytest.mark.parametrize(("policy", "provisioning"), SYSTEMS)
def test_a_recorded_run_owes_what_streaming_says(policy, provisioning):
    """The run's intensity changes; with `on_demand` tenants are the players."""
    rng = np.random.default_rng(21)
    player = [0, 1, 0, 2, 1, 0] if provisioning == "on_demand" else None
    for case in [case for case in CASES if case.policy == policy][:3]:
        _, workload, system = judged(case, rng, provisioning, player)
        run = attribute(workload, system, "streaming")
        log = attribute_recorded(RecordedSchedule.of(workload, system), system)
        for name in ("emissions", "remainder", "whole"):
            ours, theirs = (jax.tree.leaves(getattr(x, name)) for x in (log, run))
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.max(b))
        assert log.flags == run.flags


def _random_log(rng) -> dict[str, Any]:
    """Requests that come when they like, read in chunks and pause; some are cached."""
    rows, runs, prompts, answers, cached = [], [], [], [], []
    for request in range(12):
        known, pieces = int(rng.integers(0, 30)), rng.integers(1, 50, rng.integers(1, 4))
        lengths = rng.integers(1, 8, rng.integers(0, 4))
        gaps = rng.integers(1, 3, len(pieces) + len(lengths))
        at = int(rng.integers(0, 5)) - 1
        for piece, gap in zip(pieces, gaps[: len(pieces)], strict=True):
            at += int(gap)
            rows.append((at, request, piece))
        for length, gap in zip(lengths, gaps[len(pieces) :], strict=True):
            runs.append((request, at + int(gap), at + int(gap + length) - 1))
            at += int(gap + length) - 1
        prompts.append(known + pieces.sum())
        answers.append(1 + lengths.sum())
        cached.append(known)
    duration_s = rng.uniform(0.01, 0.02, NUM_ITERATIONS)
    return dict(
        start_s=np.cumsum(duration_s + 0.001) - duration_s,
        duration_s=duration_s,
        num_prefill_tokens=prompts,
        num_decode_tokens=answers,
        num_cached_tokens=cached,
        chunks=PromptChunks(*rng.permutation(np.array(rows)).T),
        runs=DecodeRuns(*rng.permutation(np.array(runs)).T),
        epoch=EPOCH,
    )


def _participants(log) -> list[tuple[int, int, bool, dict]]:
    """(iteration, request, whether it decodes, its features), one token at a time."""
    found = []
    for request, prompt in enumerate(log["num_prefill_tokens"]):
        seen, context = log["num_cached_tokens"][request], prompt
        for j, who, c in sorted(zip(*log["chunks"], strict=True)):
            if who == request:
                pairs, ends = sum(seen + 1 + q for q in range(c)), seen + c == prompt
                brings = dict(num_tokens=c, num_sequences=ends, prefill_pairs=pairs)
                found.append((j, request, False, brings | dict(prefill_kv=seen + c)))
                seen += c
        for _, first, last in sorted(r for r in zip(*log["runs"]) if r[0] == request):
            for j in range(first, last + 1):
                context += 1
                one = dict(num_tokens=1, num_sequences=1, decode_tokens=1)
                brings = one | dict(decode_kv=context, decode_kv_sq=context**2)
                found.append((j, request, True, brings))
    return found


def _features(participants) -> dict[str, np.ndarray]:
    columns = {name: np.zeros(NUM_ITERATIONS) for name in FEATURES}
    for j, _, _, brings in participants:
        for name, amount in brings.items():
            columns[name][j] += amount
    return columns


def _judge(log, player, energy_j, system) -> np.ndarray:
    """Electricity by player and phase (decode last): loops over all participants."""
    participants = _participants(log)
    columns: Any = _features(participants)
    batch = BatchFeatures(**columns)
    latency, energy = system.cost(batch)
    rates, power = system.footprint.rates, system.accelerator.active_idle_power
    longer = log["duration_s"] / latency
    known = ~np.isnan(energy_j)
    more = np.where(known, energy_j / energy, 1.0)
    waiting = np.where(known, 0.0, power * (longer - 1))
    of_latency = rates.time * longer + rates.energy * waiting

    def price(of_latency, of_energy, features):
        def weigh(cost):
            return of_latency * cost[0] + of_energy * cost[1]

        return average_prices(system.cost, weigh, features)

    prices = jax.jit(jax.vmap(price))(of_latency, rates.energy * more, batch)
    prices = jax.tree.map(np.asarray, prices)
    shares = np.zeros((max(player) + 1, 2))
    for j in range(NUM_ITERATIONS):
        present = [p for p in participants if p[0] == j]
        who = [player[request] for _, request, _, _ in present]
        for (_, _, decodes, brings), i in zip(present, who, strict=True):
            shares[i, int(decodes)] += prices.fixed[j] / len(set(who)) / who.count(i)
            for name, amount in brings.items():
                shares[i, int(decodes)] += getattr(prices.features, name)[j] * amount
    return shares


@pytest.mark.parametrize("tenants", [12, 4])
def test_any_schedule_is_charged_participant_by_participant(tenants):
    rng = np.random.default_rng(22)
    _, _, system = judged(CASES[0], rng, "always_on")
    system = dataclasses.replace(system, carbon_intensity=Intensity.constant(360.0))
    log, player = _random_log(rng), np.arange(12) % tenants
    energy_j = np.where(rng.random(NUM_ITERATIONS) < 0.5, np.nan, 1.0)
    energy_j *= rng.uniform(1, 9, NUM_ITERATIONS)
    schedule = RecordedSchedule(**log, player=player, energy_j=energy_j)
    found = attribute_recorded(schedule, system)
    judged_j = _judge(log, player, energy_j, system)
    np.testing.assert_allclose(found.energy_j, judged_j.sum(axis=1), rtol=1e-10)
    for k, name in enumerate(("prefill", "decode")):
        grams = judged_j[:, k] * 360 / 3.6e6
        np.testing.assert_allclose(found.components[name], grams, rtol=1e-10, atol=1e-18)
    assert abs(found.residual) < 1e-9 * found.total
    assert any("wall time" in f for f in found.flags)
    assert any("measured energy is" in f for f in found.flags)


def test_features_are_those_of_the_participants():
    log = _random_log(np.random.default_rng(23))
    expected = _features(_participants(log))
    schedule = RecordedSchedule(**log, logged=expected)
    for name, column in expected.items():
        np.testing.assert_array_equal(schedule.iterations.column(name), column)
        wrong = np.where(np.arange(NUM_ITERATIONS) == 7, column + 1, column)
        with pytest.raises(WorkloadError, match=f"iteration 7 logs {name}"):
            RecordedSchedule(**log, logged={name: wrong})


def test_sums_over_runs_keep_their_digits_after_a_million_iterations():
    rng = np.random.default_rng(24)
    number = 10**6
    prices = DecodePrices(*rng.uniform(0.5, 1.5, (3, number)))
    first = np.concatenate([rng.integers(0, number - 5000, 50), [0, number - 1]])
    length = np.concatenate([rng.integers(1, 5000, 50), [number, 1]])
    context = rng.integers(1, 9, 52)
    found = sum_over_runs(prices, first, length, context)
    for f, m, k, total in zip(first, length, context, found, strict=True):
        c, a, q = (x[f : f + m] for x in prices)
        direct = np.sum(c + (k + np.arange(m)) * (a + (k + np.arange(m)) * q))
        assert total == pytest.approx(direct, rel=1e-13)


SIMPLE: Any = dict(
    start_s=[0.0, 0.1, 0.2, 0.3],
    duration_s=[0.1, 0.05, 0.1, 0.1],
    num_prefill_tokens=[5, 8],
    num_decode_tokens=[3, 2],
    first_iteration=[0, 2],
    last_iteration=[2, 3],
)


@pytest.mark.parametrize("idle", ["unattributed", "equal", "usage", "residence"])
@pytest.mark.parametrize("provisioning", ["always_on", "on_demand"])
def test_everything_is_somebody_s_or_unattributed(provisioning, idle):
    """Also an iteration of nobody, and a window before the first one."""
    _, _, system = judged(CASES[0], np.random.default_rng(25), provisioning)
    log = SIMPLE | dict(start_s=[0.0, 0.1, 0.2, 0.3, 0.4], duration_s=[0.05] * 5)
    energy_j = [np.nan] * 4 + [90.0]
    schedule = RecordedSchedule(**log, energy_j=energy_j, epoch=EPOCH)
    begin = float(system.carbon_intensity.edges_s[0])
    log = attribute_recorded(schedule, system, idle=idle, window_s=(begin / 2, 0.45))
    assert abs(log.residual) < 1e-9 * log.total
    assert log.unattributed > 0
    assert any("no participants" in flag for flag in log.flags)
    spread = log.components["idle"].sum() + log.components["embodied"].sum() > 0
    assert spread or provisioning == "always_on" or idle == "unattributed"


def test_twice_the_energy_is_twice_the_shares():
    """Where a machine has no idle power, and time is not paid for."""
    _, _, system = judged(CASES[0], np.random.default_rng(26), "always_on")
    still = eqx.tree_at(lambda s: s.accelerator.idle_power, system, 0.0)
    once, twice = (
        attribute_recorded(
            RecordedSchedule(**SIMPLE, energy_j=[2.0 * x] * 4, epoch=EPOCH), still
        ).energy_j
        for x in (1.0, 2.0)
    )
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-12)
    assert once.sum() == pytest.approx(8.0 * system.pue, rel=1e-12)


BAD: dict[str, Any] = {
    "has 3 answer tokens, and from its prompt": dict(last_iteration=[3, 3]),
    "iteration 1 starts 0.05 s before": dict(duration_s=[0.15, 0.1, 0.1, 0.1]),
    "iteration 2 takes nan s": dict(duration_s=[0.1, 0.1, np.nan, 0.1]),
    "iteration 3 takes -1.0 J": dict(energy_j=[1.0, np.nan, 1.0, -1.0]),
    "reads its prompt in iteration 9": dict(first_iteration=[0, 9]),
    "neither `last_iteration` nor `runs`": dict(last_iteration=None),
    "its chunks hold 4": dict(chunks=PromptChunks([0, 2], [0, 1], [4, 8])),
    "two chunks in iteration 0": dict(chunks=PromptChunks([0, 0, 2], [0, 0, 1], [4, 1, 8])),
    "`first_iteration` 0, and by its tokens it is 1": dict(
        chunks=PromptChunks([1, 2], [0, 1], [5, 8]),
        runs=DecodeRuns([0, 1], [2, 3], [3, 3]),
        last_iteration=None,
    ),
    "is busy up to 0": dict(runs=DecodeRuns([0, 1], [0, 3], [1, 3])),
    "decodes in 1 iterations": dict(runs=DecodeRuns([0, 1], [1, 3], [1, 3])),
    "has a column 'tokens'": dict(logged={"tokens": [1, 1, 1, 1]}),
    "names request 2": dict(runs=DecodeRuns([0, 2], [1, 3], [2, 3])),
    "of them cached": dict(num_cached_tokens=[6, 0]),
}


@pytest.mark.parametrize("message", BAD)
def test_a_log_that_does_not_hold_together_is_refused(message):
    with pytest.raises(WorkloadError, match=message):
        RecordedSchedule(**(SIMPLE | BAD[message]))


def test_carbon_that_cannot_be_told_is_refused():
    _, _, system = judged(CASES[0], np.random.default_rng(27), "always_on")
    with pytest.raises(WorkloadError, match="epoch"):
        attribute_recorded(RecordedSchedule(**SIMPLE), system)
    schedule = RecordedSchedule(**SIMPLE, epoch=EPOCH)
    with pytest.raises(IntensityError, match="covers"):
        attribute_recorded(schedule, system, window_s=(-1e9, 1.0))
    with pytest.raises(WorkloadError, match="window_s"):
        attribute_recorded(schedule, system, window_s=(0.0, 0.1))
    with pytest.raises(InputError, match="idle rule"):
        attribute_recorded(schedule, system, idle="somehow")
