"""Logs of a server joined into its schedule, and its energy set to a meter's."""

import datetime as dt
import json

import equinox as eqx
import numpy as np
import pytest

from carbjax._attribution.metered import meter_schedule
from carbjax._attribution.recorded import attribute_recorded
from carbjax._attribution.recorded_logs import read_recorded
from carbjax._carbon.intensity import Intensity
from carbjax._errors import TraceError
from carbjax._traces.meter import read_meter
from tests.reference.workloads import cases, random_machine
from tests.systems import case_system

EPOCH = dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC)
OFFSET = EPOCH.timestamp() - 70_000.0  # Unix less monotonic
BUDGET, SECONDS = 64, 0.02


class Server:
    """First come, first served: running requests decode, then prompts fill the batch."""

    def __init__(self, rng, number=12, pauses=False):
        self.prompt = rng.integers(1, 150, number)
        self.answer = rng.integers(0, 9, number)
        self.arrival_s = np.sort(rng.uniform(0, 0.5, number))
        self.batches: list[tuple[float, dict[int, int], int]] = []
        read, given = np.zeros(number, int), np.zeros(number, int)
        now = 0.0
        while (read < self.prompt).any() or (given < self.answer).any():
            running = np.flatnonzero((read == self.prompt) & (given < self.answer))
            waiting = [
                i for i in range(number) if read[i] < self.prompt[i] and self.came(i, now)
            ]
            if not len(running) and not waiting:
                now += 0.001
                continue
            pause = pauses and waiting and rng.random() < 0.5
            batch = {} if pause else {int(i): 1 for i in running}
            given[list(batch)] += 1
            decodes, left = len(batch), BUDGET - len(batch)
            for i in waiting:
                tokens = int(min(left, self.prompt[i] - read[i]))
                if tokens:
                    batch[i], left = tokens, left - tokens
                    read[i] += tokens
                    given[i] += read[i] == self.prompt[i] and self.answer[i] > 0
            self.batches.append((now, batch, decodes))
            now += SECONDS + 0.001

    def came(self, i, now):
        return self.arrival_s[i] <= now

    def requests(self, path, calendar=True):
        def when(s):
            return (EPOCH + dt.timedelta(seconds=s)).isoformat() if calendar else f"{s:.6f}"

        rows = zip(map(when, self.arrival_s), self.prompt, self.answer, strict=True)
        lines = [f"r{i},{a},{p},{d}\n" for i, (a, p, d) in enumerate(rows)]
        header = "request_id,arrival,prompt_tokens,decode_tokens\n"
        path.write_text(header + "".join(lines))
        return path

    def tokens(self, path, clock=True):
        lines = [
            {
                "start_s": 70_000 + now,
                "end_s": 70_000 + now + SECONDS,
                "tokens": {f"r{i}": n for i, n in batch.items()},
            }
            for now, batch, _ in self.batches
        ]
        event = {"clock": {"unix_s": OFFSET, "monotonic_s": 0.0}}
        path.write_text("".join(json.dumps(x) + "\n" for x in [event][:clock] + lines))
        return path

    def counts(self, path):
        path.write_text("".join(self.count_lines()))
        return path

    def count_lines(self):
        for j, (now, batch, decodes) in enumerate(self.batches):
            stamp = EPOCH + dt.timedelta(seconds=now + SECONDS)
            contexts = len(batch) - decodes
            yield (
                f"(EngineCore_DP0 pid=1) INFO {stamp:%m-%d %H:%M:%S} [core.py:359] "
                f"Iteration({j}): {contexts} context requests, "
                f"{sum(batch.values()) - decodes} context tokens, {decodes} generation "
                f"requests, {decodes} generation tokens, iteration elapsed time: "
                f"{1000 * SECONDS:.2f} ms\n"
            )

    def features(self):
        """Tokens, and requests, in each iteration."""
        return [[sum(b.values()), len(b)] for _, b, _ in self.batches]


