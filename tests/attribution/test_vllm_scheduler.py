"""The scheduler in docs/logs.md writes logs that carbjax joins, on a stand-in for vLLM."""

import pathlib
import re
import sys
import types

import numpy as np
import pytest

from carbjax._attribution.recorded_logs import read_recorded

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "logs.md"
BUDGET = 50


class StandIn:
    """First come, first served, with a prefix cache and aborts, as vLLM's scheduler."""

    def __init__(self):
        self.requests, self.begun = [], set()

    def schedule(self):
        left, scheduled, new = BUDGET, {}, []
        for r in self.requests:
            n = min(left, max(r.num_prompt_tokens - r.num_computed_tokens, 1))
            if n and r.request_id not in self.begun:
                self.begun.add(r.request_id)
                r.num_computed_tokens = r.cached
                n = min(left, r.num_prompt_tokens - r.cached)
                new.append(
                    types.SimpleNamespace(
                        req_id=r.request_id, num_computed_tokens=r.num_computed_tokens
                    )
                )
            if n:
                scheduled[r.request_id], left = n, left - n
                r.num_computed_tokens += n
        return types.SimpleNamespace(num_scheduled_tokens=scheduled, scheduled_new_reqs=new)

    def update_from_output(self, scheduled):
        for r in list(self.requests):
            if r.request_id in scheduled.num_scheduled_tokens:
                r.given += r.num_computed_tokens >= r.num_prompt_tokens
            if r.given == r.wanted:
                self._free_request(r)

    def abort(self, request):
        self._free_request(request)

    def _free_request(self, request, delay_free_blocks=False):
        self.requests.remove(request)


@pytest.fixture
def logged(tmp_path, monkeypatch):
    code = next(
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if "class Logged" in block
    )
    name = "vllm.v1.core.sched.scheduler"
    for i in range(name.count(".") + 1):
        part = ".".join(name.split(".")[: i + 1])
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    sys.modules[name].Scheduler = StandIn
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    found = names["Logged"]()
    yield found
    found.iterations.close()
    found.ended.close()


def test_its_logs_join(logged, tmp_path):
    import time

    rng = np.random.default_rng(0)
    for i in range(12):
        prompt = int(rng.integers(2, 90))
        logged.requests.append(
            types.SimpleNamespace(
                request_id=f"r{i}",
                arrival_time=time.time(),
                num_prompt_tokens=prompt,
                num_computed_tokens=0,
                cached=int(rng.integers(0, prompt)) if i % 3 == 0 else 0,
                given=0,
                wanted=int(rng.integers(1, 9)),
            )
        )
    batches, aborted = [], set()
    while logged.requests:
        scheduled = logged.schedule()
        batches.append(dict(scheduled.num_scheduled_tokens))
        if len(batches) in (3, 7):
            # Between scheduling and the model's answer: its last tokens are in the log.
            victim = logged.requests[0]
            aborted.add(victim.request_id)
            logged.abort(victim)
        logged.update_from_output(scheduled)
    log = read_recorded(tmp_path / "requests.jsonl", tmp_path / "iterations.jsonl")
    found = log.schedule.iterations
    assert found.column("num_tokens").tolist() == [sum(b.values()) for b in batches]
    assert found.column("num_requests").tolist() == [len(b) for b in batches]
    assert log.requests.num_requests == 12 and len(aborted) == 2
    assert log.schedule.workload.epoch is not None
