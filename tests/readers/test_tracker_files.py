"""The files that the real libraries wrote (tests/readers/trackers/make.py), value for value."""

import contextlib
import math
import shutil
from pathlib import Path

import pytest

from replay.readers import NothingFound, read
from replay.report.sentences import sentences
from tests.readers.columns import curve
from tests.readers.trackers.make import RESUMED, rows

FILES = Path(__file__).parent / "trackers"


def made(first=1, last=30, seed=1):
    """Evals by step, and the train losses by step."""
    evals, train = {}, {}
    for step, values, metrics in rows(first, last, seed):
        train[step] = values["loss"]
        if metrics:
            evals[step] = metrics
    return evals, train


def resumed():
    evals, train = made(*RESUMED[0])
    later_evals, later_train = made(*RESUMED[1])
    begin = RESUMED[1][0]
    return (
        {step: value for step, value in evals.items() if step < begin} | later_evals,
        {step: value for step, value in train.items() if step < begin} | later_train,
    )


def of(tool, part=""):
    """The runs of a tool's files by the end of their ids; nothing else may be found."""
    found = read(FILES / tool / part)
    assert not found.findings
    return {run.id.rsplit("/", 1)[-1]: run for run in found.runs}


def agrees(run, evals, train, metrics=("eval_loss", "eval_accuracy"), loss="loss", steps=None):
    """Every value of a run is the one that was logged."""
    for metric, name in zip(metrics, ("eval_loss", "eval_accuracy"), strict=False):
        expected = {(steps or {}).get(step, step): values[name] for step, values in evals.items()}
        assert curve(run, metric) == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    assert run.train[loss].value.tolist() == list(train.values())
    if steps is None:
        assert run.train[loss].step.tolist() == list(train)
    assert set(run.metrics) == set(metrics)


def diverged():
    evals, train = made()
    evals[25] = {**evals[25], "eval_loss": math.nan}
    return evals, train


def test_wandb():
    evals, train = made()
    runs = of("wandb")
    (nested,) = (run for name, run in runs.items() if name.endswith("nested"))
    epochs = {step: step / 5 for step in evals}
    at_evals = {step: train[step] for step in evals}
    agrees(nested, evals, at_evals, ["val.loss"], "train.loss", epochs)
    assert (nested.info.step_unit, nested.info.planned_steps) == ("epoch", None)
    (calls,) = (run for name, run in runs.items() if name.endswith("calls"))
    agrees(calls, evals, train)
    agrees(runs["resumed"], *resumed())
    assert runs["resumed"].info.resumes == (16,)
    assert {run.info.group for run in runs.values()} == {"small"}
    assert {run.info.complete for run in runs.values()} == {True}
    assert {run.info.planned_steps for run in runs.values() if run is not nested} == {40}
    assert {run.info.extra["run_name"] for run in runs.values()} == {"named"}


def test_wandb_before_its_core():
    (run,) = of("wandb-0.17").values()
    agrees(run, *made(*RESUMED[0]))


def test_swanlab():
    runs = of("swanlab")
    agrees(runs["resumed0123456789abcd"], *resumed())
    (other,) = (run for name, run in runs.items() if not name.startswith("resumed"))
    agrees(other, *diverged())
    assert (other.info.group, other.info.complete, other.info.planned_steps) == ("small", True, 40)


def test_swanlabs_local_board_counts_each_run_once():
    (run,) = of("swanlab-0.7").values()
    agrees(run, *made())
    assert (run.id, run.info.group, run.info.complete) == ("swanlab-0.7/board", "small", True)
    assert run.info.planned_steps == 40


def test_swanlabs_backup_is_the_same_run(tmp_path):
    (folder,) = (FILES / "swanlab-0.7").glob("run-*")
    shutil.copytree(folder, tmp_path / folder.name, ignore=lambda _, names: {"logs"} & set(names))
    (run,) = read(tmp_path).runs
    agrees(run, *made())
    assert (run.info.group, run.info.extra["run_name"], run.info.complete) == ("small", "board", True)


def test_trackio():
    """The export holds the same runs, which count once."""
    runs = of("trackio")
    agrees(runs["diverged"], *diverged())
    agrees(runs["resumed"], *resumed())
    assert {run.info.group for run in runs.values()} == {"smallone"}
    assert {run.info.planned_steps for run in runs.values()} == {40}


