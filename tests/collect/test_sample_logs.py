"""The committed runs: what their README says of them, and that their configs still make them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from collect import config as settings
from collect import data, packages
from replay.importers import eval_log, read

FOLDER = Path(__file__).parents[2] / "sample_logs"
RUNS = sorted(path.parent for path in FOLDER.glob("*/eval_log.jsonl"))


def header(folder):
    return json.loads((folder / "eval_log.jsonl").read_text().split("\n", 1)[0])


def test_there_are_enough_runs():
    assert len(RUNS) >= 8
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 5e6


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
class TestRun:
    def test_it_is_complete(self, folder):
        loaded = eval_log.FORMAT.load([folder / "eval_log.jsonl"], folder.name)
        (run,) = loaded.runs
        assert loaded.problems == []
        assert run.meta["complete"]
        assert run.trained_steps == run.meta["planned_steps"]
        assert len(run) >= 25
        assert run.columns["epoch"].values[-1] > 4
        assert {"eval_loss", "eval_accuracy", "test_loss", "test_accuracy"} <= set(run.metrics)
        for name in (*run.metrics, "train_loss", "train_seconds", "eval_seconds", "tokens", "flops", "eval_flops"):
            assert np.isfinite(run.columns[name].values).all()
            assert run.columns[name].present.all()

    def test_its_three_formats_agree(self, folder):
        (own,) = read([folder / "eval_log.jsonl"]).runs
        (state,) = read([folder / "trainer_state.json"]).runs
        (events,) = read(list(folder.glob("events.out.tfevents.*"))).runs
        for metric, mode in header(folder)["modes"].items():
            curve = own.curve(metric, mode)
            assert curve.values.tolist() == state.curve(metric, mode).values.tolist()
            assert curve.values.astype(np.float32).tolist() == events.curve(metric, mode).values.tolist()
            assert curve.steps.tolist() == state.curve(metric, mode).steps.tolist() == events.curve(metric, mode).steps.tolist()

    def test_it_is_the_run_of_its_config(self, folder):
        config = settings.load(FOLDER / "configs" / f"{folder.name}.toml")
        assert header(folder)["config"] == json.loads(json.dumps(config.record()))

    def test_it_holds_no_path_and_no_text(self, folder):
        names = sorted(re.sub(r"\d{10}", "", path.name) for path in folder.iterdir())
        assert names == ["eval_log.jsonl", f"events.out.tfevents..{folder.name}", "trainer_state.json"]
        for path in folder.iterdir():
            assert not re.search(rb"/(home|root|work|tmp|Users)\b", path.read_bytes())

    @pytest.mark.slow
    def test_its_texts_are_fetched_again(self, folder):
        texts = data.load(settings.load(FOLDER / "configs" / f"{folder.name}.toml"), packages.cache_folder())
        assert texts.record() == header(folder)["data"]
