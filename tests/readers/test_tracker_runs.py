"""Where the rows of an experiment tracker belong in the training, and which of their names are metrics."""

import math

import numpy as np
import pytest

from replay.readers.points import Points
from replay.readers.tracker_rows import Row, flat_numbers, rows_by_time, unique_names
from replay.readers.tracker_runs import numbered_from_zero, tracker_runs
from replay.readers.tracker_settings import settings_of
from tests.readers.columns import curve

NAN = math.nan


def one(rows, **settings):
    (run,) = tracker_runs("run", [Row(*row) for row in rows], settings.pop("facts", {}), **settings)
    return run


@pytest.mark.parametrize("name", ["train/global_step", "trainer/global_step", "global_step"])
def test_the_step_of_the_training_counts_and_not_the_number_of_the_call(name):
    rows = [
        (0, {"loss": 2.0, name: 10}),
        (1, {"eval/loss": 1.5, name: 10}),
        (2, {"eval/loss": 1.2, name: 25}),
    ]
    run = one(rows)
    assert curve(run, "eval/loss") == {10: 1.5, 25: 1.2}
    assert run.train["loss"].step.tolist() == [10]
    assert name not in run.train
    assert run.info.step_unit == "step"


def test_a_row_without_the_step_goes_with_the_row_before():
    rows = [
        (0, {"loss": 2.0, "global_step": 10}),
        (1, {"val_loss": 1.5}),
        (2, {"loss": 1.0, "global_step": 20}),
    ]
    assert curve(one(rows)) == {10: 1.5}


def test_a_declared_step_comes_first():
    rows = [(n, {"val_loss": 2.0 - n, "seen": 100 * n + 50, "global_step": n}) for n in range(3)]
    assert curve(one(rows, axes=["absent", "seen"])) == {50: 2.0, 150: 1.0, 250: 0.0}


def test_epochs_count_where_the_tracker_numbers_calls_and_each_eval_has_its_own():
    rows = [(n, {"loss": 1.0, "val_loss": 2.0 - n, "epoch": n + 1}) for n in range(3)]
    run = one(rows)
    assert curve(run) == {1: 2.0, 2: 1.0, 3: 0.0}
    assert run.info.step_unit == "epoch"
    fractions = [
        (0, {"loss": 1.0, "epoch": 0.5}),
        (1, {"val_loss": 1.0, "epoch": 0.5}),
        (2, {"val_loss": 2.0, "epoch": 1.0}),
    ]
    assert curve(one(fractions)) == {0.5: 1.0, 1.0: 2.0}


def test_a_plan_in_steps_says_nothing_of_epochs():
    rows = [(n, {"val_loss": 2.0 - n, "epoch": n + 1}) for n in range(3)]
    assert one(rows, facts={"planned_steps": 300}).info.planned_steps is None
    assert one(rows, facts={"planned_epochs": 3}).info.planned_epochs == 3
    rows = [(10 * n, {"val_loss": 2.0 - n}) for n in (1, 2)]
    assert one(rows, facts={"planned_steps": 300}).info.planned_steps == 300


