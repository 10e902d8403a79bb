"""A small fleet in Parquet, its ledger, and how two ledgers compare."""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import carbjax as cj
from tests.fleets import EPOCH, changing_intensity, random_requests, small_system

NAMES = ("a", "b", "c", "d")
EACH = 40  # requests of a backend
SLICE = 8
LANES = 2


def system(intensity: cj.Intensity | None = None, **changes) -> cj.System:
    return small_system(intensity or changing_intensity(), **changes)


def requests(number: int) -> pa.Table:
    """The requests of a backend; the sixth is a null player, tenants have odd names."""
    arrival, prompt, decode = random_requests(10 + number, EACH)
    prompt[5] = decode[5] = 0
    micros = np.round((EPOCH.timestamp() + arrival) * 1e6).astype(np.int64)
    tenants = ["ann", "../bob\n", "<b>&'\"", None]
    return pa.table(
        {
            "arrival": pa.array(micros).cast(pa.timestamp("us", "UTC")),
            "prompt_tokens": prompt,
            "decode_tokens": decode,
            "request_id": [f"{NAMES[number]}{i}" for i in range(EACH)],
            "tenant_id": [tenants[i % 4] for i in range(EACH)],
        }
    )


def write_fleet(folder: pathlib.Path) -> pathlib.Path:
    """The folder, with the requests by backend and hour; two row groups a file."""
    for number, name in enumerate(NAMES):
        table = requests(number)
        for hour, part in ((9, table[:25]), (10, table[25:])):
            target = folder / f"backend={name}" / f"hour={hour}"
            target.mkdir(parents=True)
            pq.write_table(part, target / "part-0.parquet", row_group_size=16)
    return folder


def make(
    source: pathlib.Path, out: pathlib.Path, *, of: cj.System | None = None, **asked
) -> cj.FleetLedger:
    """The ledger; two groups of two lanes, if `LANES` is the fewest."""
    settings = {"workers": 1, "slice_rows": SLICE} | asked
    return cj.make_ledger(cj.find_backends([source]), of or system(), out, **settings)


def content(folder: pathlib.Path) -> dict[str, bytes]:
    """Every file of a ledger, by its path in the folder, to the byte."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
