"""Fills where nothing was evaluated are left out; values that a metric really had stay."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay.errors import InputError
from replay.readers import read
from replay.readers.placeholders import drop_placeholders, drop_placeholders_by_step
from replay.readers.points import PointsBuilder
from replay.readers.tracker_rows import Row
from replay.readers.tracker_runs import tracker_runs
from replay.report.sentences import sentence, sentences
from tests.readers.columns import curve
from tests.readers.events import scalar, write

NAN = math.nan
FILLS = {"nan": NAN, "-1": -1.0, "0.0": 0.0}


def table(**columns):
    """The points of a table with one row per epoch; None is an empty cell."""
    builder = PointsBuilder()
    for row, cells in enumerate(zip(*columns.values(), strict=True)):
        values = {name: cell for name, cell in zip(columns, cells, strict=True) if cell is not None}
        builder.add(float(row + 1), values)
    return builder.points()


def kept(held_out=("val_loss",), **columns):
    points, _ = drop_placeholders(table(**columns), held_out)
    return {
        name: dict(zip(series.step.tolist(), series.value.tolist(), strict=True))
        for name, series in points.items()
    }


def load(tmp_path, text, name="log.csv"):
    path = tmp_path / "run" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    (run,) = read(tmp_path).runs
    return run


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("every", [2, 3, 5])
def test_a_fill_between_evals_is_left_out(tmp_path, fill, every):
    losses = {epoch: 2.5 / epoch + 0.01 * epoch for epoch in range(every, 31, every)}
    rows = [f"{epoch},{3 / epoch},{losses.get(epoch, fill)}" for epoch in range(1, 31)]
    run = load(tmp_path, "epoch,loss,val_loss\n" + "\n".join(rows) + "\n")
    assert curve(run) == losses
    (note,) = [finding for finding in run.info.findings if finding.kind == "placeholders"]
    assert f"in {30 - len(losses)} rows in which nothing was evaluated" in sentence(note)


def test_json_lines_are_filled_as_well(tmp_path):
    rows = [
        {"step": step, "loss": 9 / step, "val_loss": 8 / step if step % 40 == 0 else NAN, "val_wer": ""}
        for step in range(10, 210, 10)
    ]
    run = load(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "log.jsonl")
    assert curve(run) == {step: 8 / step for step in range(40, 210, 40)}


def test_the_row_of_training_does_not_hide_the_eval_of_its_step(tmp_path):
    rows = []
    for epoch in range(6):
        for step in (4 * epoch + 1, 4 * epoch + 3):
            rows.append(f"nan,{step},0.01,nan,nan")
            rows.append(f"{epoch},{step},nan,{1 / (step + 1)},nan")
        rows.append(f"{epoch},{4 * epoch + 3},nan,nan,{2 / (epoch + 1)}")
    run = load(tmp_path, "epoch,step,lr-Adam,train_loss,val_loss\n" + "\n".join(rows) + "\n")
    assert curve(run) == {4 * epoch + 3: 2 / (epoch + 1) for epoch in range(6)}
    assert run.columns["epoch"].values.tolist() == list(range(6))
    assert np.isfinite(run.columns["train_loss"].values).all()


def test_nan_throughout_is_no_eval(tmp_path):
    rows = [f"{epoch},{1 / (epoch + 1)},nan,nan" for epoch in range(9)]
    run = load(tmp_path, "epoch,loss,val_loss,val_auc\n" + "\n".join(rows) + "\n")
    assert len(run) == 0
    assert "val_auc is in its header, but without a value" in sentence(run.info.eval_hint)


def test_minus_one_throughout_is_no_eval():
    assert "valid_loss" not in kept(("valid_loss",), train_loss=[0.5, 0.4, 0.3], valid_loss=[-1.0] * 3)


def test_a_metric_of_the_same_set_shows_that_the_loss_was_nan():
    """The accuracy was logged in each row, so an evaluation took place in each."""
    columns = {"loss": [0.5] * 5, "val_acc": [0.1, 0.2, 0.3, 0.4, 0.5], "val_loss": [NAN] * 5}
    assert len(kept(("val_loss", "val_acc"), **columns)["val_loss"]) == 5


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, NAN, 0.9, 0.8, 0.7, 0.6],
        [1.0, 0.9, 0.8, NAN, NAN, NAN, NAN],
        [1.0, 0.9, NAN, NAN, 0.8, 0.7, 0.6, 0.5, 0.4],
        [1.0, NAN, NAN, NAN, NAN],
        [0.0, 0.5, 0.4, -1.0, 0.3],
        [0.2, 0.0, 0.0, 0.0],
        [-1.0, -2.0, -1.0, -3.0, -1.0, -4.0],
    ],
)
def test_what_a_metric_may_really_have_had_stays(losses):
    assert len(kept(loss=[0.5] * len(losses), val_loss=losses)["val_loss"]) == len(losses)


def test_an_eval_that_was_due_and_is_nan_stays():
    """The evals come every third epoch, and the training diverged at the fourth of them."""
    losses = [NAN, NAN, 0.9, NAN, NAN, 0.8, NAN, NAN, 0.7, NAN, NAN, NAN, NAN, NAN, NAN, NAN]
    assert list(kept(loss=[0.5] * 16, val_loss=losses)["val_loss"]) == [3, 6, 9, 12, 15]


def test_evals_that_begin_late():
    losses = [NAN] * 5 + [0.9, 0.8, 0.85, 0.7]
    assert list(kept(loss=[0.5] * 9, val_loss=losses)["val_loss"]) == [6, 7, 8, 9]


def test_rows_that_were_written_for_the_eval_alone_stay():
    losses = [1.0, NAN, 0.9, NAN, 0.8, NAN]
    assert len(kept(val_loss=losses)["val_loss"]) == 6
    assert len(kept(epoch=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], val_loss=losses)["val_loss"]) == 6


def test_a_reward_may_be_minus_one_unless_the_whole_row_is():
    rewards = [-1.0, 0.5, -1.0, 0.7, -1.0, 0.2]
    train = [0.5] * 6
    assert len(kept(("eval_reward",), loss=train, eval_reward=rewards)["eval_reward"]) == 6
    losses = [-1.0, 1.5, -1.0, 1.2, -1.0, 1.1]
    both = kept(("eval_reward", "eval_loss"), loss=train, eval_reward=rewards, eval_loss=losses)
    assert list(both["eval_reward"]) == list(both["eval_loss"]) == [2, 4, 6]


def test_a_rare_metric_beside_a_frequent_one():
    bleu = [NAN, NAN, NAN, NAN, 20.5] * 4
    found = kept(("val_loss", "val_bleu"), loss=[1.0] * 20, val_loss=[0.9] * 20, val_bleu=bleu)
    assert list(found["val_bleu"]) == [5, 10, 15, 20]
    assert len(found["val_loss"]) == 20


@settings(max_examples=150, deadline=None)
@given(
    every=st.integers(2, 6),
    evals=st.integers(3, 9),
    rest=st.integers(0, 5),
    fill=st.sampled_from([NAN, -1.0, 0.0, math.inf]),
    data=st.data(),
)
def test_a_filled_table_gives_what_an_empty_one_gives(every, evals, rest, fill, data):
    values = data.draw(st.lists(st.floats(0.01, 50), min_size=evals, max_size=evals))
    rows = every * evals + min(rest, every - 1)
    losses = [fill] * rows
    losses[every - 1 :: every] = values
    train = data.draw(st.lists(st.floats(0.01, 50), min_size=rows, max_size=rows))
    empty = [value if number % every == every - 1 else None for number, value in enumerate(losses)]
    assert kept(loss=train, val_loss=losses) == kept(loss=train, val_loss=empty)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.floats(0.01, 50), st.just(NAN)), min_size=1, max_size=30))
def test_no_number_is_ever_left_out(losses):
    found = kept(loss=[0.5] * len(losses), val_loss=losses).get("val_loss", {})
    finite = {row + 1: value for row, value in enumerate(losses) if not math.isnan(value)}
    assert {row: value for row, value in found.items() if not math.isnan(value)} == finite


def test_the_stop_is_that_of_the_evals(tmp_path):
    values = {3: 0.9, 6: 0.7, 9: 0.72, 12: 0.71, 15: 0.75, 18: 0.8}
    rows = [f"{epoch},{1 / epoch},{values.get(epoch, 'nan')}" for epoch in range(1, 19)]
    run = load(tmp_path, "epoch,train_loss,dev_loss\n" + "\n".join(rows) + "\n")
    row = replay.simulate([run], ["patience=2"]).iloc[0]
    assert (row.evals, row.stopped_eval, row.stopped_step) == (6, 4, 12)


def test_rows_without_evals_before_an_nan_run_are_told(tmp_path):
    """A loss that is NaN in rows of its own was evaluated: other metrics are named."""
    history = []
    for step in (20, 40, 60):
        history.append({"loss": 1.0, "epoch": step / 20, "step": step})
        history.append({"eval_loss": NAN, "eval_f1": step / 100, "epoch": step / 20, "step": step})
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history, "global_step": 60}))
    runs = replay.load(tmp_path)
    assert len(runs[0]) == 3
    with pytest.raises(InputError, match=r"eval_loss has no finite value in run .*eval_f1 \(1 of 1"):
        replay.simulate(runs, ["patience=1"])
    assert not sentences(read(tmp_path).findings)


def test_rows_of_a_tracker_are_filled_as_well():
    values = {step: 5 / step for step in range(30, 190, 30)}
    rows = [
        Row(float(step), {"train/loss": 9 / step, "val/loss": values.get(step, NAN)})
        for step in range(10, 190, 10)
    ]
    (run,) = tracker_runs("r", rows, {})
    assert curve(run, "val/loss") == values
    assert [finding.kind for finding in run.info.findings] == ["placeholders"]


def test_a_row_that_only_counts_was_written_for_the_eval():
    rows = [
        Row(float(step), {"trainer/global_step": float(step), "epoch": 1.0, "val/loss": value})
        for step, value in zip(range(10, 70, 10), [0.9, NAN, 0.8, NAN, 0.7, NAN], strict=True)
    ]
    (run,) = tracker_runs("r", rows, {})
    assert len(curve(run, "val/loss")) == 6


def test_a_text_that_prints_nan_for_no_eval(tmp_path):
    values = {4: 0.8, 8: 0.7, 12: 0.65, 16: 0.6}
    lines = [
        f"epoch {epoch} train_loss {1 / epoch:.4f} val_loss {values.get(epoch, 'nan')}"
        for epoch in range(1, 17)
    ]
    run = load(tmp_path, "\n".join(lines) + "\n", "train.log")
    assert curve(run) == values


@pytest.mark.parametrize("fill", [999.0, 9999.0, -999.0, 1e9])
def test_numbers_that_no_metric_has(fill):
    losses = [fill, 0.5, fill, 0.25, fill, 0.375, fill, 0.3]
    assert kept(val_loss=losses, loss=[1.0] * 8)["val_loss"] == {2: 0.5, 4: 0.25, 6: 0.375, 8: 0.3}


def test_a_perplexity_may_be_999():
    values = [1500.0, 999.0, 1200.0, 999.0, 1100.0, 999.0]
    assert list(kept(val_ppl=values, loss=[1.0] * 6)["val_ppl"].values()) == values


def evaluated(fill):
    """(step, train loss, value of val) of 24 epochs with an eval every third."""
    losses = [1.5, 1.2, 1.0, 0.9, 0.95, 1.0, 1.1, 1.2]
    return [(e, 3 / e, losses[e // 3 - 1] if e % 3 == 0 else fill) for e in range(1, 25)]


def write_event_file(folder, fill):
    rows = evaluated(fill)
    events = [event for e, t, v in rows for event in (scalar("train/loss", e, t), scalar("val/loss", e, v))]
    write(folder / "events.out.tfevents.1.host.1.0", events)


def write_history(folder, fill):
    rows = evaluated(fill)
    history = {"loss": [t for _, t, _ in rows], "val_loss": [v for *_, v in rows]}
    (folder / "history.json").write_text(json.dumps(history))


def write_rows_of_a_script(folder, fill):
    rows = [{"step": e, "epoch": e, "loss": t, "eval_loss": v} for e, t, v in evaluated(fill)]
    (folder / "log_history.json").write_text(json.dumps(rows))


def write_mlflow(folder, fill):
    run = folder / "mlruns" / "1" / ("ab" * 16)
    (run / "metrics").mkdir(parents=True)
    (run / "meta.yaml").write_text(f"run_id: {'ab' * 16}\nlifecycle_stage: active\n")
    for place, name in enumerate(("train_loss", "val_loss"), 1):
        lines = [f"{1000 * row[0] + place} {row[place]} {row[0]}" for row in evaluated(fill)]
        (run / "metrics" / name).write_text("\n".join([*lines, ""]))


@pytest.mark.parametrize("fill", [NAN, -1.0])
@pytest.mark.parametrize(
    "writer",
    [write_event_file, write_history, write_rows_of_a_script, write_mlflow],
    ids=lambda one: one.__name__,
)
def test_fills_of_logs_that_are_no_tables(tmp_path, writer, fill):
    writer(tmp_path, fill)
    (run,) = read(tmp_path).runs
    assert run.steps.tolist() == list(range(3, 25, 3))
    assert run.columns[run.metrics[0]].values.tolist() == pytest.approx(
        [1.5, 1.2, 1.0, 0.9, 0.95, 1.0, 1.1, 1.2]
    )


def test_a_metric_that_diverges_in_an_event_file_keeps_its_nan(tmp_path):
    events = []
    for epoch in range(1, 31):
        events.append(scalar("train/loss", epoch, 3 / epoch if epoch < 19 else NAN))
        if epoch % 3 == 0:
            events.append(scalar("val/loss", epoch, 9 / epoch if epoch < 19 else NAN))
    write(tmp_path / "events.out.tfevents.1.host.1.0", events)
    (run,) = read(tmp_path).runs
    assert np.isnan(run.columns["val/loss"].values).tolist() == [False] * 6 + [True] * 4


def test_values_of_one_step_are_one_row_also_after_a_resume():
    builder = PointsBuilder()
    for first, last in ((1, 17), (13, 31)):
        for epoch in range(first, last):
            builder.add(epoch, {"loss": 1 / epoch})
            builder.add(epoch, {"val_loss": 5 / epoch if epoch % 5 == 0 else NAN})
    points, _ = drop_placeholders_by_step(builder.points(), ["val_loss"])
    assert points["val_loss"].step.tolist() == [5, 10, 15, 15, 20, 25, 30]
    assert len(points["loss"].step) == 34
