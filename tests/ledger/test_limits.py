"""Traces that a system cannot serve, or has not been measured for, in a ledger."""

import dataclasses as dc

import pytest

import carbjax as cj
from carbjax._surrogate.surrogate import Surrogate
from tests.cli.calling import write
from tests.fleets import changing_intensity
from tests.ledger import fleet
from tests.ledger.texts import STAMPED
from tests.traces.test_bad_fixtures import BAD, SERVED

TOO_LARGE = BAD / "infeasible.csv"
AT = 1_740_830_400 - 1  # s, Unix: its first arrival, less a second


@pytest.fixture(scope="module")
def system():
    """A quick cost that says it was measured as the shipped fit was."""
    return dc.replace(fleet.system(), surrogate=Surrogate.shipped("h200-sxm"))


def make(trace, out, system, **asked):
    backends = cj.find_backends([trace], spread=fleet.LANES, **asked)
    return cj.make_ledger(backends, system, out, workers=1, slice_rows=fleet.SLICE)


def test_a_prompt_that_no_memory_holds_is_an_error_or_a_reject(
    tmp_path, system, kept_programs
):
    series = changing_intensity()
    later = cj.Intensity(series.edges_s - series.edges_s[0] + AT, series.values)
    system = dc.replace(system, carbon_intensity=later)
    message = SERVED["infeasible.csv"].replace("'b'", "'b' of backend 'infeasible.csv/1'")
    with pytest.raises(cj.WorkloadError, match=message) as caught:
        make(TOO_LARGE, tmp_path / "refused", system)
    assert caught.value.file == str(TOO_LARGE)
    ledger = make(TOO_LARGE, tmp_path / "ledger", system, rejects=True)
    (reject,) = ledger.table("rejects").to_pylist()
    assert (reject["file"], reject["file_row"]) == (str(TOO_LARGE), 3)
    assert message in reject["problem"] and ledger.manifest["requests"] == 2
    assert not any("contexts" in flag for flag in ledger.manifest["flags"])


def test_a_context_beyond_the_profile_is_flagged_in_the_manifest(
    tmp_path, system, kept_programs
):
    more = "d,ann,2024-05-01T09:50:01Z,45000,20\ne,ann,2024-05-01T09:50:00.2Z,9,2\n"
    trace = write(tmp_path, STAMPED + more)
    ledger = make(trace, tmp_path / "ledger", system)
    flag = SERVED["far_outside.csv"].replace("200000", "45020")
    assert flag in ledger.manifest["flags"] and ledger.manifest["requests"] == 5
    (note,) = (flag for flag in ledger.manifest["flags"] if "come before" in flag)
    assert note.startswith(f"{trace}: 1 requests come before the one above them (row 6)")
