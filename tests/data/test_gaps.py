"""Evals that a log lacks between others."""

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.cli import cli
from replay.data.finding import Kind
from replay.data.gaps import find_gap
from replay.data.run import Run
from replay.report.sentences import sentence
from replay.stats.validity import find_validity


def run_of(steps, **meta):
    return Run("r", {"step": steps, "val_loss": np.linspace(2.0, 1.0, len(steps))}, meta)


def gap_of(steps, **meta):
    run = run_of(steps, **meta)
    return find_gap(run, run.steps)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 500), st.integers(12, 40), st.data())
def test_the_evals_left_out_are_found_by_the_spacing_and_by_the_stated_interval(every, count, data):
    steps = [every * number for number in range(1, count + 1)]
    lost = data.draw(st.lists(st.sampled_from(steps[2:-2]), min_size=1, max_size=2, unique=True))
    kept = [step for step in steps if step not in lost]
    for meta in ({}, {"hyperparameters": {"eval_steps": every}}):
        gap = gap_of(kept, **meta)
        assert sorted(lost) == list(gap.steps)
        assert (gap.every, gap.stated) == (every, bool(meta))
    assert gap_of(steps) is None
    assert gap_of([step - 1 for step in steps]) is None


@pytest.mark.parametrize(
    "steps",
    [
        [43, 87, 130, 174, 217],  # epochs of 43.5 steps
        [1, 2, 4, 8, 16, 32, 64],  # rarer and rarer
        [10, 20, 30, 40, 50, 60, 80, 100, 120, 140],  # rarer from one eval on
        [100, 200, 300, 400, 500, 573],  # the last one at the end of the training
        [100, 200, 300, 400, 600],  # the same
        [10, 30],
        [10, 30, 40, 60, 70, 90],
    ],
)
def test_other_schedules_have_no_gap(steps):
    assert gap_of(steps) is None


def test_a_stated_interval_that_the_log_does_not_keep_to_says_nothing():
    """transformers states eval_steps=500 where it evaluates by epoch."""
    assert gap_of([63, 126, 189, 252, 315], hyperparameters={"eval_steps": 500}) is None
    assert gap_of([50, 100, 150, 250, 300], planned_steps=500, hyperparameters={"eval_steps": 0.1}).steps == (
        200.0,
    )


def test_what_is_said_of_one_run_and_of_several():
    steps = [20 * number for number in range(1, 16) if number not in (5, 9)]
    runs = [run_of(steps), Run("s", run_of(range(20, 301, 20)).columns)]
    curves = {run.id: run.curve("val_loss", "min") for run in runs}
    (finding,) = (one for one in find_validity(runs, curves, []) if one.kind is Kind.MISSING_EVALS)
    assert finding.runs == ("r",)
    assert sentence(finding).startswith(
        "1 of 2 runs lacks evals, of r: 2 evals are missing at steps 100, 180 (the others are 20 steps"
    )
    (finding,) = (one for one in find_validity(runs[:1], curves, []) if one.kind is Kind.MISSING_EVALS)
    assert sentence(finding).startswith("2 evals are missing at steps 100, 180 (the others are 20 steps")


def test_a_log_that_begins_in_the_middle_is_named_wherever_it_is_averaged(tmp_path):
    for name, first, begin in (("whole", 10, 2.0), ("part", 310, 2.5)):
        rows = [f"{step},{begin - step / 500}" for step in range(first, 500, 10)]
        (tmp_path / name).mkdir()
        text = "\n".join(["step,val_loss", *rows, ""])
        (tmp_path / name / "log.csv").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(cli, ["simulate", str(tmp_path), "--verbose"])
    text = " ".join(result.stdout.split())
    assert "The log of part begins at step 310" in text, text


@pytest.mark.parametrize(
    "command", [["inspect"], ["simulate", "--verbose"], ["explain", "--policy", "patience=2"]]
)
def test_inspect_simulate_and_explain_report_the_gap(tmp_path, command):
    rows = [f"{step},{1 / step:.5f}" for step in range(10, 210, 10) if step not in (80, 90)]
    (tmp_path / "log.csv").write_text("\n".join(["step,val_loss", *rows, ""]), encoding="utf-8")
    result = CliRunner().invoke(cli, [command[0], str(tmp_path), *command[1:]])
    assert "2 evals are missing at steps 80, 90" in " ".join(result.output.split())