def found_features(schedule):
    columns = (schedule.iterations.column(n) for n in ("num_tokens", "num_requests"))
    return np.array(list(columns)).T.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_scheduled_tokens_are_the_schedule(tmp_path, seed):
    server = Server(np.random.default_rng(seed), pauses=seed % 2 == 1)
    log = read_recorded(
        server.requests(tmp_path / "requests.csv"), server.tokens(tmp_path / "log.jsonl")
    )
    assert found_features(log.schedule) == server.features()
    starts = [now for now, _, _ in server.batches]
    np.testing.assert_allclose(
        log.schedule.workload.epoch.timestamp() + log.schedule.start_s,
        EPOCH.timestamp() + np.array(starts),
        atol=1e-6,
    )
    assert log.requests.request_ids == tuple(f"r{i}" for i in range(12))


@pytest.mark.parametrize("seed", range(6))
def test_counts_leave_no_choice_where_the_first_comer_is_served_first(tmp_path, seed):
    server = Server(np.random.default_rng(seed), pauses=seed % 2 == 1)
    requests = server.requests(tmp_path / "requests.csv")
    named = read_recorded(requests, server.tokens(tmp_path / "log.jsonl")).schedule
    counted = read_recorded(requests, server.counts(tmp_path / "vllm.log"), tz="UTC")
    for table in ("chunks", "runs"):
        ours, theirs = getattr(counted.schedule, table), getattr(named, table)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
    late_s = counted.schedule.start_s - named.start_s
    assert (np.abs(late_s) < 1 + 1e-6).all() and (counted.schedule.duration_s == 0.02).all()


def test_a_year_may_end_in_the_log(tmp_path):
    """Stamps have no year, and their zone is behind that of the requests."""
    (tmp_path / "requests.csv").write_text(
        ONE.replace(",0,", ",2025-01-01T04:59:58.500000Z,")
    )
    counts = "context requests, {} context tokens, {} generation requests, {} generation"
    lines = [
        f"INFO {stamp} [core.py:359] Iteration({j}): {c} {counts.format(10 * c, g, g)} "
        "tokens, iteration elapsed time: 20.00 ms\n"
        for j, (stamp, c, g) in enumerate(
            [("12-31 23:59:58", 1, 0), ("01-01 00:00:01", 0, 1), ("01-01 00:00:01", 0, 1)]
        )
    ]
    (tmp_path / "vllm.log").write_text("".join(lines))
    schedule = read_recorded(
        tmp_path / "requests.csv", tmp_path / "vllm.log", tz="America/New_York"
    ).schedule
    np.testing.assert_allclose(schedule.start_s, [-0.02, 2.98, 3.0], atol=1e-6)


def test_without_a_calendar_both_logs_count_from_their_start(tmp_path):
    server = Server(np.random.default_rng(1))
    requests = server.requests(tmp_path / "requests.csv", calendar=False)
    log = read_recorded(requests, server.tokens(tmp_path / "log.jsonl", clock=False))
    assert log.schedule.workload.epoch is None
    assert found_features(log.schedule) == server.features()


def test_a_clock_may_be_given(tmp_path):
    server = Server(np.random.default_rng(1))
    requests = server.requests(tmp_path / "requests.csv")
    plain = server.tokens(tmp_path / "log.jsonl", clock=False)
    with pytest.raises(TraceError, match="nothing ties the two"):
        read_recorded(requests, plain)
    tied = read_recorded(requests, plain, unix_minus_clock_s=OFFSET).schedule
    logged = read_recorded(requests, server.tokens(tmp_path / "log2.jsonl")).schedule
    np.testing.assert_allclose(tied.start_s, logged.start_s, rtol=0, atol=1e-6)
    with pytest.raises(TraceError, match="before it came: the clocks"):
        read_recorded(requests, plain, unix_minus_clock_s=OFFSET - 3600)


def line(start, end, tokens, **more):
    return json.dumps({"start_s": start, "end_s": end, "tokens": tokens, **more}) + "\n"


