"""Every way a trace can be wrong is a `TraceError` with file, row, column and a way out."""

import gzip
import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carbjax._errors import TraceError
from carbjax._traces import read_trace

OWN = "arrival,prompt_tokens,decode_tokens\n"
IDS = "request_id,arrival,prompt_tokens,decode_tokens\n"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
JSONL = '{"timestamp": 0, "input_length": 5, "output_length": 2}\n'

# (content, row, column, part of the message)
BAD = {
    "empty": ("", None, None, "empty"),
    "blank": ("\n \n", None, None, "empty"),
    "header only": (OWN, None, None, "no requests"),
    "header without line end": (OWN.strip(), None, None, "no requests"),
    "ragged": (OWN + "0,1,1\n1,2\n", 3, None, "2 values, the header 3"),
    "too wide": (OWN + "0,1,1\n1,2,3,4\n", 3, None, "4 values, the header 3"),
    "ragged after blank": (OWN + "0,1,1\n\n\n1,2\n", 5, None, "2 values"),
    "quote not closed": (OWN + '0,1,1\n"1,2,3\n4,5,6\n', 3, None, "quote not closed"),
    "name not closed": (IDS + 'a,0,1,1\n"b,0,1,1\n', 3, None, "quote not closed"),
    "last quote not closed": (OWN + '0,1,1\n1,2,"3\n4,5,6\n', 3, None, "quote not closed"),
    "missing column": ("arrival,prompt_tokens\n0,1\n", 1, "decode_tokens", "missing"),
    "nothing misspelt": (
        "arrival,decode_tokens\n0,1\n",
        1,
        "prompt_tokens",
        "missing. The file has arrival, decode_tokens.",
    ),
    "known columns": (
        "arrival,prompt_tokens,decode_tokens,tenant_id,xyz\n0,1,1,a,b\n",
        1,
        "xyz",
        "Known are arrival, prompt_tokens, decode_tokens, request_id, tenant_id.",
    ),
    "misspelt column": (
        "arrival,promt_tokens,decode_tokens\n0,1,1\n",
        1,
        "prompt_tokens",
        "promt_tokens",
    ),
    "unknown column": (
        "arrival,prompt_tokens,decode_tokens,colour\n0,1,1,red\n",
        1,
        "colour",
        "not known",
    ),
    "misspelt optional": (
        "request,arrival,prompt_tokens,decode_tokens\n0,0,1,1\n",
        1,
        "request",
        "request_id",
    ),
    "twice a column": (
        "arrival,arrival,decode_tokens\n0,1,1\n",
        1,
        "arrival",
        "two columns",
    ),
    "not a trace": ("a,b\n1,2\n", None, None, "no trace that carbjax knows"),
    "NaN": (OWN + "0,1,1\n0,nan,1\n", 3, "prompt_tokens", "not finite"),
    "infinite": (OWN + "0,1,inf\n", 2, "decode_tokens", "not finite"),
    "negative": (OWN + "0,1,1\n0,1,-2\n", 3, "decode_tokens", "-2 is negative"),
    "fractional": (OWN + "0,1,1\n0,1.5,2\n", 3, "prompt_tokens", "1.5 is not a whole"),
    "hexadecimal": (OWN + "0,1,1\n0,1,0X1F\n", 3, "decode_tokens", "not a decimal"),
    "beyond int32": (OWN + "0,2147483648,2\n", 2, "prompt_tokens", "beyond 2147483647"),
    "beyond int64": (OWN + "0,99999999999999999999,2\n", 2, "prompt_tokens", "beyond"),
    "no number": (OWN + "0,1,1\n1,two,2\n", 3, "prompt_tokens", "'two' is not a number"),
    "no value": (OWN + "0,1,1\n1,,2\n", 3, "prompt_tokens", "no value"),
    "no arrival": (OWN + ",1,1\n", 2, "arrival", "no value"),
    "arrival NaN": (OWN + "0,1,1\nnan,1,1\n", 3, "arrival", "not finite"),
    "arrival negative": (OWN + "-1,1,1\n", 2, "arrival", "before the start"),
    "Unix time": (OWN + "1700000000,1,1\n", 2, "arrival", "Unix time"),
    "seconds, then stamp": (
        OWN + "0,1,1\n2024-01-01T00:00:00Z,1,1\n",
        3,
        "arrival",
        "number",
    ),
    "stamp, then seconds": (
        OWN + "2024-01-01T00:00:00Z,1,1\n5,1,1\n",
        3,
        "arrival",
        "stamp",
    ),
    "bad stamp": (
        AZURE + "2024-01-01 00:00:00Z,1,1\n2024-13-01 00:00:00Z,1,1\n",
        3,
        "TIMESTAMP",
        "not a time stamp",
    ),
    "naive stamp": (AZURE + "2024-01-01 00:00:00,1,1\n", 2, "TIMESTAMP", "--tz UTC"),
    "naive among zoned": (
        AZURE + "2024-01-01 00:00:00Z,1,1\n2024-01-01 00:00:01,1,1\n",
        3,
        "TIMESTAMP",
        "has no time zone; those before it have one",
    ),
    "zoned among naive": (
        AZURE + "2024-01-01 00:00:00,1,1\n2024-01-01 00:00:01+01:00,1,1\n",
        3,
        "TIMESTAMP",
        "has a time zone; those before it have none",
    ),
    "same id twice": (IDS + "a,0,1,1\nb,0,1,1\na,0,1,1\n", 4, "request_id", "row 2"),
    "no id": (IDS + "a,0,1,1\n,0,1,1\n", 3, "request_id", "no value"),
    "JSON cut short": (JSONL + JSONL[:30], 2, None, "not JSON"),
    "JSON array": ("[1, 2]\n", 1, None, "not a JSON object"),
    "JSON missing key": (
        JSONL + '{"timestamp": 0, "input_length": 5}\n',
        2,
        "output_length",
        "no value",
    ),
    "JSON true": (JSONL + JSONL.replace("5", "true"), 2, "input_length", "not a number"),
    "JSON list": (JSONL + JSONL.replace("5", "[5]"), 2, "input_length", "not a number"),
    "JSON NaN": (JSONL + JSONL.replace("5", "NaN"), 2, "input_length", "not finite"),
    "JSON fraction": (JSONL + JSONL.replace("2}", "2.5}"), 2, "output_length", "whole"),
    "LFS pointer": (
        "version https://git-lfs.github.com/spec/v1\noid x\n",
        None,
        None,
        "LFS",
    ),
    "web page": ("<!DOCTYPE html>\n<html></html>\n", None, None, "web page"),
    "zip": (b"PK\x03\x04rest", None, None, "zip"),
    "not UTF-8": (OWN.encode() + b"0,1,1\n\xff,1,1\n", 3, None, "UTF-8"),
    "gzip cut short": (gzip.compress(OWN.encode() * 99)[:40], None, None, "damaged"),
    "Parquet cut short": (b"PAR1 and no more", None, None, "Parquet"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_where_they_are_bad(tmp_path, case):
    content, row, column, message = BAD[case]
    path = tmp_path / "trace"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert (caught.value.file, caught.value.row, caught.value.column) == (
        str(path),
        row,
        column,
    )
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "stamp, message",
    [("2024-03-31 02:30:00", "never happened"), ("2024-10-27 02:30:00", "happened twice")],
)
def test_local_times_that_a_clock_change_skips_or_repeats(tmp_path, stamp, message):
    path = tmp_path / "trace"
    path.write_text(f"{AZURE}2024-02-01 00:00:00,1,1\n{stamp},1,1\n")
    assert read_trace(path, tz="UTC").num_requests == 2
    with pytest.raises(TraceError, match=f"row 3, column 'TIMESTAMP'.*{message}"):
        read_trace(path, tz="Europe/Berlin")


@pytest.mark.parametrize("tz", ["Europe/Berln", "", "/etc/passwd", "America"])
def test_an_unknown_zone_is_refused(tmp_path, tz):
    with pytest.raises(TraceError, match="there is no time zone"):
        read_trace(tmp_path / "trace", tz=tz)


def test_paths_that_are_no_file(tmp_path):
    with pytest.raises(TraceError, match="no such file"):
        read_trace(tmp_path / "absent.csv")
    with pytest.raises(TraceError, match="a directory"):
        read_trace(tmp_path)
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace("a\0b")


def test_a_file_without_permission(tmp_path, monkeypatch):
    def denied(self):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(pathlib.Path, "read_bytes", denied)
    with pytest.raises(TraceError, match="permission"):
        read_trace(tmp_path / "trace.csv")


def test_a_name_that_claims_gzip(tmp_path):
    (tmp_path / "trace.csv.gz").write_text(OWN + "0,1,1\n")
    with pytest.raises(TraceError, match="not gzip"):
        read_trace(tmp_path / "trace.csv.gz")


def test_an_unknown_format_is_refused(tmp_path):
    (tmp_path / "trace").write_text(OWN + "0,1,1\n")
    with pytest.raises(TraceError, match="azure, mooncake, carbjax"):
        read_trace(tmp_path / "trace", format="azur")


@pytest.mark.parametrize(
    "columns, row, column, message",
    [
        (dict(prompt_tokens=[1, None]), 2, "prompt_tokens", "no value"),
        (dict(prompt_tokens=[1, -1]), 2, "prompt_tokens", "negative"),
        (dict(prompt_tokens=[1.0, 1.5]), 2, "prompt_tokens", "whole"),
        (dict(prompt_tokens=[True, False]), None, "prompt_tokens", "not numbers"),
        (dict(arrival=[[1], [2]]), None, "arrival", "not time stamps"),
        (
            dict(arrival=pa.array([0, 2**40], pa.timestamp("s", "UTC"))),
            2,
            "arrival",
            "1678",
        ),
        (dict(tenant_id=[[1], [2]]), None, "tenant_id", "list"),
    ],
)
def test_bad_parquet_values_are_refused(tmp_path, columns, row, column, message):
    good = dict(arrival=[0.0, 1.0], prompt_tokens=[1, 2], decode_tokens=[1, 2])
    pq.write_table(pa.table({**good, **columns}), tmp_path / "trace")
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(tmp_path / "trace")
    assert (caught.value.row, caught.value.column) == (row, column)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("content", [OWN + "0,1,1\n1,2,2\n", JSONL * 3, "gz", "parquet"])
def test_damaged_files_are_read_or_refused_by_name(tmp_path, content, seed):
    path = tmp_path / "trace"
    pq.write_table(
        pa.table(dict(arrival=[0.0], prompt_tokens=[1], decode_tokens=[2])), path
    )
    packed = gzip.compress((OWN + "0,1,1\n").encode())
    whole = {"gz": packed, "parquet": path.read_bytes()}.get(content, content.encode())
    rng = np.random.default_rng(seed)
    for _ in range(40):
        at, noise = rng.integers(len(whole)), rng.choice([b"", b'"', b",", b"\n", b"\xff"])
        path.write_bytes(whole[:at] + noise + whole[at + rng.integers(3) :])
        try:
            read_trace(path)
        except TraceError as error:
            assert str(path) in str(error)


def test_the_row_is_found_in_a_long_file(tmp_path):
    rows = [f"{i},1,1\n" for i in range(50_000)]
    rows[43_210] = "43210,1,x\n"
    (tmp_path / "trace").write_text(OWN + "".join(rows))
    with pytest.raises(TraceError, match="row 43212, column 'decode_tokens'"):
        read_trace(tmp_path / "trace")
    lines = [
        json.dumps({"timestamp": i, "input_length": 1, "output_length": 1})
        for i in range(2000)
    ]
    (tmp_path / "trace").write_text("\n".join([*lines[:1500], "", *lines[1500:], "{"]))
    with pytest.raises(TraceError, match="row 2002"):
        read_trace(tmp_path / "trace")
