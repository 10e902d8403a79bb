"""Results of `vllm bench serve --save-result --save-detailed`, one run a file.

Source: `vllm-project/vllm`, `vllm/benchmarks/serve.py`: `start_times` come from
`time.perf_counter()`, a monotonic clock; `date` is when the result was written, in local
time. Versions without `start_times` cannot be placed in time.
"""

from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from carbjax._traces.columns import Table
from carbjax._traces.format import Arrivals, Documents, TraceFormat, from_start
from carbjax._traces.json_lines import documents
from carbjax._traces.rejects import Quarantine
from carbjax._traces.source import Source
from carbjax._traces.values import numbers

_START, _PROMPT, _ANSWER, _ERROR = "start_times", "input_lens", "output_lens", "errors"
_DETAILS = (_START, _PROMPT, _ANSWER, _ERROR)
# In any result of the benchmark, detailed or not.
_ALWAYS = {"total_input_tokens", "request_throughput"}


def bench_table(source: Source, quarantine: Quarantine | None) -> Table:
    """A row for each request; errors count requests from 1."""
    runs = documents(source)
    if len(runs) > 1:
        raise source.fail(
            f"the file holds {len(runs)} runs, whose clocks may differ.",
            hint="Give each run in its own file (no `--append-result`).",
        )
    columns = {}
    for name in _DETAILS:
        if name not in runs[0]:
            raise source.error(
                "this list is missing.",
                file=source.file,
                column=name,
                hint="Run `vllm bench serve` with `--save-detailed`, in a version that "
                "writes `start_times`.",
            )
        columns[name] = _column(source, name, runs[0][name])
    size = len(columns[_PROMPT])
    for name, values in columns.items():
        if len(values) != size:
            raise source.error(
                f"the list has {len(values)} values, {_PROMPT!r} has {size}.",
                file=source.file,
                column=name,
                hint="Is the file a merger of several?",
            )
    return Table(
        source.file, columns, size, lambda i: i + 1, None, source.error, quarantine
    )


def _column(source: Source, name: str, values: object) -> pa.Array:
    plain = isinstance(values, list) and all(
        value is None or isinstance(value, str) for value in values
    )
    if not plain:
        raise source.error(
            "this is not a list of numbers or texts.", file=source.file, column=name
        )
    return pa.array(values, pa.string())


def _arrivals(table: Table, column: str, zone: ZoneInfo | None) -> Arrivals:
    seconds = numbers(table, column)
    return from_start(table, column, seconds - seconds.min())


def _check(table: Table) -> tuple[str, ...]:
    errors = [text or "" for text in table.columns[_ERROR].to_pylist()]
    table.refuse(
        np.array([bool(text.strip()) for text in errors], bool),
        _ERROR,
        lambda index: (
            f"the request failed ({_short(errors[index])}): what it used is not known."
        ),
        "Set failures aside: name a file for them with rejects=.",
    )
    return ()


def _short(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:120]


VLLM_BENCH = TraceFormat(
    name="vllm_bench",
    arrival=_START,
    num_prefill_tokens=_PROMPT,
    num_decode_tokens=_ANSWER,
    read_arrivals=_arrivals,
    checked=(_ERROR,),
    check=_check,
    documents=Documents(frozenset({_PROMPT, _START, *_ALWAYS}), bench_table),
)
