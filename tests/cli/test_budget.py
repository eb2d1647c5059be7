"""``replay budget`` as a user types it."""

import csv
import io
import json

import pytest
from click.testing import CliRunner

from replay.cli import cli
from tests.cli.test_cli import fits_the_screen, run
from tests.conftest import curve, write_log
from tests.readme import ROOT


@pytest.fixture
def folder(tmp_path):
    for number in range(12):
        write_log(tmp_path / f"run{number}", [value + number / 20 for value in curve(number)])
    return tmp_path


def spent(*args):
    return json.loads(run("budget", *args, "--draws", 60, "--format", "json").stdout)


def test_first_screen_on_the_sample_logs(monkeypatch):
    monkeypatch.chdir(ROOT)
    out = run("budget", "sample_logs", "--compute", "1000steps", "--group", "group", "--draws", 40).stdout
    fits_the_screen(out)
    assert "With 1,000 steps for each group, " in out
    flat = " ".join(out.split())
    assert "Training runs to the end tries" in flat
    # the losses are upper bounds here, and those of several policies are equal to the last digit but one
    assert "no policy is shown to be better" in flat
    assert "finds the best runs" not in flat


def test_one_group(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    out = run("budget", folder.name, "--compute", "8000steps", "--draws", 60).stdout
    fits_the_screen(out)
    assert "best value found" in out
    assert "finds the best runs" in out or "no policy is" in out
    assert f"Next: replay budget {folder.name} --compute 2700steps --draws 60" in out  # which has enough runs
    out = run("budget", folder.name, "--compute", "2700steps", "--draws", 60).stdout
    assert "ran out of runs" not in out
    assert f"Next: replay simulate {folder.name} " in out


@pytest.mark.parametrize(
    ("amount", "unit", "compute"),
    [
        ("6000", "steps", 6000),
        ("6e3 steps", "steps", 6000),
        ("20epochs", "epochs", 20),
        ("500,000tokens", "tokens", 500000),
        ("900 seconds", "seconds", 900),
    ],
)
def test_units(folder, amount, unit, compute):
    words = ["--unit", unit] if amount.isdigit() else []
    found = spent(folder, "--compute", amount, *words)
    assert (found["unit"], found["budget"]) == (unit, compute)
    assert found["policies"][0]["policy"] == "never"
    assert all(row["used_mean"] <= compute * (1 + 1e-9) for row in found["policies"])


def test_cost_is_time_by_the_price(folder):
    by_time = spent(folder, "--compute", "900seconds", "--policy", "asha")
    by_cost = spent(folder, "--compute", "1.5cost", "--price", "6", "--policy", "asha")
    assert [row["found_mean"] for row in by_time["policies"]] == [
        row["found_mean"] for row in by_cost["policies"]
    ]


def test_a_budget_for_all_runs_finds_the_best(folder):
    never, asha = spent(folder, "--compute", "24000steps", "--policy", "asha")["policies"]
    assert (never["regret_mean"], never["best_found"], never["runs_tried"]) == (0, 1, 12)
    assert asha["ran_out"] == 1
    out = " ".join(run("budget", folder, "--compute", "24000steps", "--policy", "asha").stdout.split())
    assert "The logs have too few runs for this budget: asha tried all of them" in out


def test_it_is_deterministic_and_has_other_formats(folder):
    words = ["budget", folder, "--compute", "8000steps", "--draws", 40]
    assert run(*words).stdout == run(*words).stdout
    rows = list(csv.DictReader(io.StringIO(run(*words, "--format", "csv").stdout)))
    assert rows[0]["policy"] == "never"
    assert "| no early stopping |" in run(*words, "--format", "markdown").stdout


def test_policies_of_a_file(folder, tmp_path):
    file = tmp_path / "policies.toml"
    file.write_text('[policies.short]\nspec = "patience=2"\n[policies.halving]\nspec = "asha"\n')
    found = spent(folder, "--compute", "8000steps", "--policies", file)
    assert [row["policy"] for row in found["policies"]] == ["never", "patience=2", "asha"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--compute", "lots"], "a number and a unit, as in 1000gpu_hours"),
        (["--compute", "0steps"], "must be a number above 0, not '0'"),
        (["--compute", "-5steps"], "must be a number above 0, not '-5'"),
        (["--compute", "nan steps"], "must be a number above 0"),
        (["--compute", "5000"], "'5000' has no unit; write for instance 5000steps"),
        (["--compute", "5000stepps"], "no unit 'stepps'"),
        (["--compute", "5000steps", "--unit", "tokens"], "disagree; leave out --unit"),
        (["--compute", "1500steps"], "is not enough for one run: run run0 used 2000 steps"),
        (["--compute", "1e15flops"], "does not record flops"),
        (["--compute", "5cost"], "needs the price of one hour"),
        (["--compute", "9000steps", "--policy", "asha:workers=4"], "leave out workers= and give --workers"),
        (["--compute", "9000steps", "--policy", "asha:orders=9"], "leave out orders= and give --draws"),
        (["--compute", "9000steps", "--policy", "top-k"], "lets all runs wait for each other"),
        (["--compute", "9000steps", "--group", "color"], "no run says its 'color'"),
        (["--compute", "9000steps", "--group", "run"], "no two runs are in the same group"),
    ],
)
def test_mistakes_are_named(folder, args, message):
    result = CliRunner().invoke(cli, ["budget", str(folder), *args])
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())


