"""Every importer on logs that strangers made. Needs REPLAY_REAL_LOGS (see CONTRIBUTING.md)."""

import csv
import json

import numpy as np
import pytest

from replay.data.censoring import censoring
from replay.data.finding import Kind
from replay.readers import FORMATS, NothingFound, read, sniff
from replay.report.sentences import sentences

#: Kinds that an importer reads, and the manifest's runs whose count of evals means something else there.
KINDS = {
    "hf-trainer-state": "trainer-state",
    "tfevents-hf": "tensorboard",
    "tfevents-keras": "tensorboard",
    "tfevents-lightning": "tensorboard",
    "tfevents-pytorch": "tensorboard",
    "tfevents-catboost": "tensorboard",
    "tfevents-ultralytics": "tensorboard",
    "lightning-csv": "csv",
    "keras-csv": "csv",
    "ultralytics-csv": "csv",
    "flair": "csv",
    "llamafactory-jsonl": "jsonl",
    "ms-swift-jsonl": "jsonl",
    "detr-jsonl": "jsonl",
    "mmengine-json": "jsonl",
    "detectron2-json": "jsonl",
    "mlflow": "mlflow",
    "hf-stdout": "text",
    "nanogpt-stdout": "text",
    "dvclive": "dvclive",
    "sacred": "sacred",
    "peft-bench-json": "peft-benchmark",
}
OTHER_COUNTS = {
    "tfevents-lightning/AtomScott__FractalDB__v0": 2,  # 157 batches in each of two evals
    # the best checkpoint was validated twice more
    "tfevents-ultralytics/Abonia1__YOLOv8-Fire-and-Smoke-Detection__train": 25,
    "keras-csv/manuel-rhdt__ml-pws__bwd_exp58": 0,  # train figures of 100 epochs
    "keras-csv/manuel-rhdt__ml-pws__fwd_gain0.025": 0,
    "lightning-csv/CooperBigFoot__CAMELS-CH__v294": 0,
    "ms-swift-jsonl/lgc-FINANCE__DeepClima-R1__root": 5,  # the sixth is a summary that has val_dataset in it
}

#: Logs that hold no value at all.
WITHOUT_VALUES = ("sacred/manuel-rhdt__ml-pws__run73",)


def manifest(real_logs):
    with (real_logs / "MANIFEST.tsv").open(encoding="utf-8") as file:
        return {row["local_path"]: row for row in csv.DictReader(file, delimiter="\t")}


def one(folder):
    found = read(folder)
    assert not found.findings
    assert len(found.runs) == 1
    return found.runs[0]


