"""``--jobs`` and ``--scheduler``: a store that is replayed file by file."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import replay.search.store_simulation
import replay.store.store
from replay.cli import cli as main
from tests.cli.test_cli import run as cli


def ended(*words):
    """What a command gives, whatever its exit code."""
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


POLICIES = ("--policy", "patience=1", "--policy", "patience=3,min_delta=0.01", "--policy", "gl=5")


@pytest.fixture
def store(logs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(replay.store.store, "MOST_RUNS", 3)
    cli("import", "logs", "--out", "runs.store")
    return "runs.store"


def test_a_simulation_by_file_is_that_of_all_runs_at_once(store):
    texts = [cli("simulate", store, *POLICIES, "--jobs", jobs, "--format", "json").stdout for jobs in (1, 2)]
    assert texts[0] == texts[1]
    by_file = json.loads(texts[0])
    at_once = json.loads(cli("simulate", store, *POLICIES, "--format", "json").stdout)
    assert [row["policy"] for row in by_file["summary"]] == [row["policy"] for row in at_once["summary"]]
    for row, other in zip(by_file["summary"], at_once["summary"], strict=True):
        for name, value in other.items():
            if name.startswith("budget_") and value is not None:
                np.testing.assert_allclose(row[name], value, rtol=1e-12, atol=1e-15, err_msg=name)
            else:
                assert row[name] == value, name
    for name in ("monitor", "objective", "unit", "keep", "warnings"):
        assert by_file[name] == at_once[name]
    for more in ((), ("--verbose",), ("--weight", "compute")):
        shown = cli("simulate", store, *POLICIES, *more, "--jobs", 1).stdout
        assert "10 runs in runs.store. Monitor: eval_loss" in " ".join(shown.split())
        # what follows is what all runs at once give: the answer, the tables, and the notes
        of_all = cli("simulate", store, *POLICIES, *more).stdout
        one, other = (text[text.index("Of 3 policies") : text.index("Next:")] for text in (shown, of_all))
        assert one == other
        assert shown.rstrip().endswith("--jobs 1")


def test_of_too_many_outcomes_sums_are_shown(store, monkeypatch):
    monkeypatch.setattr(replay.search.store_simulation, "MOST_OUTCOMES", 59)
    shown = " ".join(cli("simulate", store, *POLICIES, "--jobs", 1).stdout.split())
    assert "verdicts and the equal budget are shown for up to" in shown
    made = json.loads(cli("simulate", store, *POLICIES, "--jobs", 1, "--format", "json").stdout)
    assert [row["policy"] for row in made["summary"]] == ["never", *POLICIES[1::2]]
    monkeypatch.setattr(replay.search.store_simulation, "MOST_OUTCOMES", 60)
    made = json.loads(cli("simulate", store, *POLICIES, "--jobs", 1, "--format", "json").stdout)
    assert made["summary"][2]["saved_low"] < made["summary"][2]["saved_mean"]


def test_a_sweep_by_file_has_the_front_of_all_runs(store):
    grid = ("--grid", "patience=1..5", "--grid", "min_delta=0,1e-3", "--format", "json")
    by_file = json.loads(cli("sweep", store, *grid, "--jobs", 2).stdout)
    at_once = json.loads(cli("sweep", store, *grid).stdout)
    assert [row["spec"] for row in by_file["front"]] == [row["spec"] for row in at_once["front"]]
    assert len(by_file["policies"]) == len(at_once["policies"]) == 10
    assert by_file["best"]["spec"] in {row["spec"] for row in by_file["front"]}
    few = json.loads(cli("sweep", store, *grid, "--jobs", 1, "--where", "run != 'run0'").stdout)
    assert {row["runs"] for row in few["policies"]} == {9}
    text = cli("sweep", store, *grid[:-2], "--jobs", 1, "--verbose").stdout
    assert "saves most with lost <= 5%" in text
    assert "policy,runs,stopped" in cli("sweep", store, *grid[:-1], "csv", "--jobs", 1).stdout


@pytest.mark.parametrize(
    "tolerance",
    [
        ("--max-lost", "30%"),
        pytest.param(("--max-lost", "5%"), marks=pytest.mark.slow),
        pytest.param(("--max-regret", "0.05"), marks=pytest.mark.slow),
    ],
)
def test_a_choice_by_file_is_that_of_all_runs(store, tolerance):
    texts = [ended("choose", store, *tolerance, "--jobs", jobs, "--format", "json").stdout for jobs in (1, 2)]
    assert texts[0] == texts[1]
    by_file = json.loads(texts[0])
    at_once = ended("choose", store, *tolerance, "--format", "json")
    expected = json.loads(at_once.stdout)
    for name in (
        "status",
        "policy",
        "guarantee",
        "best_guess",
        "obstacle",
        "candidates",
        "monitor",
        "unit",
        "check",
    ):
        assert by_file[name] == expected[name], name
    assert by_file["reason"] == expected["reason"]
    for row, other in zip(by_file["lines"], expected["lines"], strict=True):
        for name, value in other.items():
            if name.startswith("budget_") and value is not None:
                np.testing.assert_allclose(row[name], value, rtol=1e-12, atol=1e-15, err_msg=name)
            elif name not in ("regret_corrected", "second_regret_mean"):
                assert row[name] == value, (other["scored_on"], name)
    for fold, other in zip(by_file["folds"], expected["folds"], strict=True):
        assert (fold["by"], fold["policies"]) == (other["by"], other["policies"])
    made = ended("choose", store, *tolerance, "--jobs", 1)
    assert made.exit_code == at_once.exit_code
    shown = " ".join(made.stdout.split())
    assert "10 runs in runs.store. Monitor: eval_loss" in shown
    assert "in-sample" in shown or by_file["best_guess"] is None
    required = ended("choose", store, *tolerance, "--jobs", 1, "--require", "guarantee")
    assert required.exit_code == (0 if expected["status"] == "guaranteed" else 3)


def test_of_too_many_policies_and_runs_only_a_guarantee_is_looked_for(store, monkeypatch):
    import replay.search.store_choice

    monkeypatch.setattr(replay.search.store_choice, "MOST_TRIED", 9)
    tolerance = ("--max-lost", "30%", "--format", "json")
    by_file = cli("choose", store, *tolerance, "--jobs", 2).stdout
    assert by_file == cli("plan", store, *tolerance).stdout
    assert json.loads(by_file)["guaranteed"] is not None
    shown = " ".join(cli("choose", store, "--max-lost", "30%", "--jobs", 1).stdout.split())
    assert "10 runs in runs.store that can be judged. Only a guarantee was looked for" in shown
    assert "keeps the tolerance, guaranteed." in shown
    assert "no policy is guaranteed" in cli("choose", store, "--max-lost", "1%", "--jobs", 1, code=3).stdout
    refused = cli("choose", store, "--max-regret", "0.1", "--jobs", 1, code=2).output
    assert "a best guess takes at most 9 runs times policies" in " ".join(refused.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "logs", "--jobs", "2"], "--jobs takes a store, and logs is not one"),
        (["simulate", "runs.store", "runs.store", "--jobs", "2"], "--jobs takes one store"),
        (["simulate", "runs.store", "--jobs", "2", "--per-run"], "--per-run needs all runs at once"),
        (["simulate", "runs.store", "--jobs", "2", "--policy", "asha:reduction=3"], "compares runs"),
        (["sweep", "runs.store", "--jobs", "2", "--scheduler", "tcp://h:1"], "give one of the two"),
        (["sweep", "runs.store", "--scheduler", "h:1"], "is not the address of a Dask scheduler"),
        (["simulate", "runs.store", "--jobs", "2", "--monitor", "x"], "can be simulated"),
        (["choose", "runs.store", "--jobs", "2", "--per-rule"], "--per-rule needs all runs at once"),
    ],
)
def test_what_cannot_be_done_by_file_is_an_error(store, words, message):
    assert message in " ".join(cli(*words, code=2).output.split())
