"""Experiments of MLflow servers: real ones, as processes on this machine, over both kinds of store."""

import contextlib
import math
import sqlite3
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from replay import readers, remote
from replay.cli import cli
from replay.data.finding import Kind
from replay.errors import InputError
from replay.remote import tracker
from replay.remote.limits import Limits
from tests.remote.processes import free_port, serving, web
from tests.remote.test_web import same

NAME = "tune ü 50%"
PASSWORD = "sesame-of-the-tracker-1"
_START = 1_760_000_000_000


def healthy(server):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(f"{server.url}/health", timeout=5) as answer:
        return answer.status == 200
    return False


def mlflow_server(folder, store, *options, env=None):
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "PORT", "--workers", "1"]
    words += ["--backend-store-uri", store, "--artifacts-destination", folder / "artifacts", *options]
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_FILE_STORE": "true",
        **(env or {}),
    }
    return serving(folder / "log.txt", words, env=settings, ready=healthy)


def fill(client):
    """Runs as trainings log them: two that ended, one that runs, one that was deleted, and one without
    metrics.
    """
    experiment = client.create_experiment(NAME)
    client.create_experiment("tune vision")
    for number in range(5):
        # a server lists the run that began last first
        made = client.create_run(experiment, start_time=_START + number, run_name=f"seed {number}: o'hara")
        run = made.info.run_id
        params = [Param("learning_rate", "0.001"), Param("max_steps", "80"), Param("opt/name", "adam\nw")]
        client.log_batch(run, params=params)
        if number == 4:
            continue
        metrics = []
        for place in range(8):
            at, step = _START + 1000 * (place + 1), 10 * (place + 1)
            loss = math.nan if (number, place) == (1, 3) else 1 + abs(place - 4) / 10 + number / 100
            metrics.append(Metric("eval/loss", loss, at, step))
            metrics.append(Metric("eval/accuracy 1", math.inf if place == 6 else 1e-7 * place, at, step))
            metrics.append(Metric("system/cpu", 50.0, at, step))
        client.log_batch(run, metrics=metrics)
        if number == 0:
            for first in range(0, 2400, 800):
                steps = range(first, first + 800)
                client.log_batch(
                    run, metrics=[Metric("train/loss", 2 / (s + 1), _START + s, s) for s in steps]
                )
        if number == 2:
            continue
        client.set_terminated(run, "FINISHED" if number == 0 else "FAILED")
        if number == 3:
            client.delete_run(run)


@contextlib.contextmanager
def settings():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield patch


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A server over SQLite, and its file."""
    folder = tmp_path_factory.mktemp("database")
    with settings(), mlflow_server(folder, f"sqlite:///{folder / 'mlflow.db'}") as server:
        fill(MlflowClient(tracking_uri=server.url, registry_uri=server.url))
        yield server, folder / "mlflow.db"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A server over a file store, and its folder."""
    folder = tmp_path_factory.mktemp("files")
    with settings(), mlflow_server(folder, str(folder / "mlruns")) as server:
        fill(MlflowClient(tracking_uri=server.url, registry_uri=server.url))
        yield server, folder / "mlruns"


def shown(words):
    result = CliRunner().invoke(cli, words)
    assert "Traceback" not in result.output
    return result.exit_code, " ".join((result.output + result.stderr).split())


def by_uuid(runs):
    """Runs in the order of the ids that MLflow gave them, which every store keeps."""
    found = sorted(runs, key=lambda run: run.info.extra["run"])
    return [run.replace(id=run.info.extra["run"]) for run in found]


def test_an_experiment_of_a_database_gives_the_runs_of_the_file(database):
    server, path = database
    url = f"mlflow:{server.url}/{NAME}"
    here, there = readers.read(path).runs, remote.read(url).runs
    assert len(there) == 3
    same(by_uuid(there), by_uuid(here), ordered=False)  # a database has columns as they were logged
    (long,) = [run for run in there if len(run.train)]
    assert len(long.train["train/loss"].step) == 2400
    for run in there:
        assert run.info.group == NAME
        assert run.info.planned_steps == 80
        assert all(source.startswith(f"{url}/{run.info.extra['run']}/") for source in run.info.sources)
    assert {run.info.complete for run in there} == {True, False}