@pytest.mark.parametrize("suffix", [".db", ".parquet"])
def test_trackios_database_or_export_alone(tmp_path, suffix):
    shutil.copy(FILES / "trackio" / f"smallone{suffix}", tmp_path)
    runs = {run.id.rsplit("/", 1)[-1]: run for run in read(tmp_path).runs}
    agrees(runs["diverged"], *diverged())
    if suffix == ".db":  # the export was made before the second run
        agrees(runs["resumed"], *resumed())


def test_trackios_inbox():
    (run,) = of("trackio-lines").values()
    agrees(run, *made())
    assert (run.info.group, run.info.planned_steps) == ("small.one", 40)


def test_dvclive():
    runs = of("dvclive")
    metrics = ("eval/loss", "eval/accuracy")
    evals, train = diverged()
    evals[25] = dict.fromkeys(evals[25], math.nan)
    agrees(runs["diverged"], evals, train, metrics, "train/loss")
    agrees(runs["resumed"], *resumed(), metrics, "train/loss")
    assert runs["resumed"].info.planned_steps == 40


def test_sacred():
    """The second run was logged without steps, and its metrics were counted each by itself."""
    runs = of("sacred")
    for run in runs.values():
        agrees(run, *made())
        assert (run.info.group, run.info.complete, run.info.planned_steps) == ("small", True, 40)


def test_ray_tune():
    evals, train = made()
    (run,) = of("ray-tune").values()
    agrees(run, evals, {step: train[step] for step in evals}, ["val/loss"], steps={s: s / 5 for s in evals})
    assert run.train["late"].step.tolist() == [3, 4, 5, 6]
    assert (run.info.group, run.info.planned_steps, run.info.step_unit) == ("small", None, "epoch")


@pytest.mark.parametrize("part", ["mlruns", "mlflow.db"])
def test_mlflow(part):
    evals, train = made()
    (run,) = of("mlflow", part).values()
    assert curve(run, "test_loss") == {30: 0.5}
    agrees(run, evals, train, ["eval_loss", "eval_accuracy", "test_loss"])
    assert (run.info.group, run.info.complete, run.info.planned_steps) == ("small", True, 40)


def test_both_stores_of_mlflow_hold_the_same_run():
    found = read(FILES / "mlflow")
    assert len(found.runs) == len(found.duplicates) == 1


@pytest.mark.parametrize(
    ("tool", "pattern", "stride"),
    [
        ("wandb", "*nested/*.wandb", 1),
        ("wandb-0.17", "**/*.wandb", 7),
        ("swanlab", "*resumed*/*.swanlab", 3),
        ("swanlab-0.7", "**/backup.swanlab", 37),
        ("swanlab-0.7", "runs.swanlab", 97),
        ("trackio", "*.db", 501),
        ("trackio", "*.parquet", 37),
        ("mlflow", "mlflow.db", 501),
    ],
)
def test_cut_off_the_good_part_stays(tmp_path, tool, pattern, stride):
    path = sorted((FILES / tool).rglob(pattern))[0]
    folder = path.parent if pattern == "runs.swanlab" else None
    copy = tmp_path / "log" / path.name
    if folder is not None:
        shutil.copytree(folder, copy.parent)
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(path, copy)
    whole = {
        (run.id, name, step): value
        for run in read(copy.parent).runs
        for name in run.metrics
        for step, value in curve(run, name).items()
    }
    data = path.read_bytes()
    counts = set()
    for size in range(0, len(data), stride):
        copy.write_bytes(data[:size])
        with contextlib.suppress(NothingFound):
            found = read(copy.parent)
            values = {
                (run.id, name, step): value
                for run in found.runs
                for name in run.metrics
                for step, value in curve(run, name).items()
            }
            # a run whose name is in a part that is lost has another id
            known = {(name, step, repr(value)) for (_, name, step), value in whole.items()} | FIRST
            assert {(name, step, repr(value)) for (_, name, step), value in values.items()} <= known
            counts.add(len(values))
            assert (
                sentences(found.findings)
                or len(values) == len(whole)
                or pattern.endswith(("wandb", "swanlab"))
            )
    assert counts or pattern == "*.parquet"


#: Values of the first process of a resumed run, which the second replaced.
FIRST = {
    (name, step, repr(value))
    for step, values in made(*RESUMED[0])[0].items()
    for name, value in values.items()
}


def test_the_files_name_no_machine_and_no_path():
    for path in FILES.rglob("*"):
        if path.is_file() and path.suffix != ".py":
            data = path.read_bytes()
            for word in (b"/home/", b"/root", b"/tmp", b"/Users/", b"\\Users"):
                assert word not in data, (path, word)
