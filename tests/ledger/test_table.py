import numpy as np
import pytest

from carbjax._ledger import SCHEMA, UNATTRIBUTED, ledger_table

from .attributions import attributed, requests


def test_ledger_adds_up_to_the_total():
    attribution = attributed()
    ledger = ledger_table(attribution, requests())
    carbon = ledger["operational_gco2e"].to_numpy() + ledger["embodied_gco2e"].to_numpy()
    assert carbon.sum() == pytest.approx(attribution.total, rel=1e-14)
    energy = attribution.energy_j.sum() + attribution.unattributed_energy_j
    assert ledger["energy_j"].to_numpy().sum() == pytest.approx(energy, rel=1e-14)


def test_ledger_has_the_columns_of_its_schema_and_a_row_a_request():
    ledger = ledger_table(attributed(), requests())
    assert ledger.schema == SCHEMA
    assert ledger["request_id"].to_pylist() == ["r1", "r2", "r3", UNATTRIBUTED]
    assert ledger["prompt_tokens"].to_pylist() == [10, 20, 30, 0]
    assert ledger["tenant_id"].null_count == 4
    assert ledger["stderr_gco2e"].null_count == 4


def test_operational_carbon_is_prefill_decode_and_idle():
    attribution = attributed()
    ledger = ledger_table(attribution, requests())
    parts = attribution.components
    expected = parts["prefill"] + parts["decode"] + parts["idle"]
    assert np.array_equal(ledger["operational_gco2e"].to_numpy()[:3], expected)


def test_tenant_rows_sum_the_tokens_of_their_requests():
    workload = requests(player=[1, 0, 1], player_names=("ann", "bob"))
    ledger = ledger_table(attributed(2), workload)
    assert ledger["tenant_id"].to_pylist() == ["ann", "bob", None]
    assert ledger["prompt_tokens"].to_pylist() == [20, 40, 0]
    assert ledger["request_id"].to_pylist() == [None, None, UNATTRIBUTED]


def test_request_rows_name_their_tenant_where_it_is_known():
    ledger = ledger_table(attributed(), requests().by_request(), ("ann", "bob", "ann"))
    assert ledger["tenant_id"].to_pylist() == ["ann", "bob", "ann", None]
    assert ledger["request_id"].to_pylist()[:3] == ["r1", "r2", "r3"]


def test_one_request_a_tenant_is_still_a_ledger_of_tenants():
    ledger = ledger_table(attributed(), requests(player_names=("ann", "bob", "cy")))
    assert ledger["tenant_id"].to_pylist()[:3] == ["ann", "bob", "cy"]


def test_players_are_numbered_where_nothing_names_them():
    ledger = ledger_table(attributed(), requests(request_ids=None))
    assert ledger["request_id"].to_pylist()[:3] == ["0", "1", "2"]


def test_sampling_error_and_flags_are_kept():
    attribution = attributed(stderr=np.array([0.1, 0.2, 0.3]), flags=("a", "b"))
    ledger = ledger_table(attribution, requests())
    assert ledger["stderr_gco2e"].to_pylist() == [0.1, 0.2, 0.3, None]
    assert set(ledger["flags"].to_pylist()) == {"a; b"}
