"""Finished runs that are extended: bit for bit a longer run where the schedule allows it."""

import itertools
import json
import shutil
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from collect.cli import cli
from collect.eval_log import EvalLog, read_existing_log
from replay.data.finding import Kind, Severity
from replay.errors import InputError
from replay.readers import read
from replay.readers.formats import eval_log, tensorboard, trainer_state
from replay.readers.step_signals import FILE_NAME, read_step_signals
from tests.collect.conftest import CLASSIFIER, at_record, at_signal, changed, toml
from tests.collect.test_kill import assert_equal

BASE = changed(
    CLASSIFIER,
    lora={"dropout": 0.1},
    train={"max_steps": 20, "eval_every": 5, "gradient_accumulation": 2, "keep_state": True},
)


def records(folder, kind):
    lines = [json.loads(line) for line in (folder / "eval_log.jsonl").read_text().splitlines()]
    return [line for line in lines if line.get("kind") == kind]


def extend(folder, workplace, steps):
    arguments = ["resume", str(folder), "--root", str(workplace), "--max-steps", str(steps)]
    return CliRunner().invoke(cli, arguments)


def load(folder):
    (run,) = eval_log.FORMAT.load([folder / "eval_log.jsonl"], "run").runs
    return run


def extensions(run):
    return [finding for finding in run.info.findings if finding.kind is Kind.EXTENDED]


@pytest.fixture(scope="module")
def finished(collect_run, tmp_path_factory):
    """Makes a copy of the folder of a finished run of 20 steps."""
    folders = {}

    def copy(to, **train):
        key = json.dumps(train)
        if key not in folders:
            out = tmp_path_factory.mktemp("finished")
            result, folders[key] = collect_run(changed(BASE, train=train), "run", out)
            assert result.exit_code == 0, result.output
        shutil.copytree(folders[key], to / "run")
        return to / "run"

    return copy


@pytest.fixture(scope="module")
def whole(collect_run, tmp_path_factory):
    """The folder of a run of 40 steps from the start."""
    result, folder = collect_run(
        changed(BASE, train={"max_steps": 40}), "run", tmp_path_factory.mktemp("whole")
    )
    assert result.exit_code == 0, result.output
    return folder


def assert_extended_exactly(folder, whole):
    """All numbers of both logs are the same; the checkpoint of step 20 was the last one once, and stays no
    more."""
    # what a further extension would go on from
    inside = [path / "checkpoint-40" / "kept" for path in (folder, whole)]
    assert (inside[0] / "state.json").read_text() == (inside[1] / "state.json").read_text()
    for path in inside:
        path.rename(path.parent / "kept-aside")
    assert_equal(folder, whole)
    for path in inside:
        (path.parent / "kept-aside").rename(path)
    assert load(folder).info.planned_steps == 40
    assert load(folder).info.planned_epochs == load(whole).info.planned_epochs
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-40"]


def test_a_constant_schedule_extended_is_the_longer_run_bit_for_bit(finished, whole, workplace, tmp_path):
    folder = finished(tmp_path)
    assert (folder / "checkpoint-20" / "trainer_state.json").is_file()
    result = extend(folder, workplace, 40)
    assert result.exit_code == 0, result.output
    assert_extended_exactly(folder, whole)
    (record,) = records(folder, "extended")
    assert {key: value for key, value in record.items() if key != "time"} == {
        "kind": "extended",
        "step": 20,
        "planned_steps": 40,
        "planned_epochs": 40 / 3,
        "scheduler": "constant",
        "same_schedule": True,
        "learning_rate": 5e-3,
        "before": {"planned_steps": 20, "planned_epochs": 20 / 3, "learning_rate": 5e-3},
    }
    # the adapter that would be deployed
    from safetensors.torch import load_file

    weights = [load_file(path / "checkpoint-40" / "adapter_model.safetensors") for path in (folder, whole)]
    assert weights[0].keys() == weights[1].keys()
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    for again, said in ((40, "run: finished already, skipped (8 evals, 40 steps)\n"), (30, None)):
        before = (folder / "eval_log.jsonl").read_bytes()
        result = extend(folder, workplace, again)
        assert (result.exit_code, result.stderr) == (
            (0, said)
            if said
            else (
                2,
                f"Error: --max-steps 30: {folder} has been trained for 40 steps; give a larger number\n",
            )
        )
        assert (folder / "eval_log.jsonl").read_bytes() == before


