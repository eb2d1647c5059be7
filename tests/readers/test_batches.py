"""Many logs that are read in batches, against the same logs read at once."""

import json
import tracemalloc

import numpy as np
import pytest

from replay import readers
from replay.data.digest import digest_of_run
from replay.readers import batches
from replay.readers.find import natural
from tests.cli.test_cli import run as cli


def state(number, evals, first=1, digits=17):
    """A trainer_state.json of some evals of a run."""
    values = np.random.default_rng(number).random(40)
    history = [
        {
            "step": 10 * at,
            "epoch": at / 4,
            "eval_loss": float(f"{values[at]:.{digits}g}"),
            "eval_runtime": 1.0,
        }
        for at in range(first, evals + 1)
    ]
    return json.dumps(
        {
            "global_step": 10 * evals,
            "max_steps": 300,
            "num_train_epochs": 8,
            "best_metric": None,
            "best_model_checkpoint": None,
            "epoch": evals / 4,
            "is_local_process_zero": True,
            "log_history": history,
        }
    )


def table(number, evals, first=1, digits=5):
    """The same run as a table whose values are rounded."""
    values = np.random.default_rng(number).random(40)
    rows = [f"{10 * at},{values[at]:.{digits}g}" for at in range(first, evals + 1)]
    return "\n".join(["step,eval_loss", *rows, ""])


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.fixture
def many(tmp_path):
    """Thirty runs; some have checkpoints, copies, tables elsewhere, or a process that goes on."""
    root = tmp_path / "logs"
    for number in range(30):
        write(root / f"a/run{number}", "trainer_state.json", state(number, 20))
    for number in (3, 7):
        for evals in (5, 10):
            folder = root / f"a/run{number}/checkpoint-{10 * evals}"
            write(folder, "trainer_state.json", state(number, evals))
    write(root / "z/copy", "trainer_state.json", state(4, 20))
    write(root / "z/part", "trainer_state.json", state(11, 9))
    write(root / "y/rounded", "history.csv", table(9, 20))
    write(root / "y/longer", "history.csv", table(13, 25))
    write(root / "w/version_0", "metrics.csv", table(50, 12, digits=12))
    write(root / "w/version_1", "metrics.csv", table(50, 24, first=13, digits=12))
    write(root / "v", "broken.json", state(1, 20)[:300])
    return root


def content(runs):
    return {run.id: digest_of_run(run) for run in runs}


def read(paths, monkeypatch, size):
    monkeypatch.setattr(batches, "MOST_GROUPS", 1)
    monkeypatch.setattr(batches, "BATCH_BYTES", size)
    result, runs = batches.read_in_batches(paths)
    return result, list(runs)


@pytest.mark.parametrize("size", [2500, 5_000, 20_000, 10**9])
def test_batches_of_any_size_give_the_runs_that_are_read_at_once(many, monkeypatch, size):
    whole = readers.read(many)
    result, runs = read(many, monkeypatch, size)
    assert content(runs) == content(whole.runs)
    assert len(runs) == 32
    assert sorted(result.duplicates) == sorted(whole.duplicates)
    assert set(result.findings) == set(whole.findings)
    assert (result.files, result.skipped) == (whole.files, whole.skipped)
    (joined,) = (run for run in runs if run.id == "w")
    assert len(joined) == 24


def test_logs_that_have_nothing_in_common_are_assembled_apart(many, monkeypatch):
    assembled = []
    plain = readers.Search.assemble

    def assemble(self, groups, loaded):
        assembled.append([group.folder.name for group in groups])
        return plain(self, groups, loaded)

    monkeypatch.setattr(readers.Search, "assemble", assemble)
    read(many, monkeypatch, 2500)
    together = {folder: batch for batch in assembled for folder in batch}
    assert "copy" in together["run4"]
    assert "rounded" in together["run9"]
    assert "longer" in together["run13"]
    assert together["version_0"] == together["version_1"]
    assert max(map(len, assembled)) < 8


def test_a_cluster_that_is_too_large_is_divided(many, monkeypatch):
    monkeypatch.setattr(batches, "MOST_TOGETHER", 1)
    _, runs = read(many, monkeypatch, 1)
    assert {run.id for run in runs} >= {f"a/run{number}" for number in range(30) if number != 13}


def test_nothing_found_is_the_same_error(tmp_path, monkeypatch):
    write(tmp_path / "x", "trainer_state.json", "{}")
    with pytest.raises(readers.NothingFound) as one:
        readers.read(tmp_path / "x")
    with pytest.raises(readers.NothingFound) as other:
        read(tmp_path / "x", monkeypatch, 1)
    assert str(one.value) == str(other.value)
    assert one.value.findings == other.value.findings


def test_an_import_in_batches_has_the_runs_of_one_at_once(many, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli("import", "logs", "--out", "once.store")
    monkeypatch.setattr(batches, "MOST_GROUPS", 1)
    monkeypatch.setattr(batches, "BATCH_BYTES", 2500)
    cli("import", "logs", "--out", "batches.store")
    listed = []
    for name in ("once.store", "batches.store"):
        stated = json.loads(cli("inspect", name, "--format", "json").stdout)
        listed.append(sorted((run["run"], run["evals"]) for run in stated["runs"]))
        assert stated["stores"][0]["imports"][0]["runs"] == 32
    assert listed[0] == listed[1]
    # a store is imported file by file, and its runs are known again
    again = cli("import", "batches.store", "logs", "--out", "once.store").stdout
    assert "Added 0 runs" in again
    assert "64 runs were there already" in again
    only = cli("import", "batches.store", "--where", "run = 'a/run3'", "--out", "few.store").stdout
    assert "Added 1 run to" in only
    none = cli("import", "batches.store", "--where", "evals > 999", "--out", "none.store", code=2)
    assert "has no run of which --where" in " ".join(none.output.split())
    assert not (tmp_path / "none.store").exists()


def test_memory_does_not_grow_with_the_number_of_logs(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "MOST_GROUPS", 1)
    monkeypatch.setattr(batches, "BATCH_BYTES", 20_000)
    peaks = []
    for count in (150, 600):
        for number in range(count):
            write(tmp_path / str(count) / f"run{number}", "trainer_state.json", long_state(number))
        _, runs = batches.read_in_batches(tmp_path / str(count))
        tracemalloc.start()
        assert sum(1 for _ in runs) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]


def long_state(number):
    made = json.loads(state(number, 30))
    made["log_history"] += [{"step": 10 * at + 5, "epoch": at / 4, "loss": 1 / at} for at in range(1, 31)]
    made["log_history"].sort(key=lambda entry: entry["step"])
    return json.dumps(made)


def test_ids_are_in_natural_order_within_a_batch(many, monkeypatch):
    _, runs = read(many, monkeypatch, 10**9)
    assert [run.id for run in runs] == sorted((run.id for run in runs), key=natural)