def test_never_comes_first_wherever_it_is_given(folder):
    words = ["--policy", "patience=2", "--policy", "never", "--policy", "patience=2.0"]
    found = spent(folder, "--compute", "6000steps", *words)
    assert [row["policy"] for row in found["policies"]] == ["never", "patience=2"]
    assert found["policies"][0]["less_lost"] is None


def test_one_run_is_refused(tmp_path):
    write_log(tmp_path / "alone", curve(1))
    result = CliRunner().invoke(cli, ["budget", str(tmp_path), "--compute", "5000steps"])
    assert result.exit_code == 2
    assert "there is only alone; give the logs of more runs" in " ".join(result.output.split())


def test_runs_that_cannot_be_compared_are_refused(tmp_path):
    for number in range(6):
        header = {"dataset": f"d{number % 2}"}
        write_log(tmp_path / f"run{number}", [value + number for value in curve(number)], header=header)
    result = CliRunner().invoke(cli, ["budget", str(tmp_path), "--compute", "5000steps"])
    assert result.exit_code == 2
    assert "belong to 2 data sets (d0, d1)" in " ".join(result.output.split())
    assert "--group dataset" in " ".join(result.output.split())
    found = spent(tmp_path, "--compute", "5000steps", "--group", "dataset")
    assert (found["groups"], found["policies"][0]["runs"]) == (2, 6)


def test_runs_with_different_monitors_are_refused(tmp_path):
    for number in range(4):
        header = {"monitor": ("eval_loss", "test_loss")[number % 2]}
        write_log(tmp_path / f"run{number}", [value + number for value in curve(number)], header=header)
    result = CliRunner().invoke(cli, ["budget", str(tmp_path), "--compute", "5000steps"])
    assert result.exit_code == 2
    assert "the logs monitor 2 metrics (eval_loss, test_loss)" in " ".join(result.output.split())
    assert spent(tmp_path, "--compute", "5000steps", "--monitor", "eval_loss")["unit"] == "steps"


def test_a_group_whose_best_run_does_not_improve_is_not_counted_in_lost(tmp_path):
    for number in range(6):
        write_log(tmp_path / "good" / f"run{number}", [value + number / 20 for value in curve(number)])
        write_log(tmp_path / "flat" / f"run{number}", [1 + number / 100] * 12)
    words = [tmp_path, "--compute", "2000steps", "--group", "folder"]
    alone = spent(tmp_path / "good", "--compute", "2000steps")["policies"][0]
    both = spent(*words)["policies"][0]
    assert both["lost_mean"] == alone["lost_mean"] is not None
    text = " ".join(run("budget", *words, "--draws", 60, "--verbose").stdout.split())
    assert "1 of 2 groups are not counted in lost" in text
