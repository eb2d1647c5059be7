"""What the own format says beyond plain evals: further data sets, checkpoints, segments, the base model."""

import gzip
import json
import math

import pytest

from replay.data.censoring import censoring
from replay.data.finding import Kind, Severity
from replay.readers import read
from replay.readers.formats import eval_log
from replay.report.sentences import sentences
from replay.report.sentences.metric import say_censoring
from tests.readers.reading import refusal

HEADER = {
    "format": "replay-eval-log",
    "version": 1,
    "run": "r",
    "modes": {"eval_loss": "min"},
    "planned_steps": 40,
}


def load(tmp_path, *records, header=HEADER):
    (tmp_path / "eval_log.jsonl").write_text(
        "".join(json.dumps(record) + "\n" for record in (header, *records))
    )
    loaded = eval_log.FORMAT.load([tmp_path / "eval_log.jsonl"], "r")
    assert loaded.findings == []
    (run,) = loaded.runs
    return run


def evaluation(step, loss, **more):
    return {"kind": "eval", "step": step, "metrics": {"eval_loss": loss}, **more}


def checkpoint(step, kept=True):
    return {"kind": "checkpoint", "step": step, "kept": kept}


END = {"kind": "end", "step": 40, "reason": "all planned steps are done"}
UNPLANNED = {name: value for name, value in HEADER.items() if name != "planned_steps"}


@pytest.mark.parametrize(
    ("header", "records", "why"),
    [
        (HEADER, [evaluation(40, 0.5), END], None),
        (HEADER, [evaluation(40, 0.5)], None),  # killed after its last planned step
        (HEADER, [evaluation(30, 0.5), END], None),
        (HEADER, [evaluation(30, 0.5), END | {"step": 30}], "cut short at step 30 of 40"),
        (HEADER, [evaluation(30, 0.5)], "cut short at step 30 of 40"),
        (UNPLANNED, [evaluation(30, 0.5)], "cut short at step 30"),
        (UNPLANNED, [evaluation(30, 0.5), END], None),
        (UNPLANNED | {"planned_epochs": 2}, [evaluation(30, 0.5, epoch=1.5)], "cut short at epoch 1.5 of 2"),
        (UNPLANNED | {"planned_epochs": 2}, [evaluation(30, 0.5, epoch=1.5), END], None),
    ],
)
def test_a_log_that_ends_before_the_planned_end_is_censored(tmp_path, header, records, why):
    found = censoring(load(tmp_path, evaluation(15, 0.9, epoch=0.75), *records, header=header))
    assert (found and say_censoring(found)) == why


def test_further_data_sets_of_one_evaluation_are_one_row(tmp_path):
    run = load(
        tmp_path,
        evaluation(5, 1.0, compute={"eval_seconds": 1.0, "tokens": 10}),
        {
            "kind": "eval",
            "step": 5,
            "continues": True,
            "metrics": {"test_loss": 2.0},
            "compute": {"eval_seconds": 3.0, "tokens": 10},
        },
        {"kind": "train", "step": 6, "loss": 1.0},
        evaluation(10, 0.5, compute={"eval_seconds": 1.0, "tokens": 20}),
    )
    assert run.steps.tolist() == [5, 10]
    assert run.columns["eval_seconds"].values.tolist() == [3.0, 1.0]
    assert run.columns["tokens"].values.tolist() == [10, 20]
    assert run.columns["test_loss"].values[0] == 2.0
    assert run.columns["test_loss"].present.tolist() == [True, False]


def test_more_of_another_step_is_an_evaluation_of_its_own(tmp_path):
    run = load(tmp_path, evaluation(5, 1.0), {**evaluation(10, 0.5), "continues": True})
    assert run.curve("eval_loss", "min").values.tolist() == [1.0, 0.5]


def test_only_checkpoints_that_are_kept_count_as_saved(tmp_path):
    run = load(
        tmp_path,
        *(evaluation(5, 1.0, saved=False), checkpoint(5, kept=False)),
        *(evaluation(10, 0.9, saved=False), checkpoint(10)),
        evaluation(15, 0.8, saved=False),
        evaluation(20, 0.7, saved=True),
    )
    assert run.columns["saved"].values.tolist() == [0, 1, 0, 1]


def test_a_resume_voids_evals_and_checkpoints_after_it(tmp_path):
    run = load(
        tmp_path,
        *(evaluation(5, 1.0, saved=False), checkpoint(5)),
        *(evaluation(10, 9.0, saved=False), checkpoint(10)),
        {"kind": "segment", "segment": 1, "resumed_from": 5, "wasted": {"steps": 5, "train_seconds": 2.5}},
        evaluation(10, 0.5, saved=False),
        {"kind": "segment", "segment": 2, "resumed_from": 10, "wasted": {"steps": 3, "train_seconds": 1.5}},
        *(evaluation(15, 0.4, saved=False), checkpoint(15)),
    )
    assert run.curve("eval_loss", "min").values.tolist() == [1.0, 0.5, 0.4]
    assert run.columns["saved"].values.tolist() == [1, 0, 1]
    assert run.columns["segment"].values.tolist() == [0, 1, 2]
    assert run.info.wasted == {"steps": 8, "train_seconds": 4.0}
    assert "8 steps were trained again after an interruption (4 s); that is not counted as used" in sentences(
        run.info.findings
    )


