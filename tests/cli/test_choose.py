"""``replay choose`` as a user types it."""

import csv
import io
import json
import os
import tomllib
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

import replay
from replay.cli import cli
from replay.errors import ReplayWarning
from tests.cli.test_cli import fits, fits_the_screen, run
from tests.conftest import write_log
from tests.readme import ROOT

SAMPLE = ROOT / "sample_logs"


def told(*args, code=0):
    return json.loads(run("choose", *args, "--format", "json", code=code).stdout)


def test_first_screen_on_the_sample_logs(monkeypatch):
    monkeypatch.chdir(ROOT)
    brief = run("choose", "sample_logs", "--max-lost", "5%").stdout
    fits_the_screen(brief)
    assert (
        "Guaranteed on average over logs like these: patience=4 loses at most 5% of the improvement on"
        " further runs." in " ".join(brief.split())
    )
    assert "trainer.add_callback(StopCallback('patience=4'))" in brief
    out = run("choose", "sample_logs", "--max-lost", "5%", "--verbose").stdout
    fits(out)
    assert "Result: guaranteed, patience=4\n" in out
    told = " ".join(out.split())
    assert (
        "Guaranteed on average over logs like these: patience=4 loses at most 5% of the improvement on"
        " further runs, if they come from the same population as these 23 runs." in told
    )
    rows = [line.strip().split("  ")[0] for line in out.splitlines() if line.endswith("runs") and "%" in line]
    assert rows[:3] == ["patience=4", "in-sample", "cross-validated by run"]
    assert "By group, patience=4 loses" in told
    assert "trainer.add_callback(StopCallback('patience=4'))" in out


def test_every_sentence_on_groups_is_about_the_policy_that_it_names():
    """Recomputed from the outcomes of the policy alone, and of those that the folds chose."""
    found = told(SAMPLE, "--max-lost", "5%")
    runs = replay.load(SAMPLE)
    warnings.simplefilter("ignore", ReplayWarning)
    lost = replay.simulate(runs, [found["policy"]]).set_index("run")["lost"]
    group = {run.id: run.info.group for run in runs}
    for one in found["groups"]:
        here = [lost[run] for run, name in group.items() if name == one["group"]]
        assert one["runs"] == len(here)
        assert one["loss"] == pytest.approx(float(np.nanmean(here)))
    (fold,) = [fold for fold in found["folds"] if fold["by"] == "group"]
    (line,) = [line for line in found["lines"] if line["scored_on"] == "held out by group"]
    apart = [
        replay.simulate([run], [fold["policies"][fold["runs"][run.id]] or "never"])["lost"][0] for run in runs
    ]
    assert line["lost_mean"] == pytest.approx(float(np.nanmean(apart)))


def test_the_lines_to_paste_work(tmp_path):
    found = told(SAMPLE, "--max-lost", "5%")
    entry = tomllib.loads(found["check"])["policies"]["chosen"]
    assert entry == {"spec": found["policy"], "max_lost": "5%", "guarantee": "mean"}
    (tmp_path / "policies.toml").write_text(found["check"])
    assert found["policy"] in run("simulate", SAMPLE, "--policies", tmp_path / "policies.toml").stdout
    checked = run("check", tmp_path / "policies.toml", SAMPLE, "--verbose").stdout
    assert "guarantee" in checked
    code = found["callback"].replace("trainer.add_callback", "made.append")
    transformers = pytest.importorskip("transformers")
    made = []
    exec(code, {"made": made})
    assert isinstance(made[0], transformers.TrainerCallback)


def test_a_best_guess_is_exit_code_3_where_a_guarantee_is_required():
    found = told(SAMPLE, "--max-lost", "10%", "--confidence", "90%")
    assert found["status"] == "best guess"
    assert "Nothing is guaranteed" in found["reason"]
    assert found["guarantee"]["units_needed"] == 24
    run("choose", SAMPLE, "--max-lost", "10%", "--confidence", "90%", "--require", "guarantee", code=3)
    run("choose", SAMPLE, "--max-lost", "10%", "--require", "guarantee")