ONE = "request_id,arrival,prompt_tokens,decode_tokens\na,0,10,3\n"
GOOD = line(1, 2, {"a": 10}) + line(2, 3, {"a": 1}) + line(4, 5, {"a": 1})
CLOCKS = '{"clock": {"unix_s": 2000000000, "monotonic_s": 7}}\n'
BAD_LOGS = {
    "swapped": (line(2, 1, {}), "row 1, column 'end_s': the iteration ends at 1.0 s"),
    "overlap": (line(1, 3, {"a": 10}) + line(2, 4, {"a": 1}), "row 2: .*starts 1 s before"),
    "mixed": (GOOD + line(1.7e9, 1.8e9, {"a": 1}), "row 4.*Unix and monotonic"),
    "NaN": (line(float("nan"), 2, {}), "row 1, column 'start_s': nan is not finite"),
    "no start": (
        '{"start_s": null, "tokens": {}}\n',
        "column 'start_s': there is no number",
    ),
    "text": (line(1, 2, {"a": "x"}), "column 'tokens': this is not a number of tokens"),
    "unknown": (line(1, 2, {}, colour=1), "column 'colour': this name is not known"),
    "cut": (GOOD + GOOD[:30], "row 4: the line is not JSON"),
    "stranger": (GOOD + line(5, 6, {"b": 1}), "row 4: 'b' is in this iteration and not"),
    "missing": (
        GOOD[: GOOD.rindex("{", 0, -30)],
        "has 11 tokens in the iterations, and 12",
    ),
    "twice": (GOOD + line(6, 7, {"a": 1}), "has 13 tokens in the iterations, and 12"),
    "speculative": (line(1, 2, {"a": 10}) + line(2, 3, {"a": 2}), "2 answer tokens in one"),
    "beyond": (line(1, 2, {"a": 9}) + line(2, 3, {"a": 3}), "row 2: 'a' reads beyond its"),
    "energy": (
        line(1, 2, {"a": 10}, energy_j=0),
        "row 1, column 'energy_j': the energy is",
    ),
    "clock set": (
        CLOCKS + CLOCKS.replace("7", "97") + GOOD,
        "row 2, column 'clock'.*-90.000",
    ),
    "nothing": (CLOCKS, "the log has no iterations"),
    "no log": ("hello\n", "no log of iterations that carbjax knows"),
}


@pytest.mark.parametrize("case", BAD_LOGS)
def test_logs_that_do_not_fit_are_refused_where_they_do_not(tmp_path, case):
    content, message = BAD_LOGS[case]
    (tmp_path / "requests.csv").write_text(ONE)
    (tmp_path / "log").write_text(GOOD)
    assert read_recorded(tmp_path / "requests.csv", tmp_path / "log").schedule
    (tmp_path / "log").write_text(content)
    with pytest.raises(TraceError, match=message):
        read_recorded(tmp_path / "requests.csv", tmp_path / "log")


def test_cached_tokens_are_not_read(tmp_path):
    (tmp_path / "requests.csv").write_text(ONE)
    log = (
        line(1, 2, {"a": 2}, cached={"a": 8}) + line(2, 3, {"a": 1}) + line(4, 5, {"a": 1})
    )
    (tmp_path / "log").write_text(log)
    schedule = read_recorded(tmp_path / "requests.csv", tmp_path / "log").schedule
    assert (schedule.chunks.cached.tolist(), schedule.chunks.tokens.tolist()) == ([8], [2])


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda lines: lines[:2] + lines[3:],
            r"row 3: Iteration\(3\) follows Iteration\(1\)",
        ),
        (lambda lines: lines[:-1], "the log ends"),
        (lambda lines: [*lines[:-1], lines[-1][:90]], "in words that are not known"),
        (lambda lines: [lines[0].replace(" 64 ", " 63 "), *lines[1:]], "row 2: .* tokens"),
        (lambda lines: [*lines[:-1], lines[-1].replace("DP0", "DP1")], "EngineCore_DP1"),
    ],
    ids=["gap", "end", "cut", "count", "engines"],
)
def test_counts_that_do_not_come_out_are_refused(tmp_path, change, message):
    server = Server(np.random.default_rng(0))
    server_lines = change(list(server.count_lines()))
    (tmp_path / "vllm.log").write_text("".join(server_lines))
    with pytest.raises(TraceError, match=message):
        read_recorded(server.requests(tmp_path / "r.csv"), tmp_path / "vllm.log", tz="UTC")


@pytest.fixture(scope="module")
def system():
    """The judge's machine, small and quick to compile, with a constant intensity."""
    case = next(iter(cases(11, 1, max_requests=8, max_answer=80)))
    rng = np.random.default_rng(0)
    machine = random_machine(rng, "always_on", 0.0, 1.0)._replace(idle_power_w=68.0)
    made = case_system(case, machine)
    constant = Intensity.constant(400.0)
    return eqx.tree_at(lambda system: system.carbon_intensity, made, constant)