def resumed(segment):
    return {"kind": "segment", "segment": segment, "resumed_from": 10}


@pytest.mark.parametrize(
    ("records", "line"),
    [
        ([evaluation(10, 1.0), resumed(1), resumed(1), evaluation(20, 0.5, segment=1)], 4),
        (
            [evaluation(10, 1.0), resumed(1), evaluation(20, 0.6, segment=0), evaluation(20, 0.5, segment=1)],
            4,
        ),
        ([evaluation(10, 1.0), evaluation(40, 0.5), END, END], 5),
    ],
)
def test_a_log_that_two_processes_wrote_at_once_is_reported(records, line, tmp_path):
    (finding,) = (one for one in load(tmp_path, *records).info.findings if one.kind is Kind.SEVERAL_WRITERS)
    assert (finding.severity, finding["line"]) == (Severity.WARNING, line)


def test_processes_one_after_the_other_are_not_several_writers(tmp_path):
    run = load(
        tmp_path,
        *(evaluation(10, 1.0, segment=0), resumed(1), evaluation(20, 0.6, segment=1)),
        *(resumed(2), evaluation(20, 0.6, segment=2), END, {"kind": "extended", "step": 40}),
        *(resumed(3), evaluation(50, 0.5, segment=3), END | {"step": 50}),
    )
    assert Kind.SEVERAL_WRITERS not in {finding.kind for finding in run.info.findings}


def test_a_run_begun_again_is_one_run(tmp_path):
    run = load(
        tmp_path,
        evaluation(5, 9.0),
        {"kind": "segment", "segment": 1, "resumed_from": 0, "wasted": {"steps": 5}},
        *(evaluation(5, 1.0), evaluation(10, 0.5)),
    )
    assert run.curve("eval_loss", "min").values.tolist() == [1.0, 0.5]


@pytest.mark.parametrize("step", [0, 5, 3e5])
def test_the_step_of_a_resume_is_the_one_that_the_log_states(step, tmp_path):
    run = load(
        tmp_path,
        evaluation(5, 9.0),
        {"kind": "segment", "segment": 1, "resumed_from": step},
        *(evaluation(step + 5, 1.0), evaluation(step + 10, 0.5)),
    )
    (finding,) = (finding for finding in run.info.findings if finding.kind is Kind.RESUMED)
    assert finding["steps"] == (step,)
    assert sentences(run.info.findings)[0].split(";")[0] == f"resumed at step {step:g}"


def test_the_base_model_is_in_the_meta(tmp_path):
    run = load(
        tmp_path,
        {"kind": "reference", "metrics": {"eval_loss": 3.5, "eval_accuracy": None}},
        evaluation(5, 1.0),
    )
    assert run.info.reference == {"eval_loss": 3.5}
    assert run.steps.tolist() == [5]


def test_signals_are_series_of_the_run(tmp_path):
    run = load(
        tmp_path,
        evaluation(5, 1.0, signals={"delta_norm": 0.1, "cosine": None}),
        evaluation(10, 1.0, signals={"cosine": 0.9}),
    )
    assert run.train["signals/delta_norm"].value.tolist() == [0.1]
    assert run.train["signals/cosine"].step.tolist() == [10]
    assert run.metrics == ("eval_loss",)


@pytest.mark.parametrize(
    "record",
    [
        {"kind": "eval"},
        {"kind": "checkpoint"},
        {"kind": "checkpoint", "step": None},
        {"kind": "new", "step": 1},
    ],
)
def test_records_that_say_nothing_are_passed_over(record, tmp_path):
    assert load(tmp_path, record, evaluation(5, 1.0)).steps.tolist() == [5]


def test_a_version_that_is_not_known(tmp_path):
    (tmp_path / "eval_log.jsonl").write_text(json.dumps({**HEADER, "version": 2}) + "\n")
    text = refusal(eval_log.FORMAT, tmp_path / "eval_log.jsonl")
    assert text.endswith("eval_log.jsonl: eval log version 2; this replay reads version 1")


def test_a_compressed_log_is_the_same_run(tmp_path):
    lines = [json.dumps(HEADER), *(json.dumps(evaluation(step, 1 / step)) for step in range(1, 400))]
    whole = ("\n".join(lines) + "\n").encode()
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "eval_log.jsonl").write_bytes(whole)
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "eval_log.jsonl.gz").write_bytes(gzip.compress(whole))
    found = read(tmp_path)
    assert len(found.runs) == 1
    assert len(found.duplicates) == 1
    assert len(found.runs[0]) == 399


@pytest.mark.parametrize("damage", [lambda packed: packed[:-400], lambda packed: packed[:-900] + b"x" * 900])
def test_of_a_damaged_compressed_log_the_good_lines_are_kept(damage, tmp_path):
    lines = [json.dumps(HEADER), *(json.dumps(evaluation(step, math.sin(step))) for step in range(1, 2000))]
    packed = gzip.compress(("\n".join(lines) + "\n").encode())
    (tmp_path / "eval_log.jsonl.gz").write_bytes(damage(packed))
    found = read(tmp_path)
    (run,) = found.runs
    assert 100 < len(run) < 1999
    assert run.evals["eval_loss"].tolist() == [math.sin(step) for step in range(1, len(run) + 1)]
    assert [finding.kind for finding in found.findings][-1] == Kind.CUT_OFF
