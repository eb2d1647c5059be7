"""Logs in an object store: an S3 server as a process on this machine, with the clients that users have."""

import http.client
import json

import boto3
import pytest
from click.testing import CliRunner

import replay
from replay import remote
from replay.cli import cli
from replay.data.finding import Kind
from replay.errors import InputError
from tests.remote.conftest import state
from tests.remote.processes import free_port, serving
from tests.remote.test_web import copies, gives_the_folder

KEY, SECRET = "AKIALOGREADER0001", "wJalr-log-reader-secret-0001"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("s3") / "requests.txt"
    with serving(log, ["-m", "moto.server", "-H", "127.0.0.1", "-p", "PORT"]) as running:
        yield running


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """A new bucket, and the credentials for it where the libraries look for them."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    one = boto3.resource("s3").create_bucket(Bucket=f"experiments-{tmp_path.name.replace('_', '-')}"[:60])
    server.forget()
    return one


def put(bucket, logs):
    """Put the files of a folder into a bucket, below ``runs/``."""
    for path in logs.rglob("*"):
        if path.is_file():
            bucket.upload_file(str(path), f"runs/{path.relative_to(logs).as_posix()}")


def put_by_form(server, bucket, key, text):
    """Put an object by the form of a web page: clients and servers resolve the ``..`` of a key in a path."""
    parts = "".join(
        f'--edge\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
        for name, more, value in (("key", "", key), ("file", '; filename="x"', text))
    )
    post(server, f"/{bucket.name}", f"{parts}--edge--\r\n", "multipart/form-data; boundary=edge")


def post(server, path, text, kind="text/plain"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", path, text, {"Content-Type": kind})
    assert connection.getresponse().status < 300
    connection.close()


def shown(words):
    result = CliRunner().invoke(cli, words)
    assert "Traceback" not in result.output
    return result.exit_code, result.output + result.stderr


def test_a_bucket_gives_the_runs_of_the_folder(server, bucket, logs):
    long = logs / "long"
    long.mkdir()
    (long / "trainer_state.json").write_text(json.dumps(state(5, evals=800)))
    put(bucket, logs)
    here = replay.load(logs)
    assert len(here) == 5
    gives_the_folder(server, f"s3://{bucket.name}/runs", here, "long/trainer_state.json")


@pytest.mark.parametrize(
    "key", ["a b/run.json", "run#1/x.json", "50%25/x+y.json", "ünï/x.json", "a=1,b=2.json"]
)
def test_one_object(key, bucket, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(state(1)))
    (here,) = replay.load(tmp_path / "x.json")
    bucket.put_object(Key=key, Body=json.dumps(state(1)).encode())
    (run,) = replay.load(f"s3://{bucket.name}/{key}")
    assert list(run.columns["eval_loss"].values) == list(here.columns["eval_loss"].values)
    assert run.info.sources == (f"s3://{bucket.name}/{key}",)
    (run,) = replay.load(f"s3://{bucket.name}")
    assert run.info.sources == (f"s3://{bucket.name}/{key}",)


def test_keys_that_lead_elsewhere_are_reported(server, bucket, logs, tmp_path, monkeypatch):
    put(bucket, logs)
    home = tmp_path / "home" / "temporary"
    home.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(home))
    keys = ["../../evil.json", "lora 0/../../../../evil.json", "a\\evil.json", "C:evil.json", "a\nevil.json"]
    for key in keys:
        put_by_form(server, bucket, f"runs/{key}", json.dumps(state(9)))
    assert {f"runs/{key}" for key in keys} <= {item.key for item in bucket.objects.all()}
    server.forget()
    result = remote.read(f"s3://{bucket.name}/runs")
    assert len(result.runs) == 4
    (finding,) = [one for one in result.findings if one.kind is Kind.UNSAFE_NAME]
    assert finding["count"] == len(keys)
    assert not any("evil" in line for line in server.requests())
    assert not list((tmp_path / "home").rglob("*evil*"))
    del result
    assert not copies(home)
    code, text = shown(["inspect", f"s3://{bucket.name}/runs", "--verbose"])
    assert code == 0
    assert "5 names cannot be those of local files" in " ".join(text.split())


def test_what_is_not_there_is_one_sentence(bucket):
    bucket.put_object(Key="notes.txt", Body=b"no log")
    cases = {
        f"s3://{bucket.name}/none": "no such file or folder",
        f"s3://{bucket.name}x/runs": "no such file or folder",
        f"s3://{bucket.name}": "no log found below",
        f"s3://Not_A_Bucket/{'x' * 20}": "",
    }
    for url, said in cases.items():
        code, text = shown(["inspect", url])
        assert code == 2, text
        assert said in " ".join(text.split())
        assert url in "".join(text.split("\n"))
        assert SECRET not in text


def test_no_output_shows_credentials(server, bucket, logs):
    put(bucket, logs)
    urls = [f"s3://{bucket.name}/runs", f"s3://{KEY}:{SECRET}@{bucket.name}/runs"]
    for url in urls:
        for words in (
            [url],
            ["inspect", url, "--format", "json"],
            ["inspect", f"{url}/none"],
            ["simulate", url, "--policy", "patiens=1"],
        ):
            code, text = shown(words)
            assert code in (0, 2, 3), text
            assert SECRET not in text
            assert KEY not in text
            assert f"s3://{bucket.name}/runs" in text or "patiens" in text


def reset_auth(server, count):
    """From now on, the server asks for credentials that it knows after ``count`` requests."""
    post(server, "/moto-api/reset-auth", str(count))


def test_credentials_that_the_server_does_not_know(server, bucket, logs):
    put(bucket, logs)
    reset_auth(server, 0)
    try:
        code, text = shown(["inspect", f"s3://{bucket.name}/runs"])
    finally:
        reset_auth(server, "inf")
    assert code == 2
    assert "access is denied (the server answers 403)" in " ".join(text.split())
    assert SECRET not in text
    assert KEY not in text


def test_no_credentials(bucket, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InputError, match="there are no credentials for it"):
        remote.read(f"s3://{bucket.name}/runs")


def test_a_server_that_is_gone(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    code, text = shown(["inspect", f"s3://{bucket.name}/runs"])
    assert code == 2
    assert "the host cannot be reached" in " ".join(text.split())