def test_an_experiment_of_a_file_store_gives_the_runs_of_the_folder(files):
    server, folder = files
    here, there = readers.read(folder), remote.read(f"mlflow:{server.url}/{NAME}")
    assert len(there.runs) == 3
    same(by_uuid(there.runs), by_uuid(here.runs))
    kinds = [one.kind for one in there.findings]
    assert sorted(kinds) == sorted(one.kind for one in here.findings)
    assert {Kind.DELETED_RUNS, Kind.NO_METRICS} <= set(kinds)


def test_an_experiment_by_its_id_and_below_a_fragment(database):
    server, _ = database
    experiment = MlflowClient(tracking_uri=server.url).get_experiment_by_name(NAME)
    by_name = remote.read(f"mlflow:{server.url}/{NAME}").runs
    for part in (f"/{experiment.experiment_id}", f"#{NAME}", "/tune%20%C3%BC%2050%25", f"/{NAME}/"):
        same(by_uuid(remote.read(f"mlflow:{server.url}{part}").runs), by_uuid(by_name))


def test_all_pages_are_read(database, monkeypatch):
    server, _ = database
    monkeypatch.setattr(tracker, "_PAGE", 2)
    result = remote.read(f"mlflow:{server.url}/{NAME}")
    assert len(result.runs) == 3
    few = remote.read(f"mlflow:{server.url}/{NAME}", limits=Limits(runs=3))
    assert [one["limit"] for one in few.findings if one.kind is Kind.REMOTE_LIMIT] == [3]
    assert len(few.runs) < 3
    with pytest.raises(InputError):
        remote.read(f"mlflow:{server.url}/{NAME}", limits=Limits(total_bytes=10))


def test_commands_take_an_experiment(database):
    server, _ = database
    url = f"mlflow:{server.url}/{NAME}"
    code, text = shown(["simulate", url, "--policy", "patience=2", "--monitor", "eval/loss"])
    assert code == 0, text
    assert url in text or f"mlflow:{server.url}" in text
    code, text = shown(["inspect", url, "--verbose"])
    assert code == 0, text


def test_a_lock_names_the_files_of_the_experiment(database, tmp_path, monkeypatch):
    server, _ = database
    client = MlflowClient(tracking_uri=server.url, registry_uri=server.url)
    experiment = client.create_experiment("locked")
    runs = [client.create_run(experiment, start_time=_START).info.run_id for _ in range(2)]
    for number, run in enumerate(runs):  # equal values would make one run of both
        metrics = [Metric("eval/loss", 1 + number + abs(p - 4), _START + p, 10 * p) for p in range(1, 9)]
        client.log_batch(run, metrics=metrics)
        client.set_terminated(run)
    monkeypatch.chdir(tmp_path)
    url = f"mlflow:{server.url}/locked"
    Path("policies.toml").write_text(f'logs = ["{url}"]\n[policies.main]\nspec = "patience=2"\n')
    code, text = shown(["check", "policies.toml", "--update"])
    assert code == 0, text
    assert f'"{url}/{runs[0]}/' in Path("replay.lock").read_text()
    code, text = shown(["check", "policies.toml", "--strict", "--require-lock"])
    assert code == 0, text
    client.log_batch(runs[0], metrics=[Metric("eval/loss", 0.5, _START + 9, 90)])
    code, text = shown(["check", "policies.toml"])
    assert f"{url}/{runs[0]}/" in text.replace(" ", "")
    assert runs[1] not in text


