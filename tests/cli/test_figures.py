"""What the commands say of which runs: counts, the total compute, names as typed, and warnings."""

import csv
import io
import json

import numpy as np
import pytest

from tests.cli.test_cli import fits, run
from tests.conftest import write_log


@pytest.fixture
def mixed(tmp_path):
    """Nine runs of different lengths, four of which log eval_f1 too."""
    for number in range(9):
        evals = 20 + 5 * number
        values = [1 / (1 + step) + 0.01 * max(0, step - 6 - number) for step in range(evals)]
        path = write_log(tmp_path / "logs" / f"run{number}", values, seed=number)
        if number < 4:
            lines = []
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                if entry.get("kind") == "eval":
                    entry["metrics"]["eval_f1"] = 1 - entry["metrics"]["eval_loss"]
                lines.append(json.dumps(entry))
            path.write_text("\n".join(lines) + "\n")
    return tmp_path / "logs"


def told(*args):
    return json.loads(run(*args, "--format", "json").stdout, parse_constant=pytest.fail)


def test_sentences_and_rows_count_the_same_runs(mixed, monkeypatch):
    monkeypatch.chdir(mixed.parent)
    args = [
        "simulate",
        mixed.name,
        "--objective",
        "eval_f1",
        "--objective-mode",
        "max",
        "--policy",
        "patience=2",
    ]
    found = told(*args)
    assert {row["runs"] for row in found["summary"]} == {4}
    assert len({row["run"] for row in found["outcomes"]}) == 9
    (warning,) = [text for text in found["warnings"] if "eval_f1" in text]
    assert warning.startswith("5 of 9 runs do not log eval_f1; they are left out of all figures")
    result = run(*args, "--verbose")
    fits("\n".join(line for line in result.stdout.splitlines() if "replay " not in line))
    flat = " ".join(result.stdout.split())
    assert "The figures are about the 4 of 9 runs that can be judged." in flat
    assert "4 runs: too few to rank policies" in flat
    assert {line.split()[1] for line in result.stdout.splitlines() if line.startswith("patience=2  ")} == {
        "4/4",
    }


def test_the_noise_is_counted_over_the_runs_that_can_tell(mixed):
    found = told("simulate", mixed, "--policy", "budget=400")
    row = next(row for row in found["summary"] if row["policy"] == "budget=400")
    flat = " ".join(run("simulate", mixed, "--policy", "budget=400", "--verbose").stdout.split())
    told_of = row["within_noise"] + row["beyond_noise"]
    assert told_of == row["lost_runs"] == 9
    assert f"In {row['beyond_noise']} of 9 runs it loses more than the run's own eval noise." in flat


def test_the_total_is_shown_and_ranks(mixed):
    policies = ["--policy", "budget=1500", "--policy", "patience=2", "--policy", "patience=4"]
    found = told("simulate", mixed, *policies)
    rows = {row["policy"]: row for row in found["summary"]}
    outcomes = [row for row in found["outcomes"] if row["policy"] == "patience=2"]
    total = 1 - sum(row["used"] for row in outcomes) / sum(row["used_full"] for row in outcomes)
    assert rows["patience=2"]["saved_total"] == pytest.approx(total)
    assert rows["patience=2"]["saved_total"] != pytest.approx(rows["patience=2"]["saved_mean"], abs=1e-3)
    assert list(rows) == ["never", "one-epoch", "budget=1500", "patience=2", "patience=4", "oracle"]
    ranked = [row["policy"] for row in told("simulate", mixed, *policies, "--weight", "compute")["summary"]]
    between = sorted(list(rows)[2:5], key=lambda name: -rows[name]["saved_total"])
    assert ranked == ["never", "one-epoch", *between, "oracle"]
    text = run("simulate", mixed, *policies, "--weight", "compute", "--verbose").stdout
    assert "total" in text.splitlines()[[line[:6] for line in text.splitlines()].index("policy")]
    assert "of the total compute and loses" in " ".join(text.split())


