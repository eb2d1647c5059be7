"""The committed runs: what their README says of them, and that their grids still make them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from collect import data, grid, packages
from replay.readers import read
from replay.readers.formats import eval_log, tensorboard
from replay.readers.step_signals import FILE_NAME, read_step_signals

FOLDER = Path(__file__).parents[2] / "sample_logs"
RUNS = sorted(path.parent for path in FOLDER.glob("*/eval_log.jsonl"))
CONFIGS = {
    config.name: config for path in sorted((FOLDER / "grids").glob("*.toml")) for config in grid.expand(path)
}


def header(folder):
    return json.loads((folder / "eval_log.jsonl").read_text().split("\n", 1)[0])


def records(folder):
    return [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()[1:]]


@pytest.fixture(scope="module")
def runs():
    return {
        folder.name: eval_log.FORMAT.load([folder / "eval_log.jsonl"], folder.name).runs[0] for folder in RUNS
    }


def test_every_run_of_the_grids_is_there():
    assert sorted(CONFIGS) == sorted(folder.name for folder in RUNS)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 15e6


def test_there_is_something_of_everything():
    encoders = [header(folder) for folder in RUNS if header(folder)["config"]["task"] == "classification"]
    models = [header(folder) for folder in RUNS if header(folder)["config"]["task"] == "causal-lm"]
    assert len(encoders) >= 20
    assert len({one["group"] for one in encoders}) == 2
    assert min(one["data"][split]["examples"] for one in encoders for split in ("validation", "test")) >= 300
    assert len(models) >= 6
    assert any("eval_rougeL" in one["modes"] for one in models)
    for many in (encoders, models):
        settings = [one["config"] for one in many]
        assert len({one["lora"]["r"] for one in settings}) >= 3
        assert len({one["train"]["learning_rate"] for one in settings}) >= 3
        assert len({one["train"]["seed"] for one in settings}) >= 2
        assert {"constant", "cosine"} <= {one["train"]["scheduler"] for one in settings}


def test_some_overfit_some_are_still_improving_one_diverges_one_was_killed(runs):
    last, best, base = ({} for _ in range(3))
    for name, run in runs.items():
        losses = run.columns["eval_loss"].values
        last[name], best[name], base[name] = losses[-1], losses.min(), run.info.reference["eval_loss"]
    assert sum(last[name] > 1.2 * best[name] for name in runs) >= 5
    assert sum(runs[name].columns["eval_loss"].values.argmin() >= len(runs[name]) - 2 for name in runs) >= 1
    # worse at the end than the base model was before it learnt anything
    assert any(
        last[name] > 1.5 * base[name] and best[name] < base[name]
        for name in runs
        if name.startswith("smollm2")
    )
    killed = [name for name in runs if runs[name].info.wasted]
    assert killed
    assert all(runs[name].info.wasted["steps"] > 0 for name in killed)


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
class TestRun:
    def test_it_is_complete(self, folder):
        loaded = eval_log.FORMAT.load([folder / "eval_log.jsonl"], folder.name)
        (run,) = loaded.runs
        assert loaded.findings == []
        assert run.info.complete
        assert run.trained_steps == run.info.planned_steps
        assert len(run) >= 25
        assert {"eval_loss", "eval_accuracy", "test_loss", "test_accuracy"} <= set(run.metrics)
        for name in (
            "eval_loss",
            "test_loss",
            "train_loss",
            "train_seconds",
            "eval_seconds",
            "tokens",
            "flops",
            "eval_flops",
        ):
            assert np.isfinite(run.columns[name].values).all()
            assert run.columns[name].present.all()

    def test_its_signals_are_complete(self, folder):
        evals = [record for record in records(folder) if record["kind"] == "eval"]
        modules = len(header(folder)["lora"]["modules"])
        for record in evals:
            assert set(record["signals"]) == {
                "delta_norm",
                "delta_ratio",
                "cosine",
                "relative_change",
                "stable_rank",
            }
            assert all(len(values) == modules for values in record["modules"].values())
        steps = read_step_signals(folder / FILE_NAME)
        assert steps.steps.tolist() == list(range(1, header(folder)["planned_steps"] + 1))
        assert np.isfinite(steps.values[1:]).all()

    def test_its_three_formats_agree(self, folder):
        (own,) = read([folder / "eval_log.jsonl"]).runs
        (state,) = read([folder / "trainer_state.json"]).runs
        (events,) = tensorboard.FORMAT.load(sorted(folder.glob("events.out.tfevents.*")), folder.name).runs
        for metric, mode in header(folder)["modes"].items():
            curve = own.curve(metric, mode)
            assert curve.values.tolist() == state.curve(metric, mode).values.tolist()
            assert curve.values.astype(np.float32).tolist() == events.curve(metric, mode).values.tolist()
            assert (
                curve.steps.tolist()
                == state.curve(metric, mode).steps.tolist()
                == events.curve(metric, mode).steps.tolist()
            )

    def test_it_is_the_run_of_its_grid(self, folder):
        assert header(folder)["config"] == json.loads(json.dumps(CONFIGS[folder.name].record()))

    def test_it_holds_no_path_and_no_text(self, folder):
        names = {re.sub(r"\d{10}", "", path.name) for path in folder.iterdir()}
        assert names == {
            "eval_log.jsonl",
            f"events.out.tfevents..{folder.name}",
            "trainer_state.json",
            FILE_NAME,
        }
        for path in folder.iterdir():
            assert not re.search(rb"/(home|root|work|tmp|Users)\b", path.read_bytes())

    @pytest.mark.slow
    def test_its_texts_are_fetched_again(self, folder):
        texts = data.load(CONFIGS[folder.name], packages.cache_folder())
        assert texts.record() == header(folder)["data"]
