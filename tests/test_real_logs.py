"""The whole tool on logs that strangers made. Needs REPLAY_REAL_LOGS (see CONTRIBUTING.md)."""

import json

import pytest
from click.testing import CliRunner

import replay
from replay.cli import cli
from replay.data.names import infer_mode
from replay.engine.question import Question
from replay.engine.scoring import simulate_policies
from replay.policies import POLICIES
from replay.policies.spec import example, parse_policy
from replay.readers import read

KINDS = (
    "hf-trainer-state",
    "tfevents-hf",
    "tfevents-keras",
    "tfevents-lightning",
    "tfevents-pytorch",
    "tfevents-ultralytics",
    "tfevents-catboost",
    "lightning-csv",
    "keras-csv",
    "ultralytics-csv",
    "llamafactory-jsonl",
    "ms-swift-jsonl",
    "detr-jsonl",
    "mmengine-json",
    "detectron2-json",
    "hf-stdout",
    "nanogpt-stdout",
)


def run(*args):
    result = CliRunner().invoke(cli, [str(arg) for arg in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def folders(real_logs, kind):
    found = sorted((real_logs / kind).iterdir())
    assert found
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_run_is_inspected_and_simulated(real_logs, kind):
    """A log with evals is simulated with every policy of the table; one without says which setting would have
    logged them."""
    for folder in folders(real_logs, kind):
        inspected = run("inspect", folder, "--format", "json")
        assert inspected.exit_code == 0, (folder.name, inspected.output)
        rows = json.loads(inspected.stdout)["runs"]
        assert rows
        simulated = run("simulate", folder)
        evals = [row for row in rows if row["evals"]]
        if not evals:
            assert simulated.exit_code == 2, folder.name
            assert all(row["hint"] for row in rows), folder.name
            continue
        for row in evals:
            metric = row["monitor"] or next(
                (name for name, found in row["metrics"].items() if found["mode"]), next(iter(row["metrics"]))
            )
            mode = row["metrics"].get(metric, {}).get("mode") or "min"
            result = run("simulate", folder, "--monitor", metric, "--mode", mode)
            assert result.exit_code == 0, (folder.name, result.output)
            assert all(len(line) <= 80 for line in result.stdout.split("Next:")[0].splitlines())
            told = run(
                "explain",
                folder,
                "--policy",
                "patience=3",
                "--run",
                row["run"],
                "--monitor",
                metric,
                "--mode",
                mode,
            )
            assert told.exit_code == 0, (folder.name, told.output)


def test_all_of_it_at_once(real_logs):
    """One command on the whole heap: other tools' files, empty files and all; nothing hides anything else."""
    found = read([real_logs])
    assert len(found.runs) >= 55
    result = run("simulate", real_logs, "--format", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert len({row["run"] for row in document["outcomes"]}) >= 25


@pytest.mark.slow
def test_every_policy_on_every_curve(real_logs):
    """Batch and one by one agree on real curves too, for every policy of the table and every known metric."""
    specs = [
        *(example(kind) for kind in POLICIES.values()),
        "patience=2,min_delta=0.01,every=2,smooth=mean:3,start=2",
    ]
    rules = [parse_policy(spec) for spec in specs]
    # those that any curve can be given to: no companion, no metric of their own, defined for either mode and
    # any sign
    rules = [rule for rule in rules if not rule.companions and rule.monitor is None and rule.name != "gl"]
    assert len(rules) >= 25
    by_metric: dict[str, list] = {}
    for made in read([real_logs / kind for kind in KINDS]).runs:
        for metric in made.metrics:
            if infer_mode(metric):
                by_metric.setdefault(metric, []).append(made)
    compared = 0
    for metric, runs in by_metric.items():
        question = Question(monitor=metric)
        rows = simulate_policies(runs, rules, question).rows()
        together = {(row["run"], row["policy"]): row for row in rows}
        for made in runs[:3]:
            for row in simulate_policies([made], rules, question).rows():
                assert repr(together[row["run"], row["policy"]]) == repr(row)
                compared += 1
    assert compared > 100


def test_three_checkpoints_are_one_run_and_read_like_a_story(real_logs):
    folder = real_logs / "hf-trainer-state"
    paths = [path for path in folder.iterdir() if path.name.startswith("paulohenriquecrs")]
    assert len(paths) == 3
    found = read(paths)
    assert len(found.runs) == 1
    assert len(found.duplicates) == 2
    assert len(found.runs[0]) == 17
    told = run("explain", *paths, "--policy", "patience=2")
    assert "It stops at eval 13 of 17 (step 6500): no gain over 0.86109 for 2 evals" in " ".join(
        told.stdout.split()
    )


def test_the_trap(real_logs):
    """val_loss is what tutorials watch; transformers logs eval_loss."""
    folder = real_logs / "hf-trainer-state"
    result = run("simulate", folder, "--monitor", "val_loss")
    assert result.exit_code == 2
    assert "Did you mean eval_loss?" in result.stderr
    assert run("simulate", folder, "--policy", "patience=3,monitor=val_loss").exit_code == 2


def test_frameworks_part_ways_on_real_curves(real_logs):
    """The same patience and threshold under two rules stop some real runs at different evals."""
    runs = [made for made in read([real_logs]).runs if len(made) >= 8]
    losses = [made for made in runs if any(name.endswith("loss") for name in made.metrics)]
    frame = simulate_policies(losses, ["patience=3,min_delta=0.01", "transformers:patience=3,threshold=0.01"])
    stops: dict[str, list] = {}
    for row in frame.rows():
        stops.setdefault(row["run"], []).append(row["stopped_eval"])
    assert sum(len(set(pair)) > 1 for pair in stops.values()) >= 3
    assert replay.__version__