@pytest.fixture
def schedule(tmp_path):
    server = Server(np.random.default_rng(3))
    requests = server.requests(tmp_path / "r.csv", calendar=False)
    return read_recorded(requests, server.tokens(tmp_path / "l", clock=False)).schedule


def meter_file(path, times, counters, column="energy_j"):
    rows = [
        f"{t!r},{g},{c!r}\n"
        for t, readings in zip(times, counters, strict=True)
        for g, c in enumerate(readings)
        if c is not None
    ]
    path.write_text(f"time,gpu,{column}\n" + "".join(rows))
    return path


def test_the_ledger_counts_what_the_meter_counted(tmp_path, system, schedule):
    """GPU electricity of the whole window, idle time included."""
    start, end = schedule.start_s[0] - 1.0, schedule.end_s[-1] + 2.0
    times = np.linspace(start, end, 9)
    counters = 5e6 + np.cumsum(np.random.default_rng(0).uniform(120, 250, 9))
    path = meter_file(tmp_path / "meter.csv", times.tolist(), counters[:, None].tolist())
    metered = meter_schedule(schedule, system, read_meter(path))
    edges = float(times[0]), float(times[-1])
    ledger = attribute_recorded(metered.schedule, system, window_s=edges)
    gpus_j = ledger.whole.energy_j / system.pue - system.footprint.host_power * (
        end - start
    )
    gpus_j += metered.beyond_idle_j
    assert gpus_j == pytest.approx(counters[-1] - counters[0], rel=1e-12)
    assert ledger.shares.sum() + ledger.unattributed == pytest.approx(
        ledger.total, rel=1e-12
    )
    assert metered.measured_j == pytest.approx(counters[-1] - counters[0])
    assert any(f"{metered.factor:.4g} times the modelled" in note for note in metered.notes)


def test_a_reset_or_missing_counter_is_unknown_and_never_zero(tmp_path, system, schedule):
    middle = float(schedule.start_s[len(schedule.start_s) // 2])
    times = [float(schedule.start_s[0]) - 0.1, middle, float(schedule.end_s[-1]) + 0.1]
    path = meter_file(tmp_path / "m", times, [[900.0], [7.0], [200.0]])
    readings = read_meter(path)
    assert np.isnan(readings.energy_j[0]) and readings.energy_j[1] == 193
    metered = meter_schedule(schedule, system, readings)
    unknown = schedule.end_s <= middle
    assert np.isnan(metered.schedule.energy_j[unknown]).all()
    assert not np.isnan(metered.schedule.energy_j[~unknown]).any()
    assert any("a counter was reset" in note for note in metered.notes)


def test_a_reading_that_lacks_a_gpu_joins_its_intervals(tmp_path):
    counters = [[0.0, 10.0], [1000.0, None], [3000.0, 20_010.0]]
    path = meter_file(tmp_path / "m", [1.0, 2.0, 4.0], counters, "energy_mj")
    readings = read_meter(path)
    assert (readings.time_s.tolist(), readings.energy_j.tolist()) == ([1, 4], [23])
    assert any("1 readings lack a GPU" in note for note in readings.notes)


@pytest.mark.parametrize(
    "times, counters, message",
    [
        ([0.0, 9.0], [[0.0], [1e9]], "the GPUs draw 1000 W at most"),
        ([-9.0, 9.0], [[0.0], [1.0]], "less than an idle machine"),
        ([100.0, 109.0], [[0.0], [900.0]], "knows no interval in which an iteration ran"),
        ([70_000.0, 1.7e9], [[0.0], [900.0]], "row 3, column 'time'.*another clock"),
        ([1.7e9, 1.7e9 + 60], [[0.0], [9e3]], "one is in calendar time"),
        ([1.0, 1.0], [[0.0], [900.0]], "has two readings"),
        ([1.0, 2.0], [[0.0], [-1.0]], "column 'energy_j': -1.0 is negative"),
        ([1.0], [[0.0]], "fewer than two readings"),
    ],
)
def test_meters_that_cannot_be_right(tmp_path, system, schedule, times, counters, message):
    schedule.start_s -= 70_000.0
    with pytest.raises(TraceError, match=message):
        meter_schedule(
            schedule, system, read_meter(meter_file(tmp_path / "m", times, counters))
        )
