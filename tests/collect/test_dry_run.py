"""What --dry-run says, against the arithmetic by hand and against runs that were trained."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest
from click.testing import CliRunner

from collect import dry_run
from collect.cli import cli
from collect.estimate import Measurement, Sample, estimate, fit_seconds, shape_of, together
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed, toml
from tests.collect.test_data import config_of

MEASURED = Measurement(
    steps_measured=8,
    evals_measured=2,
    train_examples=48,
    setup=10.0,
    step=0.5,
    step_extra=2.0,
    evaluation=3.0,
    evaluation_extra=1.0,
    reference=4.0,
    generation=6.0,
    checkpoint=0.25,
    checkpoint_bytes=1000,
    peak_rss_bytes=2**30,
    watts=100.0,
)


def test_the_parts_add_up(tmp_path):
    config = config_of(changed(CLASSIFIER, train={"eval_at_start": True}), tmp_path)
    one = estimate(config, MEASURED, "other", price=7.2)
    # 24 steps, evals at 0, 5, 10, 15, 20 and 24, checkpoints to resume from at 5, 10, 15 and 20
    assert (one.steps, one.evals) == (24, 6)
    assert one.parts == {
        "setup": 10.0,
        "steps": 24 * 0.5 + 2.0,
        "evals": 6 * 3.0 + 1.0,
        "base_model": 4.0,
        "generation": 0.0,
        "checkpoints": 4 * 0.25,
    }
    assert one.seconds == sum(one.parts.values()) == 48.0
    assert (one.energy_joules, one.cost) == (4800.0, pytest.approx(48 * 7.2 / 3600))
    assert one.checkpoint_bytes == 0
    unknown = estimate(config, dataclasses.replace(MEASURED, watts=None), "other", None)
    assert (unknown.energy_joules, unknown.cost) == (None, None)


def test_steps_follow_from_epochs_and_the_examples(tmp_path):
    epochs = changed(CLASSIFIER, data={"train_size": 50}, train={"max_steps": None, "epochs": 1.5})
    assert estimate(config_of(epochs, tmp_path), MEASURED, "", None).steps == math.ceil(1.5 * 7)
    rest = changed(epochs, data={"train_size": None}, train={"gradient_accumulation": 4})
    assert estimate(config_of(rest, tmp_path), MEASURED, "", None).steps == math.ceil(1.5 * 2)


@pytest.mark.parametrize(
    ("samples", "tokens", "seconds"),
    [
        ([(1.0, 10), (2.0, 20)], 15, 1.5),
        ([(1.0, 10), (2.0, 20)], 30, 3.0),
        ([(1.0, 10), (1.2, 20)], 30, 1.4),  # half of it does not depend on the length
        ([(2.0, 10), (1.0, 20)], 30, 1.5),  # noise: longer batches are never faster
        ([(1.0, 10), (9.0, 20)], 15, 5.0),
        ([(1.0, 10), (9.0, 20)], 30, 10.0),  # nor more than proportional
        ([(1.0, 10), (3.0, 10)], 99, 2.0),
    ],
)
def test_seconds_follow_the_length_of_a_batch(samples, tokens, seconds):
    known = [Sample(*sample) for sample in samples]
    assert fit_seconds(known, tokens) == pytest.approx(seconds)
    # what is measured for the first time does not count
    assert fit_seconds([Sample(50.0, 10, is_new=True), *known], tokens) == pytest.approx(seconds)


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 15.0), (2, 9.0), (3, 7.0), (9, 5.0)])
def test_runs_at_once_begin_as_soon_as_another_ends(jobs, seconds):
    assert together([1.0, 2.0, 3.0, 4.0, 5.0], jobs) == seconds


def test_only_what_changes_a_step_makes_another_shape(tmp_path):
    def shape(**sections):
        return shape_of(config_of(changed(CLASSIFIER, **sections), tmp_path))

    alike = [
        {
            "train": {
                "seed": 3,
                "learning_rate": 1e-4,
                "scheduler": "cosine",
                "max_steps": 99,
                "eval_every": 7,
            }
        },
        {"lora": {"r": 16, "alpha": 4.0}},
        {"data": {"train_size": 20, "seed": 5}},
        {"group": "other"},
    ]
    others = [
        {"train": {"batch_size": 4}},
        {"train": {"eval_batch_size": 4}},
        {"train": {"gradient_accumulation": 2}},
        {"train": {"gradient_checkpointing": True}},
        {"lora": {"r": 17}},
        {"lora": {"dropout": 0.1}},
        {"lora": {"target_modules": ["query"]}},
        {"data": {"max_length": 8}},
        {"data": {"validation_size": 8}},
        {"data": {"train_size": None}},
        {"model": {"path": "other"}},
    ]
    assert {shape(**sections) for sections in alike} == {shape()}
    shapes = [shape(**sections) for sections in others]
    assert len({shape(), *shapes}) == len(others) + 1


def records(folder):
    return [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ["classifier", "language"])
def test_counts_are_those_of_a_training(kind, workplace, request):
    from collect import config as settings

    folder = request.getfixturevalue(f"{kind}_run")
    config = settings.load(workplace / f"{kind}.toml")
    log = records(folder)
    examples = log[0]["data"]["train"]["examples"]
    one = estimate(config, dataclasses.replace(MEASURED, train_examples=examples), "", None)
    assert one.steps == log[0]["planned_steps"]
    assert one.evals == sum(record.get("kind") == "eval" for record in log)
    written = [record for record in log if record.get("kind") == "checkpoint"]
    assert one.parts["checkpoints"] == len(written) * 0.25
    assert one.checkpoint_bytes == sum(record["kept"] for record in written) * 1000


@pytest.mark.parametrize(
    ("train", "every"), [({"eval_every": 4}, 2), ({"eval_every": 4, "eval_at_start": True}, 2), ({}, 5)]
)
def test_answers_are_counted_as_a_training_generates_them(train, every, collect_run, tmp_path):
    generation = {"every": every, "examples": 4, "max_new_tokens": 2, "metrics": ["exact_match"]}
    config = changed(LANGUAGE, train={"log_every": None, "epochs": 1, **train}, generation=generation)
    result, folder = collect_run(config, "answers", tmp_path)
    assert result.exit_code == 0, result.output
    generated = sum("eval_exact_match" in record.get("metrics", {}) for record in records(folder))
    measured = dataclasses.replace(MEASURED, train_examples=96)
    one = estimate(config_of(config, tmp_path), measured, "", None)
    assert one.parts["generation"] == generated * 6.0


# ---- measured ----


@pytest.fixture(scope="module")
def grid(workplace):
    path = workplace / "forecast.toml"
    path.write_text(
        toml(changed(CLASSIFIER, train={"save_every": 10}))
        + '[[grid]]\n"lora.r" = [2, 4]\n[[grid]]\n"train.batch_size" = [4]\n'
        '[[grid]]\n"lora.target_modules" = [["quary"]]\n'
    )
    return path


@pytest.mark.slow
def test_a_grid_is_measured_once_for_each_shape_and_nothing_is_left(grid, workplace, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in workplace.rglob("*")}
    arguments = ["grid", str(grid), "--out", str(tmp_path / "out"), "--dry-run", "--jobs", "2"]
    result = CliRunner().invoke(cli, [*arguments, "--price", "3.6", "--format", "json"])
    assert result.exit_code == 2  # one of the runs cannot be trained
    said = json.loads(result.stdout)
    assert result.stderr.splitlines() == [
        f"measuring {name} ({number} of 3)"
        for number, name in enumerate(("forecast-r4", "forecast-batchsize4", "forecast-quary"), 1)
    ]
    assert not (tmp_path / "out").exists()
    assert {path: path.stat().st_mtime_ns for path in workplace.rglob("*")} == before
    assert list(said["failed"]) == ["forecast-quary"]
    assert said["failed"]["forecast-quary"].startswith("lora.target_modules = ['quary'] is not in the model")
    runs = {run["run"]: run for run in said["runs"]}
    assert {name: run["measured"] for name, run in runs.items()} == {
        "forecast-r2": "forecast-r4",
        "forecast-r4": "forecast-r4",
        "forecast-batchsize4": "forecast-batchsize4",
    }
    for run in runs.values():
        assert (run["steps"], run["evals"]) == (24, 5)
        assert run["seconds"] == pytest.approx(sum(run["parts"].values()))
        assert all(seconds >= 0 for seconds in run["parts"].values())
        assert run["parts"]["setup"] > 0
        assert run["parts"]["steps"] > 0
        assert run["parts"]["evals"] > 0
        assert run["parts"]["checkpoints"] > 0
        assert run["cost"] == pytest.approx(run["seconds"] / 1000)
        assert run["peak_rss_bytes"] > 100 * 2**20
        assert run["energy_joules"] is None
    assert {name: one["steps_measured"] for name, one in said["measured"].items()} == {
        "forecast-r4": 8,
        "forecast-batchsize4": 8,
    }
    total = said["total"]
    seconds = [run["seconds"] for run in said["runs"]]
    assert (total["runs"], total["jobs"]) == (3, 2)
    assert total["seconds"] == pytest.approx(sum(seconds))
    assert total["wall_seconds"] == pytest.approx(together(seconds, 2))
    assert total["cost"] == pytest.approx(sum(seconds) / 1000)
    assert total["wall_cost"] == pytest.approx(total["wall_seconds"] / 1000)


@pytest.mark.slow
def test_memory_and_checkpoints_are_those_of_the_training_that_follows(workplace, tmp_path):
    """And that training is the one that it would have been."""
    path = workplace / "followed.toml"
    path.write_text(toml(changed(CLASSIFIER, train={"save_every": 10})))
    arguments = ["run", str(path), "--out", str(tmp_path)]
    result = CliRunner().invoke(cli, [*arguments, "--dry-run", "--format", "json"])
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == []
    (run,) = json.loads(result.stdout)["runs"]
    done = subprocess.run([sys.executable, "-m", "collect", *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = records(tmp_path / "followed")[-1]["compute"]["peak_rss_bytes"]
    assert run["peak_rss_bytes"] == pytest.approx(peak, rel=0.1)
    size = sum(file.stat().st_size for file in tmp_path.glob("followed/checkpoint-*/*"))
    assert run["checkpoint_bytes"] == pytest.approx(size, rel=0.1)
    # what is finished takes nothing any more
    result = CliRunner().invoke(cli, [*arguments, "--dry-run"])
    assert (result.exit_code, result.stdout) == (0, "finished already: followed\n")


def test_the_text_says_what_was_measured(tmp_path):
    estimates = [
        estimate(config_of({**CLASSIFIER, "name": name}, tmp_path), MEASURED, "b", 1.0) for name in "ab"
    ]
    result = dry_run.Forecast(estimates, {"b": MEASURED}, {"c": "no model"}, ["d"], 2, 1.0)
    shared = "Runs were measured alone; they slow each other down where they share a processor or a GPU"
    assert list(dry_run.lines(result)) == [
        "run  steps  evals  time   memory       energy  cost  measured",
        "a       24      5  45 s  1.0 GiB  0.00125 kWh  0.01  as b",
        "b       24      5  45 s  1.0 GiB  0.00125 kWh  0.01  yes",
        "",
        "2 runs, one after the other: 90 s, 0.0025 kWh, cost 0.03",
        f"with --jobs 2: 45 s, cost 0.01. {shared}",
        "measured: 8 steps and 2 evals of one batch, in 1 of 2 runs; the rest is extrapolated from these",
        "finished already: d",
        "c cannot be trained: no model",
    ]


def test_mistakes(grid, tmp_path):
    result = CliRunner().invoke(cli, ["grid", str(grid)])
    assert (result.exit_code, "Missing option '--out'" in result.stderr) == (2, True)
    result = CliRunner().invoke(cli, ["grid", str(grid), "--out", str(tmp_path), "--price", "1"])
    assert (result.exit_code, "--price and --format are options of --dry-run" in result.stderr) == (2, True)
    result = CliRunner().invoke(cli, ["run", str(tmp_path / "absent.toml"), "--dry-run"])
    assert (result.exit_code, "absent.toml: no such file" in result.stderr) == (2, True)
