"""The corpus: what is in it, and how its figures are made."""

import gzip
import json

import numpy as np
import pandas
import pytest

import replay
from corpus import league, page
from corpus.pack import pack
from replay.data.finding import Kind
from replay.readers import read

CORPUS = page.ROOT / "corpus"
#: What a log of the corpus may give cause to say.
INTENDED = {Kind.RESUMED, Kind.TRAINED_AGAIN}


@pytest.fixture(scope="module")
def runs():
    return read(CORPUS / "runs")


def test_every_log_is_one_complete_run(runs):
    logs = sorted(path.parent.name for path in (CORPUS / "runs").glob("*/eval_log.jsonl.gz"))
    assert sorted(run.id for run in runs.runs) == logs
    assert runs.findings == []
    assert runs.duplicates == []
    for run in runs.runs:
        assert run.info.complete, run.id
        assert 25 <= len(run) <= 60, run.id
        assert {"eval_loss", "test_loss"} <= set(run.metrics), run.id
        assert run.info.trained_steps == run.info.planned_steps, run.id
        assert {finding.kind for finding in run.info.findings} <= INTENDED, run.id


def test_every_sibling_has_a_long_run_of_the_same_config(runs):
    long = {league.key_of(run): run for run in runs.runs}
    for run in page.load_all(CORPUS / "shorter"):
        parent = long[league.key_of(run)]
        share = run.info.planned_steps / parent.info.planned_steps
        assert share in (0.25, 0.5, 0.75), run.id


def test_the_corpus_is_small_and_says_nothing_of_the_machine():
    files = [path for folder in ("runs", "shorter") for path in (CORPUS / folder).glob("*/*")]
    assert sum(path.stat().st_size for path in files) < 25e6
    for path in files:
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        assert b"/home/" not in text
        assert b"/root" not in text
        assert b"/work" not in text


def log(*records):
    header = {"format": "replay-eval-log", "version": 1, "run": "r", "modes": {"eval_loss": "min"}}
    return "".join(json.dumps(record) + "\n" for record in (header, *records))


def test_only_finished_runs_are_packed_and_always_to_the_same_bytes(tmp_path):
    evals = [{"kind": "eval", "step": step, "metrics": {"eval_loss": 1 / step}} for step in (1, 2, 3)]
    for name, records in {"done": [*evals, {"kind": "end", "step": 3}], "killed": evals}.items():
        (tmp_path / "trained" / name).mkdir(parents=True)
        (tmp_path / "trained" / name / "eval_log.jsonl").write_text(log(*records))
        (tmp_path / "trained" / name / "step_signals.bin").write_bytes(b"signals")
    assert pack(tmp_path / "trained", tmp_path / "one") == (1, ["killed"])
    assert pack(tmp_path / "trained", tmp_path / "two", frozenset({"done"})) == (1, ["killed"])
    first, second = (tmp_path / name / "done" / "eval_log.jsonl.gz" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert not first.with_name("step_signals.bin").exists()
    assert second.with_name("step_signals.bin").read_bytes() == b"signals"
    assert [len(run) for run in replay.load(tmp_path / "one")] == [3]


def made(name, max_steps, losses, test_losses, scheduler="cosine"):
    config = {
        "name": name,
        "task": "classification",
        "group": "g",
        "data": {"package": "p==1", "file": "texts.csv"},
        "train": {"scheduler": scheduler, "max_steps": max_steps},
    }
    evals = pandas.DataFrame(
        {
            "step": np.linspace(max_steps / len(losses), max_steps, len(losses)),
            "eval_loss": losses,
            "test_loss": test_losses,
        }
    )
    return replay.Run(id=name, evals=evals, meta={"extra": {"config": config}, "dataset": "p==1:texts.csv"})


def test_a_sibling_is_compared_with_its_share_of_the_long_run():
    parent = made("long", 80, [1.0, 0.8, 0.7, 0.5, 0.6, 0.9, 1.1, 1.2], [1.0, 0.9, 0.7, 0.8, 0.7, 1, 1, 1])
    short = made("short", 20, [0.9, 0.6], [0.95, 0.65])
    other = made("other", 20, [0.9, 0.1], [0.9, 0.1], scheduler="linear")
    (row,) = league.siblings([parent], [short, other])["rows"]
    # the long run improves from 1.0 to 0.5; its best by step 20 is 0.8, and the sibling's best is 0.6
    assert row["share"] == 0.25
    assert row["read_off"] == pytest.approx(0.6)
    assert row["trained"] == pytest.approx(0.2)
    # test losses of these checkpoints, relative to 0.8, that of the long run's best checkpoint
    assert row["test_read_off"] == pytest.approx(0.1)
    assert row["test_trained"] == pytest.approx(-0.15)


@pytest.mark.slow
def test_the_figures_are_those_of_the_logs():
    assert league.compute() == page.figures()