def test_a_sweep_ranks_by_the_total(mixed):
    args = ["sweep", mixed, "--grid", "patience=1..6", "--policy", "budget=1500", "--max-lost", "60%"]
    by_runs, by_compute = told(*args), told(*args, "--weight", "compute")
    assert (by_runs["weight"], by_compute["weight"]) == ("runs", "compute")
    for found, key in ((by_runs, "saved_mean"), (by_compute, "saved_total")):
        front = [row[key] for row in found["front"]]
        assert front == sorted(front, reverse=True)
        rows = {row["policy"]: row for row in found["policies"]}
        for row in found["front"]:
            better = [
                other
                for other in rows.values()
                if other[key] >= row[key] and other["lost_mean"] < row["lost_mean"] - 1e-12
            ]
            assert not better, (key, row["policy"])
    assert by_runs["policies"][0]["saved_total"] == by_compute["policies"][0]["saved_total"]
    assert "of the total compute and loses" in " ".join(
        run(*args, "--weight", "compute", "--verbose").stdout.split()
    )
    assert "compute" in run("sweep", mixed, "--weight", "evals", code=2).output


@pytest.mark.parametrize("command", ["simulate", "sweep"])
def test_policies_are_named_as_typed(mixed, command):
    args = [command, mixed, "--policy", "patience = 2.0", "--policy", "patience=2", "--policy", "gl=6.0"]
    found = told(*args)
    rows = found["summary"] if command == "simulate" else found["policies"]
    names = {
        row["policy"]: row["spec"] for row in rows if row["spec"] not in ("never", "one-epoch", "oracle")
    }
    assert names == {"patience = 2.0": "patience=2", "gl=6.0": "gl=6"}
    if command == "simulate":
        assert {row["policy"] for row in found["outcomes"]} >= set(names)
    rows = list(csv.DictReader(io.StringIO(run(*args, "--format", "csv").stdout)))
    assert {row["policy"]: row["spec"] for row in rows}["patience = 2.0"] == "patience=2"


def test_a_plot_by_the_total(mixed, tmp_path):
    for command in ("simulate", "sweep"):
        path = tmp_path / f"{command}.png"
        run(command, mixed, "--policy", "patience=2", "--weight", "compute", "--plot", path)
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_limit_on_relative_regret_near_1_is_warned_of(tmp_path):
    for number in range(3):
        write_log(tmp_path / "logs" / f"run{number}", [0.3, 0.05, 0.06, 0.07 + number / 100])
    args = ["sweep", tmp_path / "logs", "--monitor", "eval_accuracy", "--policy", "patience=1"]
    share = [text for text in told(*args, "--max-regret", "0.5%")["warnings"] if "near its best" in text]
    assert len(share) == 1
    assert "takes the error rate from 4.8% to 5.2%" in share[0]
    assert not [text for text in told(*args, "--max-regret", "0.005")["warnings"] if "near its best" in text]
    (tmp_path / "policies.toml").write_text(
        '[policies.a]\nspec = "patience=1"\nmax_regret = "0.5%"\n', encoding="utf-8"
    )
    check = ("check", tmp_path / "policies.toml", tmp_path / "logs", "--verbose")
    flat = " ".join(run(*check, code=3).output.split())
    assert "near its best possible value" not in flat, "the monitor is eval_loss there"
    (tmp_path / "policies.toml").write_text(
        'monitor = "eval_accuracy"\n[policies.a]\nspec = "patience=1"\nmax_regret = "0.5%"\n',
        encoding="utf-8",
    )
    flat = " ".join(run(*check, code=3).output.split())
    assert "near its best possible value" in flat


def test_an_explanation_of_a_run_without_a_scale(tmp_path):
    values = 1 + 0.01 * (np.arange(20) % 2)
    write_log(tmp_path / "flat", (values - 0.001 * np.arange(20) * (np.arange(20) % 2)).tolist())
    result = run("explain", tmp_path, "--policy", "patience=1", "--keep", "last")
    flat = " ".join(result.stdout.split())
    assert "The run improves too little to say which share of its improvement that is." in flat
    assert "?" not in flat
