"""What an explanation says of a run that was resumed."""

import json

import numpy as np
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.cli import cli
from replay.data.run import Run
from replay.engine.explain import explain
from replay.engine.question import Question

QUESTION = Question(monitor="val_loss", mode="min")


def resumed_run(values, *resumes):
    steps = np.arange(10.0, 10.0 * len(values) + 1, 10.0)
    return Run("r", {"step": steps, "val_loss": values}, {"resumes": resumes})


def stop_of(values, patience, begins, *, keeps_best):
    """The eval at which a tool stops that counts anew at each eval of ``begins``, as a plain loop."""
    best, wait = np.inf, 0
    for number, value in enumerate(values, 1):
        if number in begins:
            wait = 0
            best = best if keeps_best else np.inf
        if value < best:
            best, wait = value, 0
        else:
            wait += 1
        if wait >= patience:
            return number
    return None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0, 1.25]), min_size=4, max_size=14),
    st.integers(1, 4),
    st.lists(st.integers(2, 13), min_size=1, max_size=2, unique=True),
)
def test_each_kind_of_tool_stops_where_its_loop_does(values, patience, begins):
    begins = sorted(begin for begin in begins if begin <= len(values)) or [2]
    run = resumed_run(values, *(10.0 * begin - 4 for begin in begins))
    found = explain(run, f"patience={patience}", QUESTION).resumes
    assert list(found.evals) == begins
    assert found.counts
    assert found.best_kept == stop_of(values, patience, begins, keeps_best=True)
    assert found.forgotten == stop_of(values, patience, begins, keeps_best=False)


def test_a_policy_without_a_counter_has_no_tool_that_counts_anew():
    found = explain(resumed_run([1.0, 0.9, 0.8, 0.7], 25.0), "target=0.85", QUESTION).resumes
    assert (found.evals, found.forgotten) == ({3: 25.0}, 3)
    assert explain(resumed_run([1.0, 0.9, 0.8]), "patience=1", QUESTION).resumes is None


def test_the_table_marks_the_resume_and_the_text_says_what_tools_do(tmp_path):
    lines = ["step,loss,val_loss"]
    lines += [f"{step},1.0,{value}" for step, value in ((8, 0.7), (16, 0.5), (24, 0.4), (32, 0.9))]
    lines += [f"{step},1.0,{0.95 - step / 200}" for step in range(24, 81, 8)]
    (tmp_path / "log.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    arguments = ["explain", str(tmp_path), "--policy", "patience=2", "--monitor", "val_loss"]
    text = " ".join(CliRunner().invoke(cli, arguments).stdout.split())
    assert "resumed at step 24:" in text
    assert (
        "Resumed at step 24: a tool that keeps the counter (Lightning) or keeps only the best value"
        " (transformers) stops at eval 4, one that forgets both (Keras) never stops this run."
    ) in text
    text = " ".join(CliRunner().invoke(cli, [*arguments, "--verbose"]).stdout.split())
    assert "The run was resumed at step 24." in text
    assert "keeps both in memory" in text
    assert "it never stops this run" in text
    data = json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json"]).stdout)
    assert data["resumes"] == {
        "first_evals": [3],
        "steps": [24.0],
        "stopped_eval_best_kept": 4,
        "stopped_eval_forgotten": None,
    }
