"""Evals that count epochs beside train entries that count steps, and several evals per epoch."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from replay.data.finding import Kind, Severity
from replay.data.info import RunInfo
from replay.readers import read
from replay.readers.assemble import assemble
from replay.readers.points import PointsBuilder
from tests.readers.columns import curve
from tests.readers.events import name, scalar, write


def loss_at(epoch):
    return round(0.3 + abs(epoch - 7) / 20, 6)


def rows_of(epochs, per_epoch, *, log=1, first=0, evals_last=False):
    """(step, {name: value}) of a script that logs its train loss by step and its validation loss by epoch."""
    rows, evals = [], []
    for epoch in range(epochs):
        for step in range(epoch * per_epoch + 1, (epoch + 1) * per_epoch + 1):
            if step % log == 0:
                rows.append((step, {"loss": 5.0 / step}))
        (evals if evals_last else rows).append((epoch + first, {"val_loss": loss_at(epoch)}))
    return rows + evals


def one_run(rows, **options):
    builder = PointsBuilder()
    for step, values in rows:
        builder.add(step, values)
    (run,) = assemble("run", builder.points(), held_out={"val_loss"}, info=RunInfo(), **options)
    return run


@settings(max_examples=100, deadline=None)
@given(st.integers(3, 30), st.integers(4, 40), st.integers(1, 2), st.integers(0, 1))
def test_evals_are_placed_at_the_step_at_which_they_were_logged(epochs, per_epoch, log, first):
    run = one_run(rows_of(epochs, per_epoch, log=log, first=first))
    ends = [(epoch + 1) * per_epoch // log * log for epoch in range(epochs)]
    assert curve(run) == {end: loss_at(epoch) for epoch, end in enumerate(ends)}
    assert run.columns["epoch"].values.tolist() == list(range(1, epochs + 1))
    assert run.info.step_unit == "step"
    assert [finding.kind for finding in run.info.findings] == [Kind.TWO_CLOCKS]


@pytest.mark.parametrize("first", [0, 1])
def test_evals_that_were_logged_at_once_are_counted_in_epochs_with_a_warning(first):
    run = one_run(rows_of(12, 30, first=first, evals_last=True))
    assert curve(run) == {epoch + 1: loss_at(epoch) for epoch in range(12)}
    assert (run.info.step_unit, run.trained_steps) == ("epoch", 12)
    (finding,) = run.info.findings
    assert (finding.kind, finding.severity, finding["placed"]) == (Kind.TWO_CLOCKS, Severity.WARNING, False)


def test_an_eval_at_each_of_the_first_steps_counts_steps():
    rows = []
    for step in range(1, 200):
        rows.append((step, {"loss": 1.0 / step}))
        if step <= 10:
            rows.append((step, {"val_loss": 2.0 / step}))
    run = one_run(rows)
    assert list(curve(run)) == list(range(1, 11))
    assert not run.info.findings


def test_event_files_of_a_script(tmp_path):
    """patience=3 stops at epoch 11 of 16: 31 % of the steps are saved, not 99 %."""
    wall, events = 1.7e9, []
    for step, values in rows_of(16, 25):
        wall += 1
        events += [
            scalar("Loss/val" if tag == "val_loss" else "Loss/train", step, value, wall)
            for tag, value in values.items()
        ]
    write(tmp_path / "run" / name(), events)
    (run,) = replay.load(str(tmp_path))
    assert run.steps.tolist() == [25 * epoch for epoch in range(1, 17)]
    row = replay.simulate([run], ["patience=3"], monitor="Loss/val").iloc[0]
    assert (row.stopped_eval, row.saved) == (11, 5 / 16)


def test_event_files_in_folders_of_each_side_are_told_by_their_times(tmp_path):
    train = [scalar("loss", step, 5.0 / step, 1.7e9 + step) for step in range(1, 301)]
    evals = [scalar("loss", epoch, loss_at(epoch), 1.7e9 + 30 * (epoch + 1) + 0.5) for epoch in range(10)]
    write(tmp_path / "run" / "train" / name(1), train)
    write(tmp_path / "run" / "val" / name(2), evals)
    (run,) = replay.load(str(tmp_path))
    assert run.steps.tolist() == list(range(30, 301, 30))


def test_rows_of_evals_without_a_step(tmp_path):
    lines = ["step,epoch,train_loss,val_loss"]
    for epoch in range(1, 9):
        lines += [f"{30 * (epoch - 1) + 10 * part},,{5 / epoch}," for part in (1, 2, 3)]
        lines.append(f",{epoch},,{loss_at(epoch)}")
    (tmp_path / "log.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (run,) = replay.load(str(tmp_path))
    assert curve(run) == {30 * epoch: loss_at(epoch) for epoch in range(1, 9)}
    assert run.columns["epoch"].values.tolist() == list(range(1, 9))


@pytest.mark.parametrize("first", [0, 1])
def test_several_evals_per_epoch_are_placed_within_it(tmp_path, first):
    lines, number = ["epoch,train/loss,valid/loss,elapsed_time"], 0
    for epoch in range(4):
        for part in range(3):
            for _ in range(20):
                number += 1
                lines.append(f"{epoch + first},{3 / number:.6f},,{number}.0")
            lines.append(f"{epoch + first},,{2 / (number + part):.6f},{number}.5")
    (tmp_path / "log.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (run,) = replay.load(str(tmp_path))
    assert run.steps == pytest.approx([third / 3 for third in range(1, 13)])
    assert run.info.step_unit == "epoch"
    assert Kind.WITHIN_EPOCHS in {finding.kind for finding in run.info.findings}
    row = replay.simulate([run], ["one-epoch"], monitor="valid/loss").iloc[0]
    assert row.stopped_eval == 3


def test_one_value_per_epoch_is_not_placed_anew(tmp_path):
    rows = [f"{epoch},{2 / epoch:.5f},{1 / epoch:.5f}" for epoch in (1, 2, 3, 4, 5, 5)]
    (tmp_path / "log.csv").write_text("\n".join(["epoch,loss,val_loss", *rows, ""]), encoding="utf-8")
    (run,) = replay.load(str(tmp_path))
    assert run.steps.tolist() == [1, 2, 3, 4, 5]


def test_lines_of_json_with_two_clocks(tmp_path):
    lines = [json.dumps({"step": step, **values}) for step, values in rows_of(6, 50, log=10)]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (run,) = read(tmp_path).runs
    assert run.steps.tolist() == [50, 100, 150, 200, 250, 300]
    assert np.isfinite(run.columns["train_loss"].values).all()


def test_exported_tags_are_ordered_by_their_wall_times(tmp_path):
    """TensorBoard's page exports one file per tag."""
    train = [f"{1.75e9 + step},{step},{5 / step:.6f}" for step in range(1, 241)]
    evals = [f"{1.75e9 + 24 * (epoch + 1) + 0.5},{epoch},{loss_at(epoch)}" for epoch in range(10)]
    for tag, rows in (("train_loss", train), ("val_loss", evals)):
        text = "\n".join(["Wall time,Step,Value", *rows, ""])
        (tmp_path / f"run-mine-tag-{tag}.csv").write_text(text, encoding="utf-8")
    (run,) = replay.load(str(tmp_path))
    assert run.steps.tolist() == list(range(24, 241, 24))