def test_names_that_no_file_can_have(database, tmp_path, monkeypatch):
    server, path = database
    client = MlflowClient(tracking_uri=server.url, registry_uri=server.url)
    run = client.create_run(client.create_experiment("names"), start_time=_START).info.run_id
    for key in ("eval/loss", "outside", "a", "a/b"):
        metrics = [Metric(key, 1 + abs(p - 4), _START + p, 10 * p) for p in range(1, 9)]
        client.log_batch(run, metrics=metrics)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table in ("metrics", "latest_metrics"):  # MLflow's client would refuse the name
            connection.execute(f"UPDATE {table} SET key = '../../../outside' WHERE key = 'outside'")
    home = tmp_path / "home" / "temporary"
    home.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(home))
    result = remote.read(f"mlflow:{server.url}/names")
    (finding,) = [one for one in result.findings if one.kind is Kind.UNSAFE_NAME]
    assert finding["names"] == (f"{run}/metrics/../../../outside", f"{run}/metrics/a/b")
    (read,) = result.runs
    assert "eval/loss" in read.metrics
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tune visoin", "has no experiment 'tune visoin'. It has: Default, "),
        ("tune visoin", "Did you mean tune vision?"),
        ("999999", "has no experiment '999999'"),
        ("", "names no experiment"),
        ("tune vision", "the experiment has no runs"),
    ],
)
def test_an_unknown_experiment(name, said, database):
    server, _ = database
    code, text = shown(["inspect", f"mlflow:{server.url}/{name}"])
    assert code == 2
    assert said in text


def test_a_deleted_experiment(database):
    server, _ = database
    client = MlflowClient(tracking_uri=server.url)
    client.delete_experiment(client.create_experiment("given up"))
    code, text = shown(["inspect", f"mlflow:{server.url}/given up"])
    assert code == 2
    assert "the experiment 'given up' is deleted" in text


@pytest.mark.parametrize("part", ["ftp://host/x", "sqlite:///mlflow.db"])
def test_what_is_no_address_of_a_server(part):
    code, text = shown(["inspect", f"mlflow:{part}"])
    assert code == 2
    assert "takes the address of a server" in text


def test_a_server_that_is_not_there():
    code, text = shown(["inspect", f"mlflow:http://olga-of-tests:{PASSWORD}@127.0.0.1:{free_port()}/x"])
    assert code == 2
    assert "the host cannot be reached" in text
    assert PASSWORD not in text


def test_a_web_server_that_is_not_mlflow(logs, tmp_path):
    with web(tmp_path / "requests.txt", logs) as server:
        code, text = shown(["inspect", f"mlflow:{server.url}/x"])
    assert code == 2
    assert "does not answer as an MLflow server does" in text


@pytest.mark.slow
def test_credentials_are_used_and_never_shown(tmp_path, monkeypatch):
    config = tmp_path / "auth.ini"
    config.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{tmp_path / 'users.db'}\n"
        f"admin_username = olga-of-tests\nadmin_password = {PASSWORD}\n"
    )
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "key of the tests"}
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with settings(), mlflow_server(tmp_path, store, "--app-name", "basic-auth", env=env) as server:
        url, address = f"mlflow:{server.url}/{NAME}", server.url.partition("://")[2]
        code, text = shown(["inspect", url])
        assert code == 2
        assert "access is denied (the server answers 401)" in text
        assert "MLFLOW_TRACKING_USERNAME" in text
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "olga-of-tests")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD + "x")
        code, text = shown(["inspect", url])
        assert code == 2
        assert "access is denied" in text
        assert PASSWORD not in text
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        fill(MlflowClient(tracking_uri=server.url, registry_uri=server.url))
        for words in (["inspect", url], ["inspect", url, "--format", "json"], ["inspect", f"{url}x"]):
            code, text = shown(words)
            assert code == (2 if words[1] == f"{url}x" else 0)
            assert PASSWORD not in text
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        inside = f"mlflow:http://olga-of-tests:{PASSWORD}@{address}/{NAME}"
        code, text = shown(["inspect", inside, "--format", "json"])
        assert code == 0, text
        assert PASSWORD not in text
        assert "olga-of-tests" not in text