def test_calls_count_where_epochs_do_not_tell_evals_apart():
    rows = [(n, {"val_loss": 2.0 - n, "epoch": 1}) for n in range(3)]
    run = one(rows)
    assert curve(run) == {1: 2.0, 2: 1.0, 3: 0.0}
    assert run.info.step_unit == "step"
    batches = [(n, {"loss": 1.0, "epoch": n // 50}) for n in range(100)]
    batches[49] = (49, {"val_loss": 1.0, "epoch": 0})
    assert curve(one(batches)) == {49: 1.0}


def test_epochs_count_where_each_series_is_logged_once_per_epoch():
    rows = []
    for epoch in range(1, 5):
        rows.append((len(rows), {"loss": 2 / epoch, "epoch": epoch}))
        rows.append((len(rows), {"val_loss": 1.0 + epoch, "epoch": epoch}))
    assert curve(one(rows)) == {1: 2.0, 2: 3.0, 3: 4.0, 4: 5.0}


@pytest.mark.parametrize("per_epoch", [2, 40])
def test_evals_that_number_epochs_from_0_are_placed_among_train_steps(per_epoch):
    rows = []
    for epoch in range(6):
        first = epoch * per_epoch
        rows += [(step, {"loss": 2 / (step + 1)}) for step in range(first, first + per_epoch)]
        rows.append((epoch, {"val_loss": 1.0 + epoch}))
    run = one(rows, counts_calls=False)
    assert curve(run) == {(epoch + 1) * per_epoch - 1: 1.0 + epoch for epoch in range(6)}
    assert run.columns["epoch"].values.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_given_step_counts_where_the_rows_have_an_epoch_too():
    rows = [(100 * n, {"val_loss": 2.0 - n, "epoch": n}) for n in (1, 2, 3)]
    run = one(rows)
    assert curve(run) == {100: 1.0, 200: 0.0, 300: -1.0}
    assert run.columns["epoch"].values.tolist() == [1, 2, 3]


def test_a_second_process_wins_from_where_it_goes_on():
    rows = [(n, {"val_loss": float(n)}) for n in (10, 20, 30)] + [
        (n, {"val_loss": -float(n)}) for n in (30, 40)
    ]
    assert curve(one(rows, starts=[3])) == {10: 10, 20: 20, 30: -30, 40: -40}


def test_the_machine_and_the_tracker_are_not_metrics():
    names = ["system/gpu_val", "_runtime", "__system__gpu", "system.val.loss", "__swanlab__.gpu.0.eval"]
    run = one([(n, {"val_loss": 1.0, **dict.fromkeys(names, 1.0)}) for n in (1, 2)])
    assert run.metrics == ("val_loss",)
    assert not run.train


def test_what_transformers_logs():
    half, whole = ({"train/epoch": step / 10, "train/global_step": step} for step in (5, 10))
    rows = [
        (0, {"train/loss": 2.0, "train/learning_rate": 0.1, **half}, 100.0),
        (1, {"eval/loss": 1.0, "eval/runtime": 2.5, "eval/steps_per_second": 9.0, **half}, 103.0),
        (2, {"train/loss": 1.0, "train/num_input_tokens_seen": 640, **whole}, 110.0),
        (3, {"eval/loss": 0.5, "eval/runtime": 2.0, **whole}, 113.0),
        (4, {"train/train_loss": 1.5, "train/train_runtime": 20.0, "train/total_flos": 1e6, **whole}, 114.0),
    ]
    run = one(rows, began=90.0)
    assert run.metrics == ("eval/loss",)
    assert run.columns["train_loss"].values.tolist() == [2.0, 1.0]
    assert run.columns["eval_seconds"].values.tolist() == [2.5, 2.0]
    assert run.columns["epoch"].values.tolist() == [0.5, 1.0]
    assert run.columns["wall_time"].values.tolist() == [103.0, 113.0]
    assert run.columns["wall_seconds"].values.tolist() == [13.0, 23.0]
    assert run.columns["tokens"].present.tolist() == [False, True]
    assert (run.info.train_runtime, run.info.total_flos) == (20.0, 1e6)
    assert set(run.train) == {"train/loss", "train/learning_rate"}


def test_a_pause_before_a_further_process_does_not_count():
    rows = [(n, {"val_loss": float(n)}, 100.0 + n) for n in (1, 2)] + [
        (3, {"val_loss": 0.0}, 5000.0),
        (4, {"val_loss": 0.0}, 5001.0),
    ]
    assert one(rows, starts=[2]).columns["wall_seconds"].values.tolist() == [0.0, 1.0, 1.0, 2.0]


def points(*steps, first=0):
    order, step = np.arange(first, first + len(steps)), np.array(steps, dtype=np.float64)
    return Points(order, step, step)


@pytest.mark.parametrize(
    ("evals", "train", "expected"),
    [
        ((0, 1, 2), None, True),
        ((0, 1, 2), (0, 1, 2), True),
        ((0, 1, 2), (1, 2), False),  # the base model, and then epochs
        ((1, 2, 3), (0, 1, 2), False),
        ((0, 50, 100), (0, 1, 2), False),
        ((0,), None, False),
    ],
)
def test_numbers_from_zero(evals, train, expected):
    series = {"val_loss": points(*evals)}
    if train is not None:
        series["loss"] = points(*train, first=1)
    assert numbered_from_zero(series, {"val_loss"}) is expected


def test_rows_by_time_keep_the_order_of_each_name():
    rows = rows_by_time(
        {"a": [(1.0, 1, 0.1), (3.0, 2, 0.2), (2.0, 3, 0.3)], "b": [(1.0, 1, 1.0), (2.5, 2, 2.0)]}
    )
    assert rows == [
        Row(1, {"a": 0.1, "b": 1.0}, 1.0),
        Row(2, {"b": 2.0}, 2.5),
        Row(2, {"a": 0.2}, 3.0),
        Row(3, {"a": 0.3}, 3.0),
    ]


def test_settings():
    assert settings_of(
        {"max_steps": "300", "x": ["list"], "metric_for_best_model": "loss", "greater_is_better": "False"}
    ) == {
        "hyperparameters": {
            "max_steps": "300",
            "metric_for_best_model": "loss",
            "greater_is_better": "False",
        },
        "planned_steps": 300,
        "monitor": "eval_loss",
        "modes": {"eval_loss": "min"},
    }
    slash = settings_of({"metric_for_best_model": "eval/loss", "greater_is_better": False})
    assert slash["monitor"] == "eval_loss"
    assert settings_of({"max_steps": -1, "num_train_epochs": 3})["planned_epochs"] == 3
    assert "planned_epochs" not in settings_of({"num_train_epochs": 9223372036854775807})
    assert settings_of({}) == {}


def test_a_monitor_goes_by_the_name_that_the_run_logs():
    facts = settings_of({"metric_for_best_model": "f1", "greater_is_better": True})
    run = one([(1, {"eval/f1": 0.5, "eval/loss": 1.0})], facts=facts)
    assert (run.info.monitor, dict(run.info.modes)) == ("eval/f1", {"eval/f1": "max"})
    run = one([(1, {"eval/loss": 1.0})], facts=facts)
    assert (run.info.monitor, dict(run.info.modes)) == (None, {})


def test_names():
    assert unique_names({"12345678aaaa": "a", "99999999": "b"}) == {"12345678aaaa": "a", "99999999": "b"}
    assert unique_names({"12345678aaaa": "a", "99999999": "a"}) == {
        "12345678aaaa": "a 12345678",
        "99999999": "a 99999999",
    }
    assert unique_names({"12345678aaaa": ""}) == {"12345678aaaa": "12345678"}
    assert unique_names({"1": "a\x1b[0m"}) == {"1": r"a\x1b[0m"}
    assert flat_numbers({"a": {"b": 1, "c": {"d": "NaN", "e": "text"}}, "f": None}, ".") == pytest.approx(
        {"a.b": 1.0, "a.c.d": NAN}, nan_ok=True
    )


def test_the_step_of_a_call_counts_where_it_is_that_of_the_training():
    """SwanLab's callback gives the step and logs it too, which the last row of a killed process lacks."""
    rows = [(4, {"train/loss": 2.0, "train/global_step": 4}), (6, {"eval/loss": 1.5})]
    assert curve(one(rows), "eval/loss") == {6: 1.5}


def test_an_eval_that_is_logged_again_in_its_epoch_leaves_epochs_as_steps():
    rows = [(n, {"val_loss": 2.0 - n, "epoch": n + 0.5}) for n in range(4)]
    rows.append((4, {"val_loss": -1.0, "epoch": 3.5}))
    run = one(rows)
    assert (run.info.step_unit, list(curve(run))) == ("epoch", [0.5, 1.5, 2.5, 3.5])


@pytest.mark.parametrize(
    ("settings", "monitor", "modes"),
    [
        ({"monitor": "val_acc", "mode": "max"}, "val_acc", {"val_acc": "max"}),
        ({"monitor": "val_acc"}, "val_acc", {}),
        ({"monitor": "val_acc", "mode": "train"}, "val_acc", {}),
        (
            {"callbacks/early/monitor": "val_acc", "callbacks/early/mode": "max"},
            "val_acc",
            {"val_acc": "max"},
        ),
        ({"stop.monitor": "val_acc", "checkpoint.monitor": "val_loss"}, "val_loss", {}),
        ({"stop.monitor": "val_acc", "schedule.monitor": "val_loss"}, None, {}),
        ({"monitor": "null"}, None, {}),
        ({"monitor": "val_bleu"}, None, {}),
        ({"metric_for_best_model": "acc"}, "val_acc", {}),
        ({"metric_for_best_model": "zeal"}, "val_zeal", {"val_zeal": "max"}),
        ({"metric_for_best_model": "acc", "greater_is_better": "True"}, "val_acc", {"val_acc": "max"}),
    ],
)
def test_the_monitor_that_settings_state(settings, monitor, modes):
    rows = [(n, {"val_acc": n / 10, "val_loss": 1 / n, "val_zeal": n}) for n in range(1, 4)]
    if "metric_for_best_model" in settings:
        rows = [(n, {f"eval{name[3:]}": value for name, value in values.items()}) for n, values in rows]
        monitor, modes = f"eval{monitor[3:]}", {f"eval{name[3:]}": mode for name, mode in modes.items()}
    info = one(rows, facts=settings_of(settings)).info
    assert (info.monitor, dict(info.modes)) == (monitor, modes)


def test_accelerate_gives_clearml_the_epoch_as_a_series_of_the_training():
    rows = [(3 * n, {"val_loss/train": 1 / n, "epoch/train": n}) for n in range(1, 4)]
    run = one(rows, counts_calls=False)
    assert run.columns["epoch"].values.tolist() == [1, 2, 3]
    assert not run.train
