"""What is a URL, and how it is shown."""

import json
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pytest
from click.testing import CliRunner

import replay
from replay.cli import cli
from replay.errors import InputError
from replay.remote.safe_paths import as_name, safe_name
from replay.urls import Url, as_path, hide_credentials, is_url, without_credentials
from tests.remote.conftest import state


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@host:8/a/b.json?sig=x#y", "https://host:8/a/b.json"),
        ("https://user@host/a/", "https://host/a"),
        ("https://u:p@ss@host/a", "https://host/a"),
        ("https://u:p/w@host/a", "https://host/a"),
        ("https://u:p/w@host:1/a@b", "https://b"),
        ("https://host:80/a@b", "https://host:80/a@b"),
        ("hf://org/model@main/x", "hf://org/model@main/x"),
        ("hf://gpt2@main", "hf://gpt2@main"),
        ("s3://key:secret@bucket/run#1/x", "s3://bucket/run#1/x"),
        ("s3://bucket/x?X-Amz-Signature=3", "s3://bucket/x"),
        ("mlflow:http://u:p@host:5000/a b", "mlflow:http://host:5000/a b"),
        ("mlflow:https://u:p@host/base#name", "mlflow:https://host/base#name"),
        ("memory:///a", "memory:///a"),
        ("https://[::1]:8/a", "https://[::1]:8/a"),
    ],
)
def test_a_url_without_its_credentials(url, shown):
    assert without_credentials(url) == shown
    path = as_path(url)
    assert isinstance(path, Url)
    assert str(path) == shown
    assert path.given == url
    assert "secret" not in repr(path)
    assert str(pickle.loads(pickle.dumps(path))) == shown
    assert as_path(shown).given.rstrip("/") == url.rstrip("/")  # what was shown can be read again


def test_queries_are_told_apart_by_a_digest():
    base = "https://host/x.json"
    one, other = (str(as_path(f"{base}?run={number}&sig=s3cr3t{number}")) for number in (1, 2))
    assert one != other
    assert one == str(as_path(f"{base}?sig=other&run=1"))  # a new signature is the same file
    assert one.startswith(f"{base}?query-")
    assert without_credentials(one) == one
    assert as_path(one).given == f"{base}?sig=other&run=1"  # that of the newest signature
    assert str(as_path(one)) == one
    assert hide_credentials(f"see {base}?sig=other&run=1 now") == f"see {one} now"
    assert str(as_path("https://host/runs/?view=list")) == "https://host/runs"
    assert str(as_path("s3://bucket/x?versionId=3")).startswith("s3://bucket/x?query-")


@pytest.mark.parametrize(
    "text", ["logs", "C:\\logs", "C:/logs", "c://logs", "a:b", "mlflow:x", "./x://y", ""]
)
def test_paths_are_no_urls(text):
    assert not is_url(text)
    assert not isinstance(as_path(text), Url)


def test_a_path_that_pathlib_has_made_of_a_url():
    assert str(as_path(Path("hf://org/model"))) == "hf://org/model"
    assert str(as_path(Path("mlflow:http://h:5/e"))) == "mlflow:http://h:5/e"


def test_a_file_url_is_a_path(tmp_path):
    assert as_path((tmp_path / "a b").as_uri()) == tmp_path / "a b"


@pytest.mark.parametrize("text", ["https://", "hf:///", "s3://"])
def test_a_url_of_nothing(text):
    with pytest.raises(InputError, match="names nothing"):
        as_path(text)


def test_texts_without_credentials():
    as_path("https://ann:long-password@host/x?sig=0123456789abcdef0")
    assert "long-password" not in hide_credentials("Authorization of ann:long-password failed")
    assert "0123456789abcdef0" not in hide_credentials("sig=0123456789abcdef0 is wrong")
    assert hide_credentials("see https://bob:pw@other/x, and a=b") == "see https://other/x, and a=b"
    assert hide_credentials("plain text") == "plain text"


@pytest.mark.parametrize("name", ["a.json", "run 1", "ü", "lr:0.1", "a..b", "...", "-x", "~"])
def test_safe_names(name):
    assert safe_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "a\\b", "\\\\host", "C:", "c:x", "a\0", "a\nb", "\x1b[1m", "x" * 300]
)
def test_names_that_lead_elsewhere(name):
    assert not safe_name(name)
    assert safe_name(as_name(name, "logs"))


def test_no_library_is_imported_for_local_logs():
    script = (
        "import sys, replay.cli, replay.api, replay.remote\n"
        "names = {'fsspec', 'aiohttp', 'huggingface_hub', 's3fs', 'mlflow', 'replay.remote.mirror'}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("package", "url", "extra"),
    [
        ("fsspec", "https://host/x", "remote"),
        ("aiohttp", "https://host/x", "remote"),
        ("huggingface_hub", "hf://org/model", "hf"),
        ("s3fs", "s3://bucket/x", "s3"),
        ("gcsfs", "gs://bucket/x", "gcs"),
        ("mlflow", "mlflow:http://host:5000/x", "mlflow"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(package, url, extra):
    script = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['replay', 'inspect', {url!r}]\n"
        "from replay.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert package in done.stderr
    assert f"pip install 'stop-replay[{extra}]'" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense://host/x", "nonsense:// is not a scheme that can be read"),
        ("sftp://host/x", "fsspec needs another package for sftp:// URLs"),
        ("memory://none", "no such file or folder"),
    ],
)
def test_a_scheme_that_is_not_known(url, said):
    if url.startswith("sftp:") and find_spec("paramiko") is not None:
        pytest.skip("paramiko is installed")
    result = CliRunner().invoke(cli, [url])
    assert result.exit_code == 2
    assert f"{url}: {said}" in " ".join(result.output.split())


def test_logs_in_memory():
    memory = fsspec.filesystem("memory")
    try:
        memory.pipe("/tests of replay/a/trainer_state.json", json.dumps(state(1)).encode())
        memory.pipe("/tests of replay/a/model.safetensors", b"0" * 100)
        for url in ("memory://tests of replay", "memory:///tests of replay/", "memory://"):
            (run,) = replay.load(url)
            assert run.info.sources[0].endswith("/a/trainer_state.json")
            assert run.info.sources[0].startswith("memory://")
    finally:
        memory.rm("/tests of replay", recursive=True)
