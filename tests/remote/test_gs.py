"""Logs in Google Cloud Storage: an emulator as a process on this machine, with the client that users have."""

import json
import urllib.request
from urllib.parse import quote

import pytest

import replay
from tests.remote.conftest import state
from tests.remote.processes import free_port, serving
from tests.remote.test_s3 import shown
from tests.remote.test_web import gives_the_folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("gs") / "requests.txt"
    words = ["-m", "gcp_storage_emulator", "start", "--port", "PORT", "--host", "127.0.0.1", "--in-memory"]
    with serving(log, words) as running:
        yield running


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """The name of a new bucket; the client finds the server by the variable of Google's own libraries."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    name = f"experiments-{tmp_path.name.replace('_', '-')}"[:60]
    post(server, "/storage/v1/b?project=tests", json.dumps({"name": name}).encode(), "application/json")
    return name


def post(server, path, data, kind="application/octet-stream"):
    request = urllib.request.Request(server.url + path, data, {"Content-Type": kind}, method="POST")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def put(server, bucket, name, data):
    post(server, f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}", data)


def test_a_bucket_gives_the_runs_of_the_folder(server, bucket, logs):
    for path in logs.rglob("*"):
        if path.is_file():
            put(server, bucket, f"runs/{path.relative_to(logs).as_posix()}", path.read_bytes())
    here = replay.load(logs)
    assert len(here) == 4
    gives_the_folder(server, f"gs://{bucket}/runs", here, "trainer_state.json")
    code, text = shown(["simulate", f"gs://{bucket}/runs", "--policy", "patience=1"])
    assert code == 0
    assert f"4 runs in gs://{bucket}/runs" in text


@pytest.mark.parametrize("key", ["run.json", "a b/run.json", "ünï/x.json", "a=1,b=2.json"])
@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_one_object(scheme, key, server, bucket):
    put(server, bucket, key, json.dumps(state(1)).encode())
    (run,) = replay.load(f"{scheme}://{bucket}/{key}")
    assert run.info.sources == (f"{scheme}://{bucket}/{key}",)
    assert list(run.columns["eval_loss"].values) == [
        row["eval_loss"] for row in state(1)["log_history"] if "eval_loss" in row
    ]


def test_what_is_not_there_is_one_sentence(server, bucket):
    put(server, bucket, "notes.txt", b"no log")
    for url, said in {
        f"gs://{bucket}/none": "no such file or folder",
        f"gs://{bucket}x/runs": "no such file or folder",
        f"gs://{bucket}": "no log found below",
    }.items():
        code, text = shown(["inspect", url])
        assert code == 2, text
        assert said in " ".join(text.split())
        assert url in "".join(text.split("\n"))


@pytest.mark.slow  # the client tries six times, with longer and longer pauses
def test_a_server_that_is_gone(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{free_port()}")
    code, text = shown(["inspect", "gs://bucket/runs"])
    assert code == 2
    assert "the host cannot be reached" in " ".join(text.split())