def test_a_guarantee_for_a_new_data_set_needs_nineteen_of_them():
    found = told(SAMPLE, "--max-lost", "5%", "--group", "group", "--policy", "patience=6", code=0)
    assert found["guarantee"]["policy"] is None
    assert (found["guarantee"]["units"], found["guarantee"]["units_needed"]) == (4, 19)
    assert "needs at least 19 groups that lose no more than these (" in found["reason"]
    assert "; there are 4" in found["reason"]


def test_json_holds_every_fold_and_its_policy():
    found = told(SAMPLE, "--grid", "patience=1..6", "--max-lost", "10%")
    by = {fold["by"]: fold for fold in found["folds"]}
    assert set(by) == {"run", "group"}
    assert sorted(by["run"]["runs"]) == sorted(run.id for run in replay.load(SAMPLE))
    assert set(by["group"]["runs"].values()) == {0, 1, 2, 3}
    assert all(policy is None or policy.startswith("patience=") for policy in by["run"]["policies"])
    guaranteed, line = found["lines"][:2]
    assert (guaranteed["scored_on"], guaranteed["policy"]) == ("guaranteed", found["policy"])
    assert (line["scored_on"], line["policy"]) == ("in sample", found["best_guess"])
    assert found["limit"] == {"kind": "lost", "value": 0.1, "text": "10%"}
    assert found["guarantee"]["policy"] == found["policy"]
    assert found["guarantee"]["bound"] <= 0.1


@pytest.mark.parametrize("style", ["csv", "markdown", "json"])
def test_formats_and_files(tmp_path, style):
    run("choose", SAMPLE, "--grid", "patience=2..5", "--format", style, "--out", tmp_path / "out")
    text = (tmp_path / "out").read_text()
    if style == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["scored_on"] for row in rows][:3] == ["guaranteed", "in sample", "held out by run"]
        assert {row["policy"] for row in rows if row["scored_on"] == "baseline"} == {
            "never",
            "one-epoch",
            "oracle",
        }
    assert text == (run("choose", SAMPLE, "--grid", "patience=2..5", "--format", style).stdout), (
        "the same every time"
    )


def test_limits_in_the_metrics_unit_and_of_the_best():
    found = told(SAMPLE, "--max-regret", "0.05")
    assert found["limit"]["kind"] == "regret"
    assert tomllib.loads(found["check"])["policies"]["chosen"]["max_regret"] == 0.05
    found = told(SAMPLE, "--max-regret", "5%")
    assert found["limit"]["kind"] == "relative_regret"
    assert found["lines"][1]["relative_regret_mean"] <= 0.05
    out = run("choose", SAMPLE, "--max-regret", "0.05").stdout
    fits(out)
    assert "regret" in next(line for line in out.splitlines() if line.startswith("policy"))


def test_by_group_and_another_objective():
    found = told(
        SAMPLE,
        "--group",
        "dataset",
        "--objective",
        "test_loss",
        "--max-lost",
        "40%",
        "--confidence",
        "80%",
    )
    assert [fold["by"] for fold in found["folds"]] == ["dataset"]
    assert set(found["folds"][0]["runs"].values()) == set(range(len(found["folds"][0]["policies"])))
    assert found["objective"]["metric"] == "test_loss"


def test_league_of_rules(monkeypatch):
    monkeypatch.chdir(ROOT)
    args = [
        "choose",
        "sample_logs",
        "--grid",
        "rule=patience,transformers,keras,gl,tutorial,drift",
        "--per-rule",
        "--max-lost",
        "5%",
    ]
    out = run(*args).stdout
    fits(out)
    assert "transformers:patience=4 (+1)" in out
    assert "keras:patience=4 do the same here" in " ".join(out.split())
    assert "Skipped: tutorial: no metric 'val_loss'" in out
    found = json.loads(run(*args, "--format", "json").stdout)
    assert {row["rule"] for row in found["rules"]} == {"patience", "transformers", "keras", "gl"}
    assert set(found["left_out"]) == {"tutorial", "drift"}
    for row in csv.DictReader(io.StringIO(run(*args, "--format", "csv").stdout)):
        assert row["status"]
    assert run(*args, "--format", "markdown").stdout.startswith("| best of each rule |")


