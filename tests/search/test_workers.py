"""The files of a store in several processes and on a Dask cluster: the same bits, also where workers are
killed.
"""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from replay.engine.question import Question
from replay.engine.scoring import parse_policies
from replay.errors import InputError
from replay.search.dask_cluster import run_on_cluster
from replay.search.local_processes import run_in_processes
from replay.search.store_sweep import sweep_store
from tests.cli.test_cli import run as cli
from tests.cli.test_streaming import ended
from tests.search.test_store_sweep import SOME, bits, stored
from tests.search.test_sweep import made_runs

QUESTION = Question(monitor="eval_loss")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("stores") / "s", made_runs(11, 36), 3)


@pytest.fixture(scope="module")
def expected(store):
    return bits(sweep_store(store, parse_policies(SOME), QUESTION).figures)


def sweep(store, run_all):
    return bits(sweep_store(store, parse_policies(SOME), QUESTION, run_all=run_all).figures)


def test_processes_give_the_same_bits(store, expected):
    assert sweep(store, lambda call, tasks: run_in_processes(call, tasks, 2)) == expected


def killing(results, kill, after=2):
    """The results; a worker is killed behind one of the first."""
    for number, result in enumerate(results, 1):
        yield result
        if number == after:
            kill()


def test_a_process_that_is_killed_is_replaced(store, expected):
    killed = []

    def kill():
        children = psutil.Process().children()
        workers = [one for one in children if "local_processes" in " ".join(one.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
        killed.append(workers[0].pid)

    got = sweep(store, lambda call, tasks: killing(run_in_processes(call, tasks, 2), kill))
    assert killed
    assert got == expected
    assert not [one for one in psutil.Process().children() if "local_processes" in " ".join(one.cmdline())]


def end_yourself(task):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(task):
    raise InputError(f"no {task}")


def crash(task):
    return 1 / task


def test_a_task_that_ends_every_process_is_an_error():
    with pytest.raises(InputError, match="3 processes died over one file"):
        list(run_in_processes(end_yourself, [1], 2))


def test_errors_of_a_process_are_raised_here():
    with pytest.raises(InputError, match="no wine"):
        list(run_in_processes(fail, ["wine", "bread"], 2))
    with pytest.raises(ZeroDivisionError) as caught:
        list(run_in_processes(crash, [1, 0], 2))
    assert "crash" in "".join(caught.value.__notes__)


class Cluster:
    """A scheduler and workers in processes of their own."""

    def __init__(self, folder, workers, protocol="tcp"):
        self.folder = folder
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__STATUS__TASK_STREAM_LENGTH": "1",
            "OMP_NUM_THREADS": "1",
        }
        file = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--protocol",
            protocol,
            "--scheduler-file",
            str(file),
        )
        self.address = self._wait_for_address(file)
        self.workers = [
            self._start(
                "worker",
                self.address,
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--local-directory",
                str(folder / f"w{number}"),
            )
            for number in range(workers)
        ]

    def _start(self, *words):
        log = (self.folder / f"{words[0]}-{time.monotonic_ns()}.log").open("wb")
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            stdout=log,
            stderr=log,
            env=self.environment,
            cwd=self.folder,
        )

    def _wait_for_address(self, file):
        import json

        while True:
            assert self.scheduler.poll() is None, self.logs()
            try:
                return json.loads(file.read_text())["address"]
            except (OSError, ValueError):
                time.sleep(0.05)

    def wait_for_workers(self):
        import distributed

        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers))

    def logs(self):
        return "\n".join(path.read_text() for path in Path(self.folder).glob("*.log"))

    def stop(self):
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path, 2)
    try:
        made.wait_for_workers()
        yield made
    finally:
        made.stop()


def test_two_workers_of_a_cluster_give_the_same_bits_also_with_one_killed(store, expected, cluster):
    assert sweep(store, lambda call, tasks: run_on_cluster(call, tasks, cluster.address)) == expected
    words = ("simulate", store.folder, "--monitor", "eval_loss", "--policy", "patience=2", "--format", "json")
    assert cli(*words, "--scheduler", cluster.address).stdout == cli(*words, "--jobs", 1).stdout
    words = ("choose", store.folder, "--monitor", "eval_loss", "--max-lost", "60%", "--format", "json")
    texts = [ended(*words, *more).stdout for more in (("--scheduler", cluster.address), ("--jobs", 1))]
    assert texts[0] == texts[1]
    assert '"lines"' in texts[0]
    victim = cluster.workers[0]

    def on_cluster(call, tasks):
        return killing(run_on_cluster(call, tasks, cluster.address), victim.kill)

    assert sweep(store, on_cluster) == expected
    assert victim.wait() == -signal.SIGKILL
    with pytest.raises(InputError, match="no wine"):
        list(run_on_cluster(fail, ["wine"], cluster.address))
    # a scheduler that goes away in the middle
    with pytest.raises(InputError, match=r"--scheduler tcp://127\.0\.0\.1:\d+: the scheduler is gone"):
        sweep(
            store,
            lambda call, tasks: killing(run_on_cluster(call, tasks, cluster.address), cluster.scheduler.kill),
        )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("localhost:8786", "is not the address of a Dask scheduler"),
        ("http://localhost:8786", "is not the address of a Dask scheduler"),
        ("tcp://", "is not the address of a Dask scheduler"),
        ("tcp://127.0.0.1:1", "no scheduler answers there"),
        ("tcp://127.0.0.1:port", "no scheduler answers there"),
    ],
)
def test_a_wrong_address_is_an_error(address, message, monkeypatch):
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), pytest.raises(InputError) as caught:
        list(run_on_cluster(fail, [1], address))
    assert message in str(caught.value)


def test_a_client_that_could_not_connect_leaves_nothing_open():
    import dask
    import distributed

    gc.collect()
    before = threading.active_count()
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        for _ in range(3):
            with pytest.raises(InputError, match="no scheduler answers there"):
                list(run_on_cluster(fail, [1], "tcp://127.0.0.1:1"))
            # what the garbage collector would have to close is closed already
            left = [one for one in gc.get_objects() if isinstance(one, distributed.Client)]
            assert all(one.status == "closed" for one in left)
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_certificates_are_those_of_the_configuration_of_dask(store, expected, tmp_path, monkeypatch):
    import dask
    import distributed  # noqa: F401  its settings are not those that are put back below

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout {key} -out {certificate}"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    tls = {"distributed.comm.tls.ca-file": str(certificate)}
    for role in ("client", "scheduler", "worker"):
        tls[f"distributed.comm.tls.{role}.key"] = str(key)
        tls[f"distributed.comm.tls.{role}.cert"] = str(certificate)
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", str(certificate))
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY", str(key))
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT", str(certificate))
    with dask.config.set(tls):
        made = Cluster(tmp_path, 1, protocol="tls")
        try:
            made.wait_for_workers()
            assert made.address.startswith("tls://")
            assert sweep(store, lambda call, tasks: run_on_cluster(call, tasks, made.address)) == expected
        finally:
            made.stop()
