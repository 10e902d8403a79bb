"""Ledgers: who is charged with what, as a table and as a file."""

from carbjax._ledger.backends import Backend as Backend
from carbjax._ledger.closing import ClosureError as ClosureError
from carbjax._ledger.make import FleetLedger as FleetLedger, make_ledger as make_ledger
from carbjax._ledger.recorded import make_recorded_ledger as make_recorded_ledger
from carbjax._ledger.sources import find_backends as find_backends
from carbjax._ledger.systems import read_systems as read_systems
from carbjax._ledger.table import (
    SCHEMA as SCHEMA,
    UNATTRIBUTED as UNATTRIBUTED,
    ledger_table as ledger_table,
    player_labels as player_labels,
    players_are_requests as players_are_requests,
    tokens_of_players as tokens_of_players,
)
from carbjax._ledger.write import (
    LEDGER_SUFFIXES as LEDGER_SUFFIXES,
    write_ledger as write_ledger,
)