def test_too_few_runs_is_exit_code_3(tmp_path):
    for number in range(3):
        values = [1, 0.8, 0.7, 0.75, 0.9, 1.0, 1.1 + number]
        write_log(tmp_path / f"r{number}", [value + number / 100 for value in values])
    result = run("choose", tmp_path, code=3)
    assert "Result: cannot tell" in result.stdout
    words = " ".join(result.stdout.split())
    assert "A best guess takes at least 8 runs with 5 evals each." in words
    assert "A guarantee of 5% on average needs at least 19 runs that lose no more than these (" in words
    assert "; there are 3." in words
    assert "StopCallback" not in result.stdout
    assert "replay plan" in result.stdout
    found = told(tmp_path, code=3)
    assert (found["status"], found["policy"], found["obstacle"]) == ("cannot tell", None, "too-few")
    one = " ".join(run("choose", tmp_path, "--group", "format", code=3).stdout.split())
    assert "A best guess for new groups takes at least 3 groups; there is 1." in one
    assert "needs at least 19 groups by format" in one


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--max-lost", "5"], "--max-lost 5 has no unit"),
        (["--max-regret", "5 kg"], "'kg' is not a unit of it"),
        (["--max-lost", "5%", "--max-regret", "1%"], "give one of the two"),
        (["--group", "colour"], "no run says its 'colour'"),
        (["--confidence", "95"], "--confidence 95: it takes a share from 50% to below 100%"),
        (["--grid", "patience=20..1"], "20..1"),
        (["--grid", "patients=1..3"], "patients"),
        (["--grid", "patience=0"], "no point of the grid is a policy"),
        (
            ["--grid", "patience=1..1000", "--grid", "min_delta=0..1..0.001", "--grid", "start=1..1000"],
            "1,001,000,000 points",
        ),
        (["--policy", "drift=0.1,min_gain=0.1"], "drift"),
        (["--grid", "rule=tutorial,drift", "--per-rule"], "no rule can be chosen"),
    ],
)
def test_mistakes_are_sentences_and_exit_code_2(args, said):
    result = CliRunner().invoke(cli, ["choose", str(SAMPLE), *args])
    assert result.exit_code == 2, result.output
    assert said in result.stderr, result.stderr
    assert "Traceback" not in result.output


def test_points_that_are_no_policy_are_told():
    result = run("choose", SAMPLE, "--grid", "patience=0..6", "--max-lost", "10%", "--format", "json")
    assert "1 point of the grid are no policy" not in result.stderr
    assert "1 point of the grid is no policy and is left out; the first, patience=0: " in " ".join(
        result.stderr.split()
    )


def test_it_is_the_same_in_a_process_of_its_own(tmp_path):
    import subprocess
    import sys

    done = [
        subprocess.run(
            [sys.executable, "-m", "replay", "choose", str(SAMPLE), "--format", "json"],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads},
        ).stdout
        for seed, threads in (("1", "1"), ("2", "2"))
    ]
    assert done[0] == done[1]


@pytest.mark.parametrize("command", ["choose", "sweep", "plan", "simulate"])
def test_the_next_command_ranks_by_the_same_weight(command):
    given = ["--policy", "patience=2"] if command == "simulate" else []
    out = CliRunner().invoke(cli, [command, str(SAMPLE), *given, "--weight", "compute"]).stdout
    assert "--weight compute" in " ".join(out[out.index("Next:") :].replace("\\", "").split())


def test_a_policy_that_is_worse_than_the_equal_budget_is_not_recommended_silently(tmp_path, monkeypatch):
    """A bump stops every second run early, and the others never: a mean of both is worse than one budget."""
    chance = np.random.default_rng(5)
    for number in range(300):
        rate = 0.8 + 0.02 * chance.random()
        losses = [rate**at for at in range(1, 31)]
        if number % 2:
            losses[20] = losses[19] + 1e-6
        rows = [{"step": 10 * at, "loss": 1.0, "eval_loss": loss} for at, loss in enumerate(losses, 1)]
        path = tmp_path / "logs" / f"run{number}" / "log.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    words = "loses more than the equal budget"
    for args in (["choose", "logs"], ["logs"]):
        assert f"! patience=1 {words} (0.8% against 0.4%): " in run(*args).stdout.replace("\n  ", " ")
    assert words not in " ".join(run("choose", str(SAMPLE)).stdout.split())
