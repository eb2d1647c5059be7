"""The logs of the processes of one training are one run; those of other trainings are not joined."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.data.finding import Kind
from replay.data.run import Run
from replay.readers import read
from replay.readers.continuations import find_continuations, join_runs
from replay.readers.precedence import PRECEDENCE, Entry
from replay.readers.processes import Span, process_order
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.events import header, scalar, write

FIRST, SECOND = "Oct03_08-00-00_node1", "Oct04_09-30-00_node2"


def loss_at(step):
    return round(3.0 / (1 + step / 40) + 0.01 * np.sin(step), 7)


def training(first, last, *, log=5, every=20, junk_above=10**9, eval_first=False):
    """(step, name, value) of what one process logs of steps first to last; values are other ones above
    ``junk_above``.
    """
    rows = [(first - 1, "val", loss_at(first - 1) * 1.00001)] if eval_first else []
    for step in range(first, last + 1):
        wrong = 0.37 if step > junk_above else 0.0
        if step % log == 0:
            rows.append((step, "train", 2 * loss_at(step) + wrong))
        if step % every == 0:
            rows.append((step, "val", loss_at(step) + wrong))
    return rows


def events_of(rows, wall, names=("train/loss", "eval/loss")):
    tags = dict(zip(("train", "val"), names, strict=True))
    return [scalar(tags[name], step, value, wall + step) for step, name, value in rows]


def write_events(folder, rows, wall, number=1):
    path = folder / f"events.out.tfevents.{int(wall)}.node.{number}.0"
    return write(path, [header(wall), *events_of(rows, wall)], head=False)


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{step},{value if name == 'train' else ''},{value if name == 'val' else ''}"
        for step, name, value in rows
    ]
    path.write_text("\n".join(["step,train_loss,val_loss", *lines, ""]), encoding="utf-8")


def write_state(path, rows, **more):
    history = [
        {"step": step, "epoch": step / 80, ("loss" if name == "train" else "eval_loss"): value}
        for step, name, value in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"global_step": rows[-1][0], "max_steps": 400, "log_history": history, **more}
    path.write_text(json.dumps(state), encoding="utf-8")


def only(found):
    assert not found.findings
    (run,) = found.runs
    return run


@st.composite
def interrupted(draw):
    """(log interval, eval interval, checkpoint, last step of the killed process, last step) of a training."""
    log = draw(st.sampled_from([1, 5, 10]))
    every = log * draw(st.integers(1, 4))
    checkpoint = log * draw(st.integers(3, 15))
    killed = checkpoint + draw(st.integers(0, 6 * log))
    end = max(killed, checkpoint + every) + log * draw(st.integers(3, 10)) + every
    return log, every, checkpoint, killed, end


LAYOUTS = ["one folder", "one folder, the later clock slow", "runs", "version", "csv versions", "csv files"]


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(interrupted(), st.booleans())
def test_a_log_split_between_two_processes_is_one_run(tmp_path, layout, made, evaluates_first):
    log, every, checkpoint, killed, end = made
    kwargs = {"log": log, "every": every}
    shutil.rmtree(tmp_path)
    before = training(1, killed, junk_above=checkpoint, **kwargs)
    after = training(checkpoint + 1, end, eval_first=evaluates_first, **kwargs)
    if layout.startswith("one folder"):
        write_events(tmp_path / "run", before, 1.75e9, 1)
        write_events(tmp_path / "run", after, 1.75e9 + (-7200 if "slow" in layout else 5000), 2)
    elif layout == "runs":
        write_events(tmp_path / "run" / "runs" / FIRST, before, 1.75e9)
        write_events(tmp_path / "run" / "runs" / SECOND, after, 1.75e9 + 9000)
    elif layout == "version":
        write_events(tmp_path / "run" / "version_0", before, 1.75e9)
        write_events(tmp_path / "run" / "version_1", after, 1.75e9 + 9000)
    elif layout == "csv versions":
        write_csv(tmp_path / "run" / "version_3" / "metrics.csv", before)
        write_csv(tmp_path / "run" / "version_4" / "metrics.csv", after)
    else:
        write_csv(tmp_path / "run" / "metrics.csv", before)
        write_csv(tmp_path / "run" / "metrics_resumed.csv", after)
    run = only(read(tmp_path))
    (metric,) = run.metrics
    (series,) = run.train.values()
    whole = training(1, end, **kwargs)
    evals = {step: value for step, name, value in whole if name == "val"}
    if evaluates_first:
        evals[checkpoint] = loss_at(checkpoint)
    assert curve(run, metric) == pytest.approx(evals, rel=2e-5)
    losses = {step: value for step, name, value in whole if name == "train"}
    assert dict(zip(*series, strict=True)) == pytest.approx(losses, rel=1e-6)
    assert run.trained_steps == max(step for step, _, _ in whole)
    assert len(run.info.resumes) == 1


def test_what_the_killed_process_logged_past_the_checkpoint_is_dropped_and_reported(tmp_path):
    """A folder of transformers: an event folder per process, checkpoints, and the final state."""
    before = training(1, 130, junk_above=80)
    after = training(81, 240, eval_first=True)
    history = [*training(1, 80), *after]
    write_state(tmp_path / "out" / "checkpoint-80" / "trainer_state.json", history[: len(training(1, 80))])
    write_state(tmp_path / "out" / "checkpoint-240" / "trainer_state.json", history)
    write_state(tmp_path / "out" / "trainer_state.json", history)
    write_events(tmp_path / "out" / "runs" / FIRST, before, 1.75e9)
    write_events(tmp_path / "out" / "runs" / SECOND, after, 1.75e9 + 900)
    run = only(read(tmp_path / "out"))
    assert run.info.format == "trainer-state"
    assert list(curve(run, "eval_loss")) == list(range(20, 241, 20))
    assert run.info.resumes == (80.0,)
    assert "resumed at step 80; 3 older values of the interrupted process dropped" in sentences(
        run.info.findings
    )


def test_a_checkpoint_of_the_killed_process_is_the_same_run(tmp_path):
    write_state(tmp_path / "out" / "checkpoint-160" / "trainer_state.json", training(1, 160, junk_above=100))
    write_state(tmp_path / "out" / "checkpoint-300" / "trainer_state.json", training(1, 300))
    found = read(tmp_path)
    run = only(found)
    assert run.id == "out/checkpoint-300"
    assert "resumed at step 120; 3 older values of the interrupted process dropped" in sentences(
        run.info.findings
    )


def test_runs_that_share_their_first_evals_in_folders_of_their_own_stay_apart(tmp_path):
    """Two schedules can begin with the same checkpoint."""
    write_state(tmp_path / "decay_a" / "trainer_state.json", training(1, 160, junk_above=100))
    write_state(tmp_path / "decay_b" / "trainer_state.json", training(1, 300))
    assert len(read(tmp_path).runs) == 2


def test_the_log_of_the_later_process_alone_is_part_of_the_whole_state(tmp_path):
    write_state(tmp_path / "out" / "trainer_state.json", training(1, 300))
    write_events(tmp_path / "out" / "runs" / SECOND, training(141, 300), 1.75e9)
    found = read(tmp_path)
    assert len(only(found)) == 15
    assert len(found.duplicates) == 1


def test_a_state_and_the_events_of_the_process_after_it_are_one_run(tmp_path):
    write_state(tmp_path / "out" / "checkpoint-200" / "trainer_state.json", training(1, 200))
    write_events(tmp_path / "out" / "runs" / SECOND, training(201, 400), 1.75e9)
    run = only(read(tmp_path))
    assert list(curve(run, "eval_loss")) == list(range(20, 401, 20))


@pytest.mark.parametrize("values", [[2.25, 1.75], [0.91, 0.84]])
def test_two_equal_evals_make_one_run_where_nothing_contradicts(tmp_path, values):
    for name, train in (("a", [3.0, 2.0]), ("b", [3.0, 2.0]), ("c", [3.1, 2.0])):
        (tmp_path / name).mkdir()
        rows = [
            f"{epoch},{loss},{value}" for epoch, (loss, value) in enumerate(zip(train, values, strict=True))
        ]
        text = "\n".join(["epoch,loss,val_loss", *rows, ""])
        (tmp_path / name / "log.csv").write_text(text, encoding="utf-8")
    found = read(tmp_path)
    assert sorted(run.id for run in found.runs) == ["a", "c"]
    assert found.duplicates == [("b/log.csv", "a")]


def test_a_prefix_of_two_evals_beside_the_events_of_a_short_fine_tune(tmp_path):
    rows = training(1, 1200, log=400, every=400)
    write_state(tmp_path / "results" / "checkpoint-1200" / "trainer_state.json", rows[:4])
    write_events(tmp_path / "logs", rows, 1.75e9)
    assert len(only(read(tmp_path))) == 3


def test_a_copy_of_a_log_with_one_eval_counts_once(tmp_path):
    for name in ("one", "two"):
        write_csv(tmp_path / name / "log.csv", [(10, "train", 2.0), (10, "val", 1.0)])
    write_csv(tmp_path / "three" / "log.csv", [(10, "train", 2.5), (10, "val", 1.0)])
    assert len(read(tmp_path).runs) == 2


def test_trainings_from_the_begin_are_not_joined(tmp_path):
    for number in range(3):
        rows = [(step, name, value + number) for step, name, value in training(1, 100 + 40 * number)]
        write_events(tmp_path / "run" / f"version_{number}", rows, 1.75e9 + 9000 * number)
    assert len(read(tmp_path).runs) == 3


def test_a_headless_log_beside_a_training_that_came_to_its_end_is_not_joined(tmp_path):
    write_csv(tmp_path / "version_0" / "metrics.csv", training(1, 400))
    rows = [(step, name, value + 0.5) for step, name, value in training(201, 400)]
    write_csv(tmp_path / "version_1" / "metrics.csv", rows)
    runs = read(tmp_path).runs
    assert len(runs) == 2
    assert Kind.MISSING_HEAD in {finding.kind for run in runs for finding in run.info.findings}


@pytest.mark.parametrize(
    "names", [("seed1", "seed2"), ("lr3e-4", "lr1e-4"), ("fold_1", "fold_2"), ("a", "b")]
)
def test_folders_whose_names_say_what_differs_are_not_joined(tmp_path, names):
    write_csv(tmp_path / names[0] / "metrics.csv", training(1, 200))
    write_csv(tmp_path / names[1] / "metrics.csv", training(201, 400))
    assert len(read(tmp_path).runs) == 2


def test_a_log_that_would_have_begun_before_the_one_it_overlaps_is_not_joined(tmp_path):
    write_events(tmp_path / "run" / "version_0", training(1, 200), 1.75e9)
    rows = [(step, name, value + 0.5) for step, name, value in training(141, 400)]
    write_events(tmp_path / "run" / "version_1", rows, 1.75e9 - 90000)
    assert len(read(tmp_path).runs) == 2


@pytest.mark.parametrize(("apart", "count"), [(0.0, 1), (1e-3, 1), (0.5, 2)])
def test_a_process_on_a_machine_whose_clock_is_slow(tmp_path, apart, count):
    """What both processes logged after the checkpoint tells whether it is the same training."""
    write_events(tmp_path / "run" / "runs" / SECOND, training(1, 130), 1.75e9)
    rows = [(step, name, value + apart) for step, name, value in training(101, 300)]
    write_events(tmp_path / "run" / "runs" / FIRST, rows, 1.75e9 - 9000)
    assert len(read(tmp_path).runs) == count


@pytest.mark.parametrize(("apart", "count"), [(1e-4, 1), (0.5, 2)])
@pytest.mark.parametrize("place", ["runs", "version"])
def test_two_processes_that_took_up_the_same_checkpoint(tmp_path, place, apart, count):
    """The second was killed before it saved another one; two schedules may go on from one as well."""
    parts = [
        training(1, 130),
        [(step, name, value + apart) for step, name, value in training(101, 180)],
        training(101, 300),
    ]
    for number, rows in enumerate(parts):
        if place == "runs":
            write_events(
                tmp_path / "run" / "runs" / f"Oct0{number + 1}_08-00-00_node", rows, 1.75e9 + 9000 * number
            )
        else:
            write_csv(tmp_path / "run" / f"version_{number}" / "metrics.csv", rows)
    runs = read(tmp_path).runs
    assert len(runs) == count
    if count == 1:
        assert runs[0].steps.tolist() == list(range(20, 301, 20))


def test_three_processes_and_their_counters(tmp_path):
    for number, (first, last) in enumerate(((1, 100), (101, 200), (201, 300))):
        write_events(tmp_path / "run" / f"version_{number}", training(first, last), 1.75e9 + 5000 * number)
    run = only(read(tmp_path))
    assert run.id == "run"
    assert run.columns["segment"].values.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    seconds = run.columns["wall_seconds"].values
    assert (np.diff(seconds) > 0).all()
    assert seconds[-1] < 400  # the pauses between the processes are no train time
    assert len(run.info.sources) == 3


def test_a_second_file_of_the_same_process_is_no_resume(tmp_path):
    """transformers opens a second file for an evaluation after the training."""
    folder = tmp_path / "run"
    write(folder / "events.out.tfevents.1750000000.node.77.0", events_of(training(1, 100), 1.75e9))
    more = [(120, "val", 0.5), (140, "val", 0.4)]
    write(folder / "events.out.tfevents.1750000200.node.77.1", events_of(more, 1.75e9 + 200))
    run = only(read(tmp_path))
    assert run.info.resumes == ()
    write(folder / "events.out.tfevents.1750000200.node.78.0", events_of(more, 1.75e9 + 200))
    (folder / "events.out.tfevents.1750000200.node.77.1").unlink()
    assert only(read(tmp_path)).info.resumes == (120.0,)


def test_the_runtime_of_one_of_two_processes_is_not_that_of_the_run():
    def part(first, last, **meta):
        steps = np.arange(first, last, 10.0)
        return Run("x", {"step": steps, "eval_loss": 1 / steps}, meta)

    joined = join_runs("y", [part(10, 100), part(100, 200, train_runtime=9.0)])
    assert joined.info.train_runtime is None
    joined = join_runs("y", [part(10, 100, train_runtime=8.0), part(100, 200, train_runtime=9.0)])
    assert joined.info.train_runtime == 17.0
    assert joined.id == "y"


def test_each_log_has_one_successor():
    steps = {"a": np.arange(10, 101, 10.0), "b": np.arange(110, 201, 10.0), "c": np.arange(110, 191, 10.0)}
    entries = [
        Entry(
            Run(name, {"step": span, "eval_loss": span + number}),
            Path("version_1"),
            0,
        )
        for number, (name, span) in enumerate(steps.items())
    ]
    assert find_continuations(entries) in ([[0, 1]], [[0, 2]])


def test_the_order_of_processes_is_that_of_their_clocks_unless_the_steps_contradict():
    def span(first, last, began):
        return Span({"loss": np.arange(first, last + 1, 10.0)}, began, began + 1)

    assert process_order([span(10, 100, 5.0), span(10, 90, 1.0), span(10, 200, 3.0)]) == [1, 2, 0]
    assert process_order([span(60, 200, 1.0), span(10, 80, 2.0)]) == [1, 0]
    assert process_order([span(150, 200, 1.0), span(60, 150, 2.0), span(10, 60, 3.0)]) == [2, 1, 0]


def test_the_order_of_precedence_is_stated_in_words():
    assert all(criterion.text for criterion in PRECEDENCE)


def test_where_two_logs_of_a_run_disagree_both_values_are_reported(tmp_path):
    rows = training(1, 400)
    write_state(tmp_path / "out" / "trainer_state.json", rows)
    changed = [(s, n, 9.25 if (s, n) == (200, "val") else value) for s, n, value in rows]
    write_csv(tmp_path / "out" / "log.csv", changed)
    run = only(read(tmp_path))
    (finding,) = (one for one in run.info.findings if one.kind is Kind.LOGS_DISAGREE)
    assert (finding["metric"], finding["step"], finding["other"]) == ("eval_loss", 200, 9.25)
    assert finding["kept"] == loss_at(200)


def test_steps_that_are_one_short_are_the_same_steps(tmp_path):
    """Lightning calls the step after 50 updates 49."""
    rows = training(1, 400)
    write_csv(tmp_path / "a" / "log.csv", rows)
    write_csv(tmp_path / "b" / "other.csv", [(step - 1, name, value) for step, name, value in rows])
    assert len(read(tmp_path).runs) == 1
