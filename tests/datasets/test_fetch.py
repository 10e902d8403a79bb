"""Data sets by name: from a mirror, from the cache, and from a server on this machine."""

import dataclasses
import gzip
import hashlib
import http.server
import json
import threading

import pytest
from click.testing import CliRunner

from carbjax._carbon.intensity_readers import read_intensity
from carbjax._cli.main import carbjax
from carbjax._datasets import DATA_SETS, catalogue, download, fetch
from carbjax._datasets.catalogue import DataFile, DataSet
from carbjax._errors import FetchError, OutputError
from carbjax._traces import read_trace
from carbjax._traces.servegen import servegen_workload

CONTENT = b"arrival,prompt_tokens,decode_tokens\n0,10,3\n"


def call(*words):
    return CliRunner().invoke(carbjax, list(words))


def checksum(content, kind="sha256"):
    if kind == "git":
        return "git:" + hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture
def server():
    """A server on localhost; `answers` holds what it sends for a path, one by one."""
    answers, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            queue = answers.get(self.path, [(404, b"")])
            status, content = queue.pop(0) if len(queue) > 1 else queue[0]
            self.send_response(status)
            length = len(content) + (100 if status == 299 else 0)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", answers, asked
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.fixture(autouse=True)
def _quick_and_without_a_mirror(monkeypatch):
    monkeypatch.setattr(download, "_WAIT_S", 0.0)
    monkeypatch.delenv("CARBJAX_DATA", raising=False)


@pytest.fixture
def known(monkeypatch, server):
    """Makes a data set known that the server has."""
    address, answers, _ = server

    def known(content=CONTENT, kind="sha256", size=len(CONTENT)):
        file = DataFile(
            "data/trace.csv", "made/trace.csv.gz", checksum(content, kind), size
        )
        made = DataSet("made-up", "About.", "CC0-1.0", "No one.", "o/r", "c0ffee", (file,))
        monkeypatch.setattr(catalogue, "_RAW", address)
        monkeypatch.setattr(catalogue, "DATA_SETS", {"made-up": made})
        answers["/o/r/c0ffee/data/trace.csv"] = [(200, CONTENT)]
        return answers["/o/r/c0ffee/data/trace.csv"]

    return known


@pytest.mark.parametrize("kind, size", [("sha256", len(CONTENT)), ("git", None)])
def test_a_file_is_downloaded_once(known, server, tmp_path, kind, size):
    known(kind=kind, size=size)
    found = fetch("made-up", cache=tmp_path)
    assert (found.origin, found.path) == ("source", tmp_path / "made-up" / "trace.csv")
    assert found.path.read_bytes() == CONTENT
    assert fetch("made-up", cache=tmp_path, offline=True).origin == "cache"
    assert server[2] == ["/o/r/c0ffee/data/trace.csv"]
    assert read_trace(found.path).num_requests == 1


@pytest.mark.parametrize("packed", [True, False])
def test_a_mirror_is_used_first(known, server, tmp_path, monkeypatch, packed):
    known()
    (tmp_path / "made").mkdir()
    path = tmp_path / "made" / ("trace.csv.gz" if packed else "trace.csv")
    path.write_bytes(gzip.compress(CONTENT) if packed else CONTENT)
    monkeypatch.setenv("CARBJAX_DATA", str(tmp_path))
    found = fetch("made-up", cache=tmp_path / "cache", offline=True)
    assert (found.origin, found.path, server[2]) == ("mirror", path, [])
    path.write_bytes(gzip.compress(b"other") if packed else b"other")
    with pytest.raises(FetchError, match="has 5 bytes.*Replace the copy in the mirror"):
        fetch("made-up", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    "answers, message, tries",
    [
        ([(404, b"")], "404 Not Found", 1),
        ([(503, b"")], "503 Service Unavailable", 3),
        ([(200, CONTENT + b"more")], "longer than 43 bytes", 1),
        ([(200, CONTENT[:-1] + b"x")], "its checksum is", 1),
        ([(299, CONTENT[:-9])], "has 34 bytes|IncompleteRead", None),
    ],
    ids=["absent", "busy", "long", "changed", "cut short"],
)
def test_what_is_not_the_file_is_never_kept(
    known, server, tmp_path, answers, message, tries
):
    known()[:] = answers
    with pytest.raises(FetchError, match=message):
        fetch("made-up", cache=tmp_path)
    assert list((tmp_path / "made-up").iterdir()) == []
    assert tries is None or len(server[2]) == tries


