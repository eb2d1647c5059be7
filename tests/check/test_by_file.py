"""A check of a store file by file, against that of all of its runs at once."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from replay import Run
from replay.check import simulated
from replay.cli import cli
from tests.search.test_store_guarantee import falling_runs
from tests.search.test_store_sweep import stored

POLICIES = """
logs = ["runs.store"]
monitor = "eval_loss"
mode = "min"
{more}

[policies.patience]
spec = "patience=2"
max_lost = "40%"
max_lost_worst = "90%"
guarantee = "mean"

[[policies.patience.expect]]
run = "run3"
eval = 14

[policies.patient]
spec = "patience=5,min_delta=0.01"
max_regret = "2%"
min_saved = "10%"
max_stopped_too_early = "20%"

[policies.never]
spec = "never"
"""


def grouped(runs):
    """The runs with something to group them by, and some with ids that are no paths."""
    made = []
    for number, run in enumerate(runs):
        info = {"planned_steps": run.info.planned_steps, "dataset": f"set{number % 3}"}
        name = f"../odd%{run.id}" if number % 10 == 3 else run.id
        made.append(Run(run.id if number == 3 else name, run.columns, info))
    return made


def outcome(most, patch, *words):
    """The check as JSON and the lock, with so many runs simulated at once."""
    patch.setattr(simulated, "MOST_AT_ONCE", most)
    made = CliRunner().invoke(cli, ["check", "policies.toml", "--update", "--format", "json", *words])
    assert not isinstance(made.exception, Exception), made.exception
    return made.exit_code, json.loads(made.stdout), Path("replay.lock").read_text(encoding="utf-8")


@pytest.mark.parametrize("size", [7, 25])
@pytest.mark.parametrize(
    "more", ["", 'group = "dataset"', 'keep = "last"\nconfidence = 0.8', 'unit = "epochs"', 'objective = "x"']
)
def test_all_is_as_with_all_runs_at_once(more, size, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored(tmp_path / "runs.store", grouped(falling_runs(60)), size)
    (tmp_path / "policies.toml").write_text(POLICIES.format(more=more))
    if "epochs" in more or "objective" in more:  # errors are those of the same key
        errors = []
        for most in (0, 10**6):
            monkeypatch.setattr(simulated, "MOST_AT_ONCE", most)
            made = CliRunner().invoke(cli, ["check", "policies.toml"])
            errors.append((made.exit_code, "Error:" in made.stderr))
        assert errors == [(2, True)] * 2
        return
    by_file = outcome(0, monkeypatch)
    (tmp_path / "replay.lock").unlink()
    at_once = outcome(10**6, monkeypatch)
    for one, other in zip(by_file, at_once, strict=True):
        assert one == other
    for most in (0, 10**6):  # and each holds for the other
        monkeypatch.setattr(simulated, "MOST_AT_ONCE", most)
        made = CliRunner().invoke(cli, ["check", "policies.toml", "--strict", "--require-lock"])
        assert "changed" not in made.stdout
        assert made.exit_code == by_file[0], made.stdout


def test_a_filter_and_a_group_that_no_run_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored(tmp_path / "runs.store", grouped(falling_runs(60)), 9)
    (tmp_path / "policies.toml").write_text(POLICIES.format(more="").replace("run3", "run15"))
    words = ["--where", "dataset = 'set0'"]
    one = outcome(0, monkeypatch, *words)
    assert one[1]["runs"] == 20
    (tmp_path / "replay.lock").unlink()
    assert one == outcome(10**6, monkeypatch, *words)
    (tmp_path / "policies.toml").write_text(POLICIES.format(more='group = "optimizer"'))
    monkeypatch.setattr(simulated, "MOST_AT_ONCE", 0)
    made = CliRunner().invoke(cli, ["check", "policies.toml"])
    assert made.exit_code == 2
    assert "no run says its 'optimizer'" in " ".join(made.stderr.split())


def test_curves_are_given_up_file_by_file(tmp_path, monkeypatch):
    """No more than the runs of one file are in memory at a time."""
    import gc
    import weakref

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(simulated, "MOST_AT_ONCE", 0)
    store = stored(tmp_path / "runs.store", falling_runs(60), 6)
    (tmp_path / "policies.toml").write_text(POLICIES.format(more=""))
    alive, most = weakref.WeakSet(), 0
    read = type(store).read_shard

    def counted(self, shard, findings):
        nonlocal most
        runs = read(self, shard, findings)
        alive.update(runs)
        if len(alive) > 12:
            gc.collect()
        most = max(most, len(alive))
        return runs

    monkeypatch.setattr(type(store), "read_shard", counted)
    made = CliRunner().invoke(cli, ["check", "policies.toml"])
    assert "60 runs" in made.stdout
    assert 6 <= most <= 12


def test_a_page_shows_runs_that_are_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(simulated, "MOST_AT_ONCE", 0)
    for module in ("check", "report"):
        monkeypatch.setattr(f"replay.cli.{module}.MOST_RUNS", 20)
    stored(tmp_path / "runs.store", falling_runs(60), 9)
    (tmp_path / "policies.toml").write_text(POLICIES.format(more=""))
    pages = []
    for words in (
        ["report", "runs.store", "--monitor", "eval_loss", "--mode", "min", "--out", "page.html"],
        ["check", "policies.toml", "--report", "page.html"],
    ):
        made = CliRunner().invoke(cli, words)
        assert "20 of its 60 runs are used, drawn at random" in " ".join((made.stdout + made.stderr).split())
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert "drawn at random" in page
        pages.append({f"run{number}" for number in range(60) if f'"run{number}"' in page})
    assert pages[0] == pages[1]
    assert len(pages[0]) == 20
    assert "60 runs" in CliRunner().invoke(cli, ["check", "policies.toml"]).stdout
    few = CliRunner().invoke(
        cli, ["report", "runs.store", "--monitor", "eval_loss", "--where", "run < 'run2'"]
    )
    assert "drawn at random" not in few.stdout + few.stderr
