"""JSON lines as their many writers leave them."""

import json
import math

import pytest

from replay.readers import read, sniff
from replay.readers.formats.jsonl import FORMAT, _seconds
from replay.report.sentences import sentence, sentences
from tests.readers.columns import curve
from tests.readers.reading import refusal


def put(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def load(tmp_path, rows, name="log.jsonl"):
    path = put(tmp_path / name, rows)
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    return run, sentences(findings)


@pytest.mark.parametrize(
    "key", ["step", "global_step", "iteration", "iter", "current_steps", "Step", "train/global_step"]
)
def test_steps_by_any_name(tmp_path, key):
    run, problems = load(
        tmp_path, [{key: 10 * step, "loss": 1.0, "val_loss": 1 / step} for step in (1, 2, 3)]
    )
    assert not problems
    assert curve(run, "val_loss") == {10: 1.0, 20: 0.5, 30: 1 / 3}
    assert set(run.train) == {"loss"}
    assert "train_loss" in run.columns


def test_epochs_alone(tmp_path):
    run, _ = load(
        tmp_path,
        [
            {"epoch": epoch, "train_loss": 1.0, "test_loss": 1 / (epoch + 1), "test_acc1": 50 + epoch}
            for epoch in range(3)
        ],
        "log.txt",
    )
    assert curve(run, "test_loss") == {1: 1.0, 2: 0.5, 3: 1 / 3}
    assert run.info.step_unit == "epoch"
    run, _ = load(tmp_path, [{"epoch": epoch, "test_loss": 1 / epoch} for epoch in (1, 2, 3)])
    assert run.steps.tolist() == [1, 2, 3]


def test_evals_of_their_own_row_and_their_time(tmp_path):
    rows = []
    for step in (10, 20):
        rows += [{"step": step, "epoch": step / 20, "loss": 1.0, "num_input_tokens_seen": 100 * step}]
        rows += [
            {"step": step, "epoch": step / 20, "eval_a_loss": 0.5, "eval_a_runtime": 2.0},
            {"step": step, "eval_b_loss": 0.4, "eval_b_runtime": 1.0},
        ]
    rows.append({"step": 20, "train_runtime": 60.0, "total_flos": 1e9, "train_loss": 1.0})
    run, _ = load(tmp_path, rows)
    assert run.metrics == ("eval_a_loss", "eval_b_loss")
    assert run.columns["eval_seconds"].values.tolist() == [3.0, 3.0]
    assert run.columns["tokens"].values.tolist() == [1000, 2000]
    assert run.columns["epoch"].values.tolist() == [0.5, 1.0]
    assert run.info.train_runtime == 60.0
    assert "train_loss" not in run.train


def test_llama_factory(tmp_path):
    rows = [
        {
            "current_steps": 5,
            "total_steps": 20,
            "loss": 2.0,
            "lr": 1e-4,
            "epoch": 0.1,
            "percentage": 25.0,
            "elapsed_time": "0:01:00",
            "remaining_time": "0:03:00",
        },
        {
            "current_steps": 10,
            "total_steps": 20,
            "eval_loss": 1.5,
            "epoch": 0.2,
            "percentage": 50.0,
            "elapsed_time": "0:02:05",
            "remaining_time": "0:02:00",
        },
        {
            "current_steps": 15,
            "total_steps": 20,
            "loss": 1.0,
            "lr": 5e-5,
            "epoch": 0.3,
            "percentage": 75.0,
            "elapsed_time": "0:03:00",
            "remaining_time": "0:01:00",
        },
        {
            "current_steps": 20,
            "total_steps": 20,
            "eval_loss": 1.2,
            "epoch": 0.4,
            "percentage": 100.0,
            "elapsed_time": "0:04:00",
            "remaining_time": "0:00:00",
        },
        {
            "current_steps": 20,
            "total_steps": 20,
            "loss": None,
            "epoch": 0.4,
            "percentage": 100.0,
            "elapsed_time": "0:05:00",
            "remaining_time": "0:00:00",
        },
    ]
    run, problems = load(tmp_path, rows, "trainer_log.jsonl")
    assert not problems
    assert curve(run, "eval_loss") == {10: 1.5, 20: 1.2}
    assert run.info.planned_steps == 20
    assert run.columns["wall_seconds"].values.tolist() == [125.0, 240.0]
    assert set(run.train) == {"loss", "lr"}
    run, _ = load(tmp_path, rows[:1] + rows[2:3], "trainer_log.jsonl")
    assert "val_size" in sentence(run.info.eval_hint)


def test_ms_swift(tmp_path):
    rows = [
        {
            "loss": 2.0,
            "grad_norm": 1.0,
            "learning_rate": 1e-4,
            "epoch": 0.1,
            "global_step/max_steps": "10/40",
            "elapsed_time": "51s",
            "memory(GiB)": 16.0,
        },
        {
            "eval_loss": 0.9,
            "eval_runtime": 5.0,
            "eval_steps_per_second": 2.0,
            "epoch": 0.1,
            "global_step/max_steps": "10/40",
            "elapsed_time": "1m 42s",
        },
        {
            "eval_loss": 0.8,
            "eval_runtime": 6.0,
            "epoch": 0.2,
            "global_step/max_steps": "20/40",
            "elapsed_time": "1h 2m 3s",
        },
        {"train_runtime": 500.0, "train_loss": 1.0, "global_step/max_steps": "40/40"},
        {"best_metric": 0.8, "global_step": 40, "log_history": [{"eval_loss": 0.7, "step": 10}]},
    ]
    run, problems = load(tmp_path, rows, "logging.jsonl")
    assert not problems
    assert curve(run, "eval_loss") == {10: 0.9, 20: 0.8}
    assert run.columns["eval_seconds"].values.tolist() == [5.0, 6.0]
    assert run.info.planned_steps == 40
    assert run.info.train_runtime == 500.0


def test_mmengine_puts_the_epoch_into_the_step_of_an_eval(tmp_path):
    rows = []
    for epoch in (1, 2, 3):
        rows += [
            {
                "lr": 0.1,
                "loss": 1.0,
                "time": 0.2,
                "data_time": 0.1,
                "epoch": epoch,
                "iter": 50 * epoch - 25 * back,
                "memory": 9,
                "step": 50 * epoch - 25 * back,
            }
            for back in (1, 0)
        ]
        rows.append({"accuracy/top1": 30.0 + epoch, "data_time": 0.1, "time": 0.1, "step": epoch})
    run, _ = load(tmp_path, rows, "scalars.json")
    assert curve(run, "accuracy/top1") == {50: 31.0, 100: 32.0, 150: 33.0}
    assert run.columns["epoch"].values.tolist() == [1, 2, 3]
    assert set(run.train) == {"lr", "loss"}


def test_mmcv_counts_iterations_anew_in_each_epoch(tmp_path):
    rows = [{"env_info": "many lines", "config": "x = 1"}]
    for epoch in (1, 2, 3):
        rows += [
            {"mode": "train", "epoch": epoch, "iter": batch, "lr": 0.1, "loss": 1.0} for batch in (50, 100)
        ]
        rows.append({"mode": "val", "epoch": epoch, "iter": 4952, "lr": 0.1, "bbox_mAP": epoch / 10})
    run, _ = load(tmp_path, rows, "20230101.log.json")
    assert curve(run, "val/bbox_mAP") == {1: 0.1, 2: 0.2, 3: 0.3}
    assert run.train["loss"].step.tolist() == [0.5, 1, 1.5, 2, 2.5, 3]
    assert run.info.step_unit == "epoch"


def test_a_split_in_a_field_of_its_own(tmp_path):
    rows = [
        {"split": split, "step": step, "loss": 1.0 / step + (split == "valid")}
        for step in (1, 2)
        for split in ("train", "valid")
    ]
    run, _ = load(tmp_path, rows)
    assert curve(run, "valid/loss") == {1: 2.0, 2: 1.5}
    assert set(run.train) == {"loss"}


def test_detectron2(tmp_path):
    rows = [
        {"iteration": 20 * step - 1, "total_loss": 1.0, "lr": 0.01, "eta_seconds": 9.0, "time": 0.5}
        for step in (1, 2, 3)
    ]
    rows[1] |= {"bbox/AP": 0.1, "bbox/AP50": 0.2}
    rows[2] |= {"bbox/AP": 0.2, "bbox/AP50": 0.3}
    run, _ = load(tmp_path, rows, "metrics.json")
    assert set(run.metrics) == {"bbox/AP", "bbox/AP50"}
    assert curve(run, "bbox/AP") == {39: 0.1, 59: 0.2}
    run, _ = load(
        tmp_path, [{"iteration": 19, "total_loss": 1.0}, {"iteration": 39, "total_loss": 0.9}], "metrics.json"
    )
    assert "EVAL_PERIOD" in sentence(run.info.eval_hint)


def test_nested_objects_and_lists(tmp_path):
    rows = [
        {
            "step": step,
            "val": {"loss": 0.5, "by": {"acc": 0.25}},
            "test_coco": [0.1, 0.2],
            "test_long": list(range(99)),
            "text": "x",
        }
        for step in (1, 2)
    ]
    run, _ = load(tmp_path, rows)
    assert run.metrics == ("val/loss", "val/by/acc", "test_coco/0", "test_coco/1")


def test_nan_and_infinity(tmp_path):
    run, problems = load(
        tmp_path,
        '{"step": 1, "val_loss": NaN}\n{"step": 2, "val_loss": -Infinity}\n{"step": 3, "val_loss":'
        ' "nan"}\n{"step": 4, "val_loss": null}\n',
    )
    assert not problems
    values = run.columns["val_loss"].values
    assert math.isnan(values[0])
    assert values[1] == -math.inf
    assert math.isnan(values[2])
    assert len(run) == 3


def test_lines_that_are_no_rows_are_counted(tmp_path):
    text = (
        '{"step": 1, "val_loss": 0.5}\nWARNING: something\n[1, 2]\n\n{"message": "hello"}\n{"step": 2,'
        ' "val_loss": 0.4}\n'
    )
    run, (problem,) = load(tmp_path, text)
    assert curve(run, "val_loss") == {1: 0.5, 2: 0.4}
    assert problem.endswith("2 of 6 lines are not JSON objects; they are left out")


def test_a_last_line_that_is_cut_off(tmp_path):
    run, (problem,) = load(
        tmp_path, '{"step": 1, "val_loss": 0.5}\n{"step": 2, "val_loss": 0.4}\n{"step": 3, "val_lo'
    )
    assert len(run) == 2
    assert problem.endswith("its last line (3) is cut off; it is left out")


def test_two_processes_that_write_every_row(tmp_path):
    rows = [
        {"step": 10 * step, "loss": 1 / step + 0.001 * process, "val_loss": step / 7 + process}
        for step in range(1, 9)
        for process in (0, 1)
    ]
    run, _ = load(tmp_path, rows)
    assert curve(run, "val_loss") == {10 * step: step / 7 for step in range(1, 9)}


def test_a_row_without_step_belongs_to_the_row_before(tmp_path):
    run, _ = load(
        tmp_path,
        [
            {"step": 10, "loss": 1.0},
            {"val_loss": 0.5, "epoch": 1},
            {"step": 20, "loss": 0.9},
            {"val_loss": 0.4, "epoch": 2},
        ],
    )
    assert curve(run, "val_loss") == {10: 0.5, 20: 0.4}


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt": "a", "answer": "b"}\n',
        '{"id": 1, "label": 0, "text": "x"}\n',
        '{"step": 1, "token": 53}\n',
        '{\n  "step": 1,\n  "val_loss": 2\n}\n',
        "[1, 2]\n",
        "{}\n",
        "",
        "text\n",
        '{"epochs": 3, "val_loss": 1}\n',
        '{"step": 1, "val_loss": 0.5}',
        '{"format": "other", "version": 2, "step": 1, "val_loss": 1}\n',
        '{"step": 1, "response": "loss"}\n',
    ],
)
def test_other_files_are_not_taken_for_logs(tmp_path, text):
    assert sniff(put(tmp_path / "data.jsonl", text)) is not FORMAT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"step": null, "val_loss": 1}\n', "no row has a step or an epoch"),
        ('{"a": 1}\n', "no row has a step or an epoch"),
        ("\n", "no row has a step or an epoch"),
        ("[]\n", "the line is not a JSON object; it is left out"),
        ('{"step": 1}\n', "no row holds a number beside its step"),
    ],
)
def test_without_a_step_there_is_nothing_to_read(tmp_path, text, says):
    path = put(tmp_path / "x.jsonl", text)
    assert refusal(FORMAT, path) == f"{path}: {says}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:32:48", 1968),
        ("1 day, 0:08:23", 86903),
        ("2 days, 1:00:00", 176400),
        ("6s", 6),
        ("1m 42s", 102),
        ("1h 2m 3s", 3723),
        ("5:30", 330),
        ("3d 4h", 273600),
        ("", None),
        ("soon", None),
        (5, None),
    ],
)
def test_durations(text, seconds):
    assert _seconds(text) == seconds


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_of_rows(tmp_path, indent):
    rows = [{"epoch": epoch, "loss": 1 / epoch, "dev": {"loss": 2 / epoch}} for epoch in range(1, 6)]
    text = json.dumps(rows, indent=indent)
    path = put(tmp_path / "history.json", text)
    assert sniff(path) is FORMAT
    (run,), findings = FORMAT.load([path], "run")
    assert not findings
    assert curve(run, "dev/loss") == {epoch: 2 / epoch for epoch in range(1, 6)}
    path.write_text(text[:-30])
    (run,), (finding,) = FORMAT.load([path], "run")
    assert len(run) == 4
    assert "the file is cut off at character" in sentences([finding])[0]


