"""A text trace of three requests, and options for a small ledger of it."""

from tests.cli.calling import HEADER
from tests.ledger import fleet

STAMPED = HEADER + "".join(
    f"{name},{tenant},2024-05-01T09:50:00.{tenths}Z,{prompt},{decode}\n"
    for name, tenant, tenths, prompt, decode in (
        ("a", "ann", 0, 100, 5),
        ("b", "bob", 1, 200, 3),
        ("c", "ann", 3, 50, 4),
    )
)
# The lanes and slices of the other ledgers here, so that programs are shared.
SHAPE = ("--backends", fleet.LANES, "--slice-rows", fleet.SLICE, "--workers", 1)