def test_a_server_that_is_busy_for_a_while_is_asked_again(known, server, tmp_path):
    known()[:] = [(503, b""), (429, b""), (200, CONTENT)]
    assert fetch("made-up", cache=tmp_path).path.read_bytes() == CONTENT
    assert len(server[2]) == 3


def test_a_network_that_is_not_there(known, monkeypatch, tmp_path):
    known()
    monkeypatch.setattr(catalogue, "_RAW", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match="cannot be fetched.*as made/trace.csv.gz"):
        fetch("made-up", cache=tmp_path)


def test_a_cache_that_cannot_be_made_is_named(known, server, tmp_path):
    known()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/made-up/trace.csv: cannot be written"):
        fetch("made-up", cache=tmp_path / "file")
    assert server[2] == []


def test_offline_and_a_damaged_cache_are_errors(known, server, tmp_path):
    known()
    with pytest.raises(FetchError, match="neither in a mirror folder nor in the cache"):
        fetch("made-up", cache=tmp_path, offline=True)
    fetch("made-up", cache=tmp_path).path.write_bytes(CONTENT.replace(b"3", b"4"))
    with pytest.raises(FetchError, match="trace.csv: its checksum .*Delete it"):
        fetch("made-up", cache=tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("azur-2023", "Did you mean 'azure-2023'"),
        ("../../etc", "there is no data set"),
        ("azure-2024", "neither a checksum nor a fixed version"),
    ],
)
def test_names_that_are_not_known(name, message):
    with pytest.raises(FetchError, match=message):
        fetch(name)


def test_the_catalogue_names_a_licence_and_a_checksum_for_all():
    for data_set in DATA_SETS.values():
        assert data_set.licence and data_set.cite and len(data_set.commit) == 40
        assert len({file.name for file in data_set.files}) == len(data_set.files) > 0
        for file in data_set.files:
            kind, _, digest = file.checksum.partition(":")
            assert len(digest) == {"sha256": 64, "git": 40}[kind]
            assert ".." not in file.path and ".." not in file.mirror
        urls = [data_set.url(file) for file in data_set.files]
        assert all(url.startswith("https://raw.githubusercontent.com/") for url in urls)


def test_the_shared_files_are_those_of_their_sources(shared_data, tmp_path):
    found = {
        name: fetch(name, mirror=shared_data, cache=tmp_path, offline=True)
        for name in DATA_SETS
        if name != "burstgpt-1"
    }
    assert {fetched.origin for fetched in found.values()} == {"mirror"}
    code = found["azure-2023"].paths["AzureLLMInferenceTrace_code.csv"]
    assert read_trace(code, tz="UTC").num_requests == 8819
    clients = found["servegen-deepseek-r1"].path
    assert servegen_workload(clients, 10).num_requests == 10
    spain = found["electricity-maps"].paths["ES_2023_hourly.csv"]
    assert len(read_intensity(spain).values) == 8760


def test_the_command_shows_licence_and_paths(shared_data, monkeypatch):
    monkeypatch.setenv("CARBJAX_DATA", str(shared_data))
    shown = call("fetch", "azure-2023", "--offline")
    assert shown.exit_code == 0 and "licence: CC-BY-4.0" in shown.output
    answer = json.loads(call("fetch", "azure-2023", "--json").output)
    assert answer["origin"] == "mirror" and len(answer["paths"]) == 2
    listed = json.loads(call("fetch", "--json").output)
    assert {entry["name"] for entry in listed} == set(DATA_SETS)
    assert all(name in call("fetch").output for name in DATA_SETS)
    assert call("fetch", "nothing").exit_code == 2
    assert dataclasses.is_dataclass(DATA_SETS["azure-2023"])