def points(run, metric):
    if metric in run.train:
        return dict(zip(*(column.tolist() for column in run.train[metric]), strict=True))
    values, present = run.columns[metric]
    return dict(zip(run.steps[present].tolist(), values[present].tolist(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_run_has_the_evals_of_the_manifest(real_logs, kind):
    rows = [row for name, row in manifest(real_logs).items() if name.startswith(kind + "/")]
    assert rows
    for row in rows:
        folder = real_logs / row["local_path"]
        if row["local_path"] in WITHOUT_VALUES:
            continue
        found = read(folder)
        assert not found.findings
        assert {run.info.format for run in found.runs} == {KINDS[kind]}
        assert sum(len(run) for run in found.runs) == OTHER_COUNTS.get(
            row["local_path"], int(row["n_evals"])
        ), row["local_path"]
        for run in found.runs:
            assert len(run) or run.info.eval_hint
            assert len(run) or run.train
            assert not run.trained_steps < (run.steps[-1] if len(run) else 0)


def test_all_at_once(real_logs):
    found = read(real_logs)
    ids = [run.id for run in found.runs]
    assert len(ids) == len(set(ids))
    assert [finding.kind for finding in found.findings] == [Kind.NO_METRICS]  # an empty metrics.json
    # the run of MLflow has a twin among the event files
    assert {run.info.format for run in found.runs} == set(KINDS.values()) - {"mlflow"}
    assert [run.id for run in read(real_logs).runs] == ids


def test_no_file_is_claimed_by_two_formats(real_logs):
    for path in sorted(real_logs.rglob("*")):
        if path.is_file():
            head = path.read_bytes()[: 64 * 1024]
            claims = [format.name for format in FORMATS if format.sniff(path, head)]
            assert len(claims) <= 1, path
            assert [sniff(path).name] == claims if claims else sniff(path) is None


def test_checkpoints_of_one_run_are_one_run(real_logs):
    found = read(sorted((real_logs / "hf-trainer-state").glob("paulohenriquecrs*")))
    (run,) = found.runs
    assert len(run) == 17
    assert run.trained_steps == 8610
    assert run.id.endswith("ckpt8610")
    assert len(found.duplicates) == 2


def test_a_trainer_state_and_its_events_agree(real_logs):
    name = "AguLeon__LoRA_RoBERTa_AGNews__"
    state = one(real_logs / "hf-trainer-state" / f"{name}ckpt1200")
    events = one(real_logs / "tfevents-hf" / f"{name}run4")
    for ours, theirs in (("eval_loss", "eval/loss"), ("eval_accuracy", "eval/accuracy")):
        expected = {step: float(np.float32(value)) for step, value in points(state, ours).items()}
        assert len(expected) == 12
        assert points(events, theirs) == expected
    assert events.columns["eval_seconds"].values == pytest.approx(
        state.columns["eval_seconds"].values, rel=1e-6
    )
    assert events.columns["epoch"].values == pytest.approx(state.columns["epoch"].values, rel=1e-6)
    assert events.info.planned_steps == state.info.planned_steps == 1200
    short = one(real_logs / "hf-trainer-state" / f"{name}ckpt500")
    assert points(short, "eval_loss").items() <= points(state, "eval_loss").items()
    found = read(
        [real_logs / "hf-trainer-state" / f"{name}{which}" for which in ("ckpt500", "ckpt1200")]
        + [real_logs / "tfevents-hf"]
    )
    assert [run.info.format for run in found.runs].count("trainer-state") == 1
    assert len(found.runs) == 3  # run0 and run2 are others
    state = next(run for run in found.runs if run.info.format == "trainer-state")
    assert state.info.train_runtime == pytest.approx(796.85, abs=0.01)


def test_an_ultralytics_table_and_its_events_agree(real_logs):
    name = "Abonia1__YOLOv8-Fire-and-Smoke-Detection__train"
    table = one(real_logs / "ultralytics-csv" / name)
    (events,) = read(next((real_logs / "tfevents-ultralytics" / name).glob("events*"))).runs
    assert set(table.metrics) == set(events.metrics)
    assert table.steps.tolist() == events.steps.tolist() == list(range(1, 26))
    for metric in table.metrics:
        assert table.columns[metric].values == pytest.approx(events.columns[metric].values, rel=6e-5)
    assert table.columns["metrics/mAP50(B)"].values[-1] == 0.85651
    assert len(read([real_logs / "ultralytics-csv", real_logs / "tfevents-ultralytics"]).runs) == 1


def test_ms_swifts_lines_and_its_trainer_state_agree(real_logs):
    name = "lgc-FINANCE__DeepClima-R1__root"
    lines = one(real_logs / "ms-swift-jsonl" / name)
    state = one(real_logs / "hf-trainer-state" / name)
    for metric in ("eval_loss", "eval_token_acc"):
        exact = points(state, metric)
        assert list(exact) == [100, 200, 300, 400]
        assert {
            step: value for step, value in points(lines, metric).items() if step in exact
        } == pytest.approx(exact, abs=5e-9)
    assert list(points(lines, "eval_loss")) == [100, 200, 300, 400, 438]
    assert lines.columns["eval_seconds"].values[:4].tolist() == state.columns["eval_seconds"].values.tolist()
    (run,) = read([real_logs / "ms-swift-jsonl" / name, real_logs / "hf-trainer-state" / name]).runs
    assert len(run) == 5
    assert run.info.modes == {"eval_loss": "min"}


def test_llama_factorys_lines_and_its_trainer_state_agree(real_logs):
    name = "hsc748NLP__NSLLM__root"
    lines = one(real_logs / "llamafactory-jsonl" / name)
    state = one(real_logs / "hf-trainer-state" / name)
    assert len(points(state, "loss")) == 435
    assert points(lines, "loss") == points(state, "loss")
    (run,) = read([real_logs / "llamafactory-jsonl" / name, real_logs / "hf-trainer-state" / name]).runs
    assert run.info.format == "trainer-state"


def test_catboosts_events_and_tables_agree(real_logs):
    (folder,) = (real_logs / "tfevents-catboost").iterdir()
    run = one(folder)
    for split in ("test", "learn"):
        with (folder / f"{split}_error.tsv").open(encoding="utf-8") as file:
            rows = {float(row["iter"]): float(row["Logloss"]) for row in csv.DictReader(file, delimiter="\t")}
        assert points(run, f"{split}/Logloss") == pytest.approx(rows, abs=5e-8)
    assert len(run) == 1000


def test_kerass_events_and_what_mlflow_has_of_them_agree(real_logs):
    name = "rahulodedra30__Melanoma_skin_cancer_detection__"
    run = one(real_logs / "tfevents-keras" / f"{name}tb_twin")
    for metric in ("loss", "accuracy"):
        lines = (
            (real_logs / "mlflow" / f"{name}metrics" / f"val_{metric}")
            .read_text(encoding="utf-8")
            .split("\n")
        )
        rows = {float(line.split()[2]) + 1: float(line.split()[1]) for line in lines if line.strip()}
        assert points(run, f"validation/epoch_{metric}") == rows


def test_every_scalar_of_every_event_file_is_there(real_logs):
    """Against TensorBoard's own reader, with its sampling turned off."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from replay.readers.event_files import read_events

    for path in sorted(real_logs.glob("tfevents-*/**/*tfevents*")):
        if not path.is_file():
            continue
        file = read_events(path)
        assert file.damage is None
        found = file.scalars
        accumulator = EventAccumulator(
            str(path),
            size_guidance={"scalars": 0, "tensors": 0, "histograms": 1, "images": 1},
            purge_orphaned_data=False,
        )
        accumulator.Reload()
        for tag in accumulator.Tags()["scalars"]:
            rows = accumulator.Scalars(tag)
            assert found[tag].step.tolist() == [row.step for row in rows]
            assert found[tag].wall.tolist() == [row.wall_time for row in rows]
            assert np.array_equal(found[tag].value, [row.value for row in rows], equal_nan=True)


def test_restarts_in_one_folder(real_logs):
    for version in ("v4", "v5"):
        runs = read(real_logs / "tfevents-keras" / f"congvmit__model_investigation__{version}").runs
        assert [run.id[-2:] for run in runs] == ["#1", "#2", "#3"]
        assert all(run.steps[0] == 100 for run in runs)


def test_a_log_that_two_processes_wrote_and_that_was_resumed(real_logs):
    name = "llamafactory-jsonl/rameyjm7__SFT-Training-LLM__root"
    run = one(real_logs / name)
    rows, last = {}, 0
    for line in (real_logs / name / "trainer_log.jsonl").read_text(encoding="utf-8").split("\n"):
        row = json.loads(line or "{}")
        if row.get("loss") is not None:
            step = row["current_steps"]
            if (
                step < last - 100
            ):  # the processes are at most 20 steps apart; this is where both went back to a checkpoint
                rows = {earlier: loss for earlier, loss in rows.items() if earlier < step}
            rows.setdefault(step, row["loss"])
            last = step
    assert points(run, "loss") == rows
    assert any("resumed at step 5010" in note for note in sentences(run.info.findings))


@pytest.mark.parametrize("share", [0.31, 0.5, 0.77, 0.999])
def test_a_real_log_that_is_cut_off_keeps_its_good_part(real_logs, tmp_path, share):
    """Cut every kind at some byte: fewer evals, none that is wrong."""
    for kind in KINDS:
        folders = [
            f for f in sorted((real_logs / kind).iterdir()) if f"{kind}/{f.name}" not in WITHOUT_VALUES
        ]
        for folder in folders[:2]:
            whole = read(folder)
            for path in sorted(folder.rglob("*")):
                if not path.is_file():
                    continue
                data = path.read_bytes()
                cut = tmp_path / kind / folder.name / path.relative_to(folder)
                cut.parent.mkdir(parents=True, exist_ok=True)
                cut.write_bytes(data[: int(len(data) * share)])
            try:
                part = read(tmp_path / kind / folder.name)
            except NothingFound as error:
                # where a text begins with its script, the part may be nothing but source code
                assert kind == "nanogpt-stdout" or "cut off" in " ".join(sentences(error.findings))  # noqa: PT017
                continue
            assert len(part.runs) <= len(whole.runs)
            known = {
                (metric, step): value
                for run in whole.runs
                for metric in run.metrics
                for step, value in points(run, metric).items()
            }
            several = len(whole.runs) > 1
            for run in part.runs:
                for metric in run.metrics:
                    for step, value in points(run, metric).items():
                        # of a folder with two formats the other may be kept, which has fewer digits
                        assert several or value == pytest.approx(known[metric, step], rel=1e-6, nan_ok=True)


def test_which_real_runs_are_cut_short(real_logs):
    """Three checkpoints in the middle of a training are, and nothing else: the log of rameyjm7 ends at step
    6565 of 6566, and most logs state no plan.
    """
    cut = {
        run.id.rsplit("/", 1)[-1]: (found.reached, found.planned)
        for kind in KINDS
        for run in read(real_logs / kind).runs
        if (found := censoring(run)) is not None
    }
    assert cut == {
        "MRROBOT401__DyT-NoNorm-LLMs-REWILD__ckpt3000": (3000, 18991),
        "SecurityLab-UCD__UniTSyn__ckpt3500": (3500, 176652),
        "lgc-FINANCE__DeepClima-R1__root": (400, 438),
    }
    (run,) = (run for run in read(real_logs / "llamafactory-jsonl").runs if "rameyjm7" in run.id)
    assert (run.trained_steps, run.info.planned_steps) == (6565, 6566)
