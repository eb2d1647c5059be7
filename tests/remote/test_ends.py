"""What does not come to an end by itself: servers that never answer, commands that are ended, logs that are
followed.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from replay import remote
from replay.cli import cli
from replay.cli.progress import _counting
from tests.readme import ROOT
from tests.remote.processes import web
from tests.remote.test_hub import hub
from tests.remote.test_web import copies

_AWS = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "reader-secret", "AWS_REGION": "us-east-1"}


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://HOST/runs/", {"FSSPEC_HTTP": '{"client_kwargs": {"timeout": 1}}'}),
        (
            "s3://bucket/runs",
            {
                **_AWS,
                "AWS_ENDPOINT_URL": "http://HOST",
                "FSSPEC_S3": '{"config_kwargs": {"read_timeout": 1}}',
            },
        ),
        ("hf://org/lora", {"HF_ENDPOINT": "http://HOST", "HF_HUB_ETAG_TIMEOUT": "1"}),
        pytest.param(
            "gs://bucket/runs",
            {"STORAGE_EMULATOR_HOST": "http://HOST", "FSSPEC_GCS": '{"requests_timeout": 1}'},
            marks=pytest.mark.slow,  # the client tries six times, with longer and longer pauses
        ),
        (
            "mlflow:http://HOST/x",
            {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1"},
        ),
    ],
)
def test_a_server_that_never_answers(url, settings, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are made, and nothing follows
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = {name: value.replace("HOST", host) for name, value in settings.items()}
        home = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "replay", "inspect", url.replace("HOST", host)],
            env={**os.environ, **home, **settings},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 2, done.stderr
    assert "answer" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


@pytest.mark.slow
def test_a_list_that_never_comes(tmp_path):
    """The Hub's client sets no time limit when it lists a repository."""
    (tmp_path / "hub" / "org" / "silent" / "main").mkdir(parents=True)
    words = [sys.executable, "-m", "replay", "inspect", "hf://org/silent"]
    with hub(tmp_path) as server:
        settings = {
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DOWNLOAD_TIMEOUT": "1",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "hf://org/silent: the server does not answer in time" in " ".join(done.stderr.split())


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_copies_are_removed_when_the_command_is_ended(number, logs, tmp_path):
    (logs / "slow.jsonl").write_text('{"step": 1}\n' * 20_000)
    folder = tmp_path / "temporary"
    folder.mkdir()
    with web(tmp_path / "requests.txt", logs.parent) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "replay", "inspect", f"{server.url}/runs"],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with process:
            try:
                while not list(folder.rglob("slow.jsonl")) or len(list(folder.rglob("*.json"))) < 3:
                    assert process.poll() is None
                    time.sleep(0.05)
                process.send_signal(number)
                process.wait()
            finally:
                with contextlib.suppress(OSError):
                    process.kill()
    assert process.returncode == -number
    assert not copies(folder)


@pytest.mark.parametrize("url", ["s3://bucket/runs", "mlflow:http://host:5000/x"])
@pytest.mark.parametrize("more", [[], ["--once"]])
def test_watch_follows_no_url(url, more):
    result = CliRunner().invoke(cli, ["watch", url, *more])
    assert result.exit_code == 2
    text = " ".join(result.output.split())
    assert f"replay watch follows logs on this machine, and {url} is a URL" in text


def test_listing_is_shown_too(logs, tmp_path):
    seen = []

    @contextlib.contextmanager
    def counting(items):
        seen.append(len(items) if hasattr(items, "__len__") else None)
        with _counting("fetching", items) as counted:
            yield counted

    with web(tmp_path / "requests.txt", logs.parent) as server:
        result = remote.read(f"{server.url}/runs", fetching=counting)
    assert len(result.runs) == 4
    assert seen[0] is None
    assert seen[1] >= 4