def test_the_config_before_and_after_are_those_of_the_run(finished, collect_run, workplace, tmp_path):
    folder = finished(tmp_path)
    assert extend(folder, workplace, 25).exit_code == 0
    for steps in (20, 25):
        result, _ = collect_run(changed(BASE, train={"max_steps": steps}), "run", tmp_path)
        assert result.stderr == "run: finished already, skipped (5 evals, 25 steps)\n"
    result, _ = collect_run(changed(BASE, train={"max_steps": 30}), "run", tmp_path)
    assert result.exit_code == 2
    assert "holds a run of another config (max_steps 25 there, 30 here)" in result.stderr
    assert f"or extend that run: collect resume {folder} --max-steps 30\n" in result.stderr
    result, _ = collect_run(changed(BASE, train={"max_steps": 30, "seed": 1}), "run", tmp_path)
    assert "extend" not in result.stderr
    # once more, and read as one run
    result = extend(folder, workplace, 30)
    assert result.exit_code == 0, result.output
    run = load(folder)
    assert run.steps.tolist() == [5, 10, 15, 20, 25, 30]
    assert [finding.facts["step"] for finding in extensions(run)] == [20.0, 25.0]
    assert (run.info.planned_steps, run.info.trained_steps, run.info.complete) == (30, 30, True)
    for runs in (
        trainer_state.FORMAT.load([folder / "trainer_state.json"], "run").runs,
        tensorboard.FORMAT.load(sorted(folder.glob("events.out.tfevents.*")), "run").runs,
    ):
        (other,) = runs
        values = run.curve("eval_loss", "min").values
        # TensorBoard holds float32
        assert other.curve("eval_loss", "min").values.tolist() == pytest.approx(values.tolist(), rel=1e-6)


@pytest.mark.slow
def test_an_extension_that_is_killed_goes_on(finished, whole, workplace, tmp_path):
    """At once after its record, and then after an eval; the second time the command has no --max-steps."""
    folder = finished(tmp_path)
    moments = [("extended", 1, ["--max-steps", "40"]), ("eval", 2, ["--max-steps", "40"]), ("eval", 1, [])]
    for kind, number, more in moments:
        killed = at_record(kind, number, at_signal(signal.SIGKILL))
        command = [sys.executable, *killed, "resume", str(folder), "--root", str(workplace), *more]
        assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
        assert not load(folder).info.complete
        assert load(folder).info.planned_steps == 40
        result = extend(folder, workplace, 50)
        assert "has not finished its 40 steps, and only a finished run is extended" in result.stderr
    result = CliRunner().invoke(cli, ["resume", str(folder), "--root", str(workplace)])
    assert result.exit_code == 0, result.output
    assert len(records(folder, "extended")) == 1
    assert_extended_exactly(folder, whole)


@pytest.mark.parametrize("scheduler", ["linear", pytest.param("cosine", marks=pytest.mark.slow)])
def test_another_schedule_is_followed_from_the_first_step_on_and_on_record(
    scheduler, finished, workplace, tmp_path
):
    """Both have half of the rate in the middle of 40 steps, where they had next to none at the end of 20."""
    after = 5e-3 / 2
    folder = finished(tmp_path, scheduler=scheduler)
    result = extend(folder, workplace, 40)
    assert result.exit_code == 0, result.output
    (record,) = records(folder, "extended")
    assert (record["scheduler"], record["same_schedule"]) == (scheduler, False)
    assert record["learning_rate"] == pytest.approx(after)
    rates = read_step_signals(folder / FILE_NAME).totals[:, 0]
    assert rates[20] == pytest.approx(after)
    assert all(one >= other for one, other in itertools.pairwise(rates[20:]))
    # what is used in step 20 is recorded as the rate until then
    assert record["before"]["learning_rate"] == pytest.approx(rates[19])
    run = load(folder)
    (finding,) = extensions(run)
    assert (finding.kind, finding.severity) == (Kind.EXTENDED, Severity.WARNING)
    assert finding.facts["learning_rate"] == record["learning_rate"]
    from replay.cli import cli as replay_cli

    shown = CliRunner().invoke(replay_cli, ["inspect", str(folder), "--format", "json"])
    assert "was extended to 40 steps" in shown.stdout


