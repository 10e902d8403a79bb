"""Tenants come from the caller or the file, never from thin air."""

import numpy as np
import pytest

from carbjax._errors import TraceError
from carbjax._traces import read_trace, read_trace_report

PLAIN = "arrival,prompt_tokens,decode_tokens\n0,1,1\n1,2,2\n2,3,3\n"
NAMED = (
    "request_id,team,arrival,prompt_tokens,decode_tokens\n"
    "a,red,0,1,1\nb,blue,1,2,2\nc,red,2,3,3\n"
)


@pytest.fixture
def trace(tmp_path):
    def trace(text, name="trace.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return trace


@pytest.mark.parametrize(
    "tenant",
    [
        "team",
        {"a": "red", "b": "blue", "c": "red"},
        lambda i: "blue" if i == "b" else "red",
    ],
    ids=["column", "map", "function"],
)
def test_a_column_a_map_and_a_function_tell_the_same(trace, tenant):
    text = (
        NAMED
        if tenant == "team"
        else NAMED.replace("team,", "").replace(",red", "").replace(",blue", "")
    )
    w, report = read_trace_report(trace(text), tenant=tenant)
    np.testing.assert_array_equal(w.player, [0, 1, 0])
    assert w.player_names == ("red", "blue") and report.num_tenants == 2


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_a_map_may_be_a_file(trace, as_path):
    pairs = trace("request_id,tenant_id\n2,x\n0,y\n1,x\n9,unused\n", "map.csv")
    w = read_trace(trace(PLAIN), tenant=as_path(pairs))
    np.testing.assert_array_equal(w.player, [0, 1, 1])
    assert w.player_names == ("y", "x")


def test_requests_without_ids_are_counted_from_zero(trace):
    w = read_trace(trace(PLAIN), tenant={0: "x", "1": "y", 2: "x"})
    np.testing.assert_array_equal(w.player, [0, 1, 0])


def test_without_tenants_each_request_is_a_player(trace):
    w, report = read_trace_report(trace(PLAIN))
    np.testing.assert_array_equal(w.player, [0, 1, 2])
    assert report.num_tenants is None and w.player_names is None


@pytest.mark.parametrize(
    "tenant, message",
    [
        ({"0": "x", "1": "x"}, r"row 4: request '2' has no tenant"),
        ({}, r"row 2: request '0' has no tenant"),
        (lambda request_id: None, r"row 2: the `tenant` function names no tenant"),
        ("teem", r"'teem', neither a column nor a file"),
        (3, r"`tenant` is 3"),
    ],
)
def test_a_missing_tenant_is_an_error(trace, tenant, message):
    with pytest.raises(TraceError, match=message):
        read_trace(trace(PLAIN), tenant=tenant)


def test_an_unnamed_tenant_column_is_an_error(trace):
    with pytest.raises(TraceError, match="row 1, column 'team': this column is not known"):
        read_trace(trace(NAMED))


@pytest.mark.parametrize(
    "pairs, message",
    [
        ("request_id,tenant_id\n0,x\n0,y\n", "row 3.*has the tenants 'x' and 'y'"),
        ("request_id,tenant_id\n0,\n", "row 2, column 'tenant_id': there is no value"),
        ("request,tenant_id\n0,x\n", "row 1, column 'request_id': this column is missing"),
    ],
)
def test_a_bad_map_file_is_an_error(trace, pairs, message):
    with pytest.raises(TraceError, match=message):
        read_trace(trace(PLAIN), tenant=trace(pairs, "map.csv"))


def test_requests_may_be_named_by_another_column(trace):
    text = "name," + NAMED.replace("\na,", "\nx,a,").replace("\nb,", "\ny,b,")
    text = text.replace("\nc,", "\nz,c,")
    named = read_trace(trace(text), tenant="team", request_id="name")
    assert named.request_ids == ("x", "y", "z") and named.player_names == ("red", "blue")
    with pytest.raises(
        TraceError, match="column 'names': this column is missing. .*'name'"
    ):
        read_trace(trace(text), tenant="team", request_id="names")
    with pytest.raises(TraceError, match="row 4, column 'name': 'x' is also"):
        read_trace(trace(text.replace("z,", "x,")), tenant="team", request_id="name")