@pytest.mark.parametrize(
    "text",
    [
        '[{"step": 1, "val_loss": 0.5}]\n[{"step": 2, "val_loss": 0.4}]\n',
        '[{"iter": 1, "metric": "val_loss", "variant": "x", "value": 0.5}]\n',
        "[]",
    ],
)
def test_other_lists(tmp_path, text):
    assert sniff(put(tmp_path / "a.jsonl", text)) is not FORMAT


@pytest.mark.parametrize("shape", ["nested", "flat"])
def test_rows_of_one_named_value(tmp_path, shape):
    rows = []
    for step in (5, 10, 15):
        for name, value in (("training_loss", 9 / step), ("validation_loss", 8 / step)):
            data = {"epoch": step / 5, "step": step, "value": value, "timestamp": "2026-01-02T03:04:05"}
            rows.append({"name": name, "data": data} if shape == "nested" else {"metric": name, **data})
    run, _ = load(tmp_path, rows)
    assert run.metrics == ("validation_loss",)
    assert curve(run, "validation_loss") == {step: 8 / step for step in (5, 10, 15)}
    assert run.columns["train_loss"].values.tolist() == [9 / step for step in (5, 10, 15)]
    assert run.columns["epoch"].values.tolist() == [1, 2, 3]


def test_a_first_line_of_more_than_64_kib(tmp_path):
    first = {"config": {f"option{number}": "x" * 20 for number in range(4000)}, "step": 1, "val_loss": 0.9}
    rows = [first, {"step": 2, "val_loss": 0.8}, {"step": 3, "val_loss": 0.85}]
    path = put(tmp_path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert len(json.dumps(first)) > 2 * 64 * 1024
    assert sniff(path) is FORMAT
    assert curve(read(tmp_path).runs[0]) == {1: 0.9, 2: 0.8, 3: 0.85}


def test_rows_whose_step_is_nan_do_not_count_as_logged_again(tmp_path):
    text = '{"step": 10, "val_loss": 0.5}\n' + "".join(
        f'{{"step": NaN, "val_loss": {0.4 - at / 100}}}\n' for at in range(6)
    )
    run, (problem,) = load(tmp_path, text + '{"step": 20, "val_loss": 0.3}\n')
    assert curve(run) == {10: 0.5, 20: 0.3}
    assert problem.endswith("6 of 8 rows have no step; they are left out")
    assert not run.info.findings


def test_metrics_that_were_written_as_text(tmp_path):
    rows = [
        {"step": 10 * at, "eval_loss": f"{1 / at:.4f}", "eval_acc": f"tensor({at / 10})"} for at in (1, 2, 4)
    ]
    run, _ = load(tmp_path, rows)
    assert curve(run, "eval_loss") == {10: 1.0, 20: 0.5, 40: 0.25}
    assert curve(run, "eval_acc") == {10: 0.1, 20: 0.2, 40: 0.4}


@pytest.mark.parametrize("key", ["iteration", "step", "global_step/max_steps"])
def test_steps_written_with_the_planned_ones(tmp_path, key):
    rows = []
    for step in (10, 20, 30):
        rows += [{"loss": 2.0, key: f"{step}/200"}, {"eval_loss": 1 / step, key: f"{step}/200"}]
    run, problems = load(tmp_path, rows)
    assert not problems
    assert curve(run, "eval_loss") == {10: 1 / 10, 20: 1 / 20, 30: 1 / 30}
    assert run.info.planned_steps == 200


def test_evals_of_mmcv_that_count_the_validation_set(tmp_path):
    """mmsegmentation 0.x: the iteration of an eval is the length of its loader."""
    import json

    rows = []
    for at, value in enumerate((0.5, 0.625, 0.75), 1):
        rows += [{"mode": "train", "epoch": at, "iter": 4000 * at - back, "loss": 0.5} for back in (50, 0)]
        rows.append({"mode": "val", "epoch": at, "iter": 500, "lr": 0.01, "mIoU": value})
    path = tmp_path / "20260406.log.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run,) = FORMAT.load([path], "run").runs
    assert curve(run, "val/mIoU") == {4000: 0.5, 8000: 0.625, 12000: 0.75}


@pytest.mark.parametrize(
    "short", [("500", "1_000", "1_500"), ("0.5k", "1K", "1.5k"), ("5e2", "1e3", "1.5e3")]
)
def test_steps_that_are_written_short(tmp_path, short):
    rows = [{"step": step, "loss": 2.0, "val_loss": 1 / n} for n, step in enumerate(short, 1)]
    run, problems = load(tmp_path, rows)
    assert not problems
    assert curve(run, "val_loss") == {500: 1.0, 1000: 1 / 2, 1500: 1 / 3}


def test_rows_behind_a_part_of_a_row_and_without_an_end_of_line_are_read(tmp_path):
    """A process was killed while it wrote a row, and the next one wrote behind that."""
    rows = [json.dumps({"step": step, "eval": {"loss": 1 / step}}) for step in range(10, 80, 10)]
    text = "\n".join([*rows[:2], rows[2][:21] + rows[2], rows[3] + rows[4], *rows[5:], ""])
    run, problems = load(tmp_path, text)
    assert curve(run, "eval/loss") == {step: 1 / step for step in range(10, 80, 10)}
    assert [problem.partition(": ")[2] for problem in problems] == [
        "1 of 6 lines is not a JSON object; it is left out"
    ]


def test_an_object_inside_a_part_of_a_row_is_no_row(tmp_path):
    rows = [json.dumps({"step": step, "eval": {"loss": 1 / step}}) for step in range(10, 80, 10)]
    run, problems = load(tmp_path, "\n".join([*rows[:3], rows[3][:-1], *rows[4:], ""]))
    assert curve(run, "eval/loss") == {step: 1 / step for step in (10, 20, 30, 50, 60, 70)}
    assert len(problems) == 1


@pytest.mark.parametrize(
    "figure",
    [
        lambda loss: {"value": loss, "n": 128},
        lambda loss: {"mean": loss, "std": 0.1, "min": 0.0, "max": 1.0, "count": 128},
        lambda loss: {"avg": loss, "total": 128 * loss, "count": 128},
        lambda loss: {"value": loss},
        lambda loss: [loss],
    ],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_a_figure_with_its_counts_is_one_metric(tmp_path, figure, as_list):
    rows = [{"step": step, "val_loss": figure(1 / step), "lr": [0.1]} for step in (1, 2, 4)]
    run, problems = load(tmp_path, json.dumps(rows) if as_list else rows)
    assert not problems
    assert run.metrics == ("val_loss",)
    assert curve(run, "val_loss") == {1: 1.0, 2: 0.5, 4: 0.25}
    assert set(run.train) == {"lr"}


def test_an_object_of_several_figures_keeps_them_all(tmp_path):
    run, _ = load(tmp_path, [{"step": step, "val_f1": {"mean": 0.5, "ner": 1 / step}} for step in (1, 2)])
    assert run.metrics == ("val_f1/mean", "val_f1/ner")


def test_a_figure_that_is_null_logs_nothing(tmp_path):
    rows = [{"step": step, "val_loss": {"value": step if step > 1 else None, "n": 9}} for step in (1, 2, 3)]
    run, _ = load(tmp_path, rows)
    assert run.metrics == ("val_loss",)
    assert curve(run, "val_loss") == {2: 2.0, 3: 3.0}


@pytest.mark.parametrize("name", ["n", "count", "num_examples", "n_total"])
def test_over_how_many_a_set_is_evaluated_is_no_metric(tmp_path, name):
    run, _ = load(tmp_path, [{"step": step, "val": {"loss": 1 / step, name: 128}} for step in (1, 2)])
    assert run.metrics == ("val/loss",)


@pytest.mark.parametrize("field", ["name", "metric", "key"])
def test_metrics_as_a_list_of_names_and_values(tmp_path, field):
    rows = [
        {"step": step, "metrics": [{field: "val_loss", "value": 1 / step}, {field: "val_f1", "value": step}]}
        for step in (1, 2)
    ]
    run, problems = load(tmp_path, rows)
    assert not problems
    assert curve(run, "metrics/val_loss") == {1: 1.0, 2: 0.5}
    assert curve(run, "metrics/val_f1") == {1: 1.0, 2: 2.0}


def test_metrics_as_a_list_name_their_sets(tmp_path):
    rows = [
        {
            "step": step,
            "metrics": [
                {"name": "loss", "split": split, "value": value / step}
                for split, value in (("train", 3), ("val", 1))
            ],
        }
        for step in (1, 2)
    ]
    run, _ = load(tmp_path, rows)
    assert curve(run, "metrics/val/loss") == {1: 1.0, 2: 0.5}
    assert set(run.train) == {"metrics/loss"}


def test_metrics_of_one_name_that_nothing_tells_apart_are_left_out(tmp_path):
    listed = [{"name": "val_loss", "value": 1}, {"name": "val_loss", "value": 2}]
    run, _ = load(tmp_path, [{"step": step, "val_f1": 0.5, "metrics": listed} for step in (1, 2)])
    assert run.metrics == ("val_f1",)


ROWS = [{"step": step, "val": {"loss": 1 / step}, "note": "}\n{"} for step in (1, 2, 4)]
BLOCKS = [json.dumps(row, indent=2) for row in ROWS]


@pytest.mark.parametrize("between", ["\n", "", ",\n", "\r\n\r\n"])
def test_objects_over_several_lines_in_one_file(tmp_path, between):
    run, problems = load(tmp_path, between.join(BLOCKS), "metrics.json")
    assert not problems
    assert curve(run, "val/loss") == {1: 1.0, 2: 0.5, 4: 0.25}


def test_a_block_that_is_cut_off_is_left_out(tmp_path):
    run, problems = load(tmp_path, "\n".join(BLOCKS)[:-12])
    assert [problem.split(": ", 1)[1] for problem in problems] == [
        "its last object is cut off; it is left out"
    ]
    assert curve(run, "val/loss") == {1: 1.0, 2: 0.5}


def test_a_block_behind_one_that_is_broken_counts(tmp_path):
    run, problems = load(tmp_path, "\n".join([BLOCKS[0], BLOCKS[1][:-12], BLOCKS[2]]))
    assert [problem.split(": ", 1)[1] for problem in problems] == [
        "1 of 3 parts is not a JSON object; it is left out"
    ]
    assert curve(run, "val/loss") == {1: 1.0, 4: 0.25}


def test_objects_that_never_end_are_looked_into_a_few_times(tmp_path):
    opened = '{"a": [\n' * 20_000
    run, problems = load(tmp_path, f"{BLOCKS[0]}\n{BLOCKS[1]}\n{opened}")
    assert len(run) == 2
    assert [problem.split(": ", 1)[1] for problem in problems] == [
        "20 of 23 parts are not JSON objects; they are left out",
        "its last object is cut off; it is left out",
    ]


def test_one_object_over_several_lines_is_no_log(tmp_path):
    assert sniff(put(tmp_path / "summary.json", BLOCKS[0])) is None


def test_rows_with_a_comma_behind_each(tmp_path):
    lines = [json.dumps(row) + ",\n" for row in ROWS]
    for text in ("".join(lines), f"[\n{''.join(lines)}]\n"):
        run, problems = load(tmp_path, text)
        assert not problems
        assert curve(run, "val/loss") == {1: 1.0, 2: 0.5, 4: 0.25}