def test_runs_of_epochs_are_extended_in_steps(finished, workplace, tmp_path):
    folder = finished(tmp_path, max_steps=None, epochs=2)
    assert load(folder).info.planned_steps == 6
    result = extend(folder, workplace, 10)
    assert result.exit_code == 0, result.output
    assert load(folder).steps.tolist() == [5, 6, 10]
    assert load(folder).info.planned_epochs == pytest.approx(10 / 3)


@pytest.mark.slow
def test_a_plateau_is_the_same_schedule_only_where_no_eval_is_one_more(finished, workplace, tmp_path):
    for steps, same in ((20, True), (18, False)):
        folder = finished(tmp_path / str(steps), scheduler="reduce-on-plateau", max_steps=steps)
        assert extend(folder, workplace, 25).exit_code == 0
        assert records(folder, "extended")[0]["same_schedule"] is same


def test_what_cannot_be_extended(finished, classifier_run, collect_run, workplace, tmp_path):
    result, folder = collect_run(changed(BASE, train={"keep_state": False}), "gone", tmp_path)
    assert result.exit_code == 0
    before = (folder / "eval_log.jsonl").read_bytes()
    result = extend(folder, workplace, 40)
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {folder} cannot go on after its step 20: the state of the training at that step was not"
        " kept. A run keeps that of its last step with train.keep_state = true in its config\n"
    )
    assert (folder / "eval_log.jsonl").read_bytes() == before
    # the last checkpoint of a run that saves every so many steps lacks the best adapter until then
    result = extend(classifier_run, workplace, 30)
    assert "with train.keep_state = true" in result.stderr
    # an extension whose state is lost does not begin again from the start
    folder = finished(tmp_path)
    killed = at_record("extended", 1, at_signal(signal.SIGKILL))
    command = [sys.executable, *killed, "resume", str(folder), "--root", str(workplace), "--max-steps", "40"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    shutil.rmtree(folder / "checkpoint-20")
    result = CliRunner().invoke(cli, ["resume", str(folder), "--root", str(workplace)])
    assert result.exit_code == 2
    assert (
        "cannot go on after its step 20: the state of the training at that step was not kept" in result.stderr
    )


def test_the_state_is_kept_only_where_the_config_says_so(finished, tmp_path):
    folder = finished(tmp_path)
    header = json.loads((folder / "eval_log.jsonl").read_text().splitlines()[0])
    assert header["config"]["train"]["keep_state"] is True
    assert [(one["step"], one["kept"]) for one in records(folder, "checkpoint")][-1] == (20, True)
    assert load(folder).columns["saved"].values.tolist() == [0, 0, 0, 1]


@pytest.mark.slow
def test_a_grid_takes_an_extended_run_for_finished(finished, workplace, tmp_path):
    path = workplace / "extended-grid.toml"
    path.write_text(toml(changed(BASE, name="{lora.r}")) + '[grid]\n"lora.r" = [2]\n')
    assert CliRunner().invoke(cli, ["grid", str(path), "--out", str(tmp_path)]).exit_code == 0
    assert extend(tmp_path / "2", workplace, 25).exit_code == 0
    result = CliRunner().invoke(cli, ["grid", str(path), "--out", str(tmp_path), "--list"])
    assert result.stdout == "2  finished\n"


def test_a_log_of_any_trainer_is_extended_where_it_is_asked_for(tmp_path):
    with EvalLog(tmp_path, planned_steps=2) as log:
        log.log(2, {"eval_loss": 1.0})
    with pytest.raises(InputError, match="has ended at step 2; it is not continued"):
        EvalLog(tmp_path, planned_steps=4).resume(2)
    with pytest.raises(InputError, match="has ended at step 2; it is not continued"):
        EvalLog(tmp_path, planned_steps=4, extend=True).resume(1)
    log = EvalLog(tmp_path, planned_steps=4, extend=True)
    log.resume(2)
    log.log(4, {"eval_loss": 0.5})
    log.end(4, "done")
    assert read_existing_log(tmp_path).planned_steps == 4
    run = load(tmp_path)
    assert run.steps.tolist() == [2, 4]
    (finding,) = extensions(run)
    assert finding.facts["scheduler"] is None
    assert read([tmp_path]).runs[0].info.planned_steps == 4
