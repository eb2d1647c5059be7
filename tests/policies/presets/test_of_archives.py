"""Presets of tools too heavy or too old to install beside the others, against the tools' own text.

The archive that the preset is ``checked_against`` is downloaded, without what it depends on, and the class or
function that is the rule is run as it stands there. What it is given in place of the rest of its module plays
no part in when it stops."""

import __future__

import ast
import collections
import enum
import os
import subprocess
import sys
import tarfile
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from replay.policies import POLICIES

from .sequences import check

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The text of a file of the release that a preset was checked against."""
    folder = tmp_path_factory.mktemp("archives")

    def read(name, path):
        tool, version = POLICIES[name].checked_against.split()
        place = folder / f"{tool}-{version}"
        if not place.exists():
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--dest",
                str(place),
                f"{tool}=={version}",
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        (archive,) = place.iterdir()
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                return wheel.read(path).decode()
        with tarfile.open(archive) as source:
            return source.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{path}").read().decode()

    return read


def taken(text, *names, within=None, **given):
    """Definitions of a module, or of a class in it, made where they find what is given."""
    found = ast.parse(text).body
    if within is not None:
        (found,) = (node.body for node in found if isinstance(node, ast.ClassDef) and node.name == within)
    nodes = [
        node for node in found if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in names
    ]
    assert [node.name for node in nodes] == list(names)
    space = {"np": np, **given}
    # the types that annotations name are not there
    exec(compile(ast.Module(nodes, []), "<archive>", "exec", __future__.annotations.compiler_flag), space)
    return space


QUIET = SimpleNamespace(info=lambda *_: None, warning=lambda *_: None)


def test_fastai(text):
    class Cancelled(Exception):
        pass

    names = ("TrackerCallback", "EarlyStoppingCallback")
    module = taken(
        text("fastai", "fastai/callback/tracker.py"),
        *names,
        Callback=object,
        CancelFitException=Cancelled,
        print=lambda *_: None,
    )

    def real(rule, values, mode):
        monitor = "valid_loss" if mode == "min" else "accuracy"
        callback = module["EarlyStoppingCallback"](monitor, None, rule.min_delta, rule.patience)
        callback.recorder = SimpleNamespace(metric_names=["epoch", monitor], values=[])
        callback.before_fit()
        for number, value in enumerate(values, 1):
            callback.recorder.values.append([value])
            callback.epoch = number - 1
            try:
                callback.after_epoch()
            except Cancelled:
                return number, callback.best
        return None, callback.best

    check(
        real,
        lambda number, case: POLICIES["fastai"](case.patience, case.delta),
        21,
        best=True,
        deltas=[0.0, 0.05, 0.1, 0.25, 1e-9, -0.1],
    )


def test_fairseq(text):
    module = taken(text("fairseq", "fairseq_cli/train.py"), "should_stop_early", logger=QUIET)
    real_rule = module["should_stop_early"]

    def real(rule, values, mode):
        vars(real_rule).clear()  # where it keeps its best
        config = SimpleNamespace(
            checkpoint=SimpleNamespace(patience=rule.patience, maximize_best_checkpoint_metric=mode == "max")
        )
        stop = next((number for number, value in enumerate(values, 1) if real_rule(config, value)), None)
        return stop, vars(real_rule).get("best")

    check(real, lambda number, case: POLICIES["fairseq"](case.patience), 22, best=True, least=1)
    assert real(POLICIES["fairseq"](0), [1.0] * 9, "min") == (None, None)


def test_allennlp(text):
    module = taken(text("allennlp", "allennlp/training/metric_tracker.py"), "MetricTracker")

    def real(rule, values, mode):
        sign = 1.0 if mode == "max" else -1.0
        tracker = module["MetricTracker"]("+x" if mode == "max" else "-x", rule.patience)
        for number, value in enumerate(values, 1):
            tracker.add_metrics({"x": value})
            if tracker.should_stop_early():
                return number, sign * tracker._best_so_far + 0.0  # 0 without a sign
        return None, sign * tracker._best_so_far + 0.0

    check(real, lambda number, case: POLICIES["allennlp"](case.patience), 24, best=True, least=1)


def test_opennmt(text):
    names = ("PatienceEnum", "Scorer", "PPLScorer", "AccuracyScorer", "EarlyStopping")
    # it makes its default scorers where the class begins
    module = taken(
        text("opennmt", "onmt/utils/earlystopping.py"),
        *names,
        Enum=enum.Enum,
        logger=QUIET,
        DEFAULT_SCORERS=[],
    )

    def real(rule, values, mode):
        scorer = module["PPLScorer" if mode == "min" else "AccuracyScorer"]()
        stopping = module["EarlyStopping"](rule.early_stopping, [scorer])
        for number, value in enumerate(values, 1):
            stopping(
                SimpleNamespace(ppl=lambda value=value: value, accuracy=lambda value=value: value), number
            )
            if stopping.has_stopped():
                return number, scorer.best_score
        return None, scorer.best_score

    # with 0 its trainer is given none
    check(real, lambda number, case: POLICIES["opennmt"](case.patience), 25, best=True, least=1)


def test_ultralytics(text):
    module = taken(
        text("ultralytics", "ultralytics/utils/torch_utils.py"), "EarlyStopping", LOGGER=QUIET, colorstr=str
    )

    def real(rule, values, mode):
        sign = 1.0 if mode == "max" else -1.0
        stopping = module["EarlyStopping"](rule.patience)
        for epoch, value in enumerate(values):
            if stopping(epoch, sign * value):
                return epoch + 1, sign * stopping.best_fitness
        return None, sign * stopping.best_fitness

    check(real, lambda number, case: POLICIES["ultralytics"](case.patience), 27, best=True)


def test_ray(text):
    module = taken(
        text("ray-plateau", "ray/tune/stopper/trial_plateau.py"),
        "TrialPlateauStopper",
        Stopper=object,
        PublicAPI=lambda kind: kind,
        defaultdict=collections.defaultdict,
        deque=collections.deque,
    )

    def policy(number, case):
        return POLICIES["ray-plateau"](
            case.rng.choice([0.01, 0.1, 0.25, 0.3, 0.5]),
            case.rng.randint(1, 12),
            case.rng.randint(0, 6),
            case.rng.choice([None, 0.0, 0.5]),
        )

    def real(rule, values, mode):
        stopper = module["TrialPlateauStopper"](
            "x", rule.std, rule.num_results, rule.grace_period, rule.metric_threshold, mode
        )
        with np.errstate(invalid="ignore"):
            return next(
                (number for number, value in enumerate(values, 1) if stopper("trial", {"x": value})), None
            )

    check(real, policy, 28, longest=25)


def test_transformers_4_46(text):
    """The callback and the Trainer's method that writes a checkpoint, in the Trainer's order: evaluate, then
    save."""
    read = text("transformers@4.46", "transformers/trainer_callback.py")
    callbacks = taken(
        read,
        "EarlyStoppingCallback",
        TrainerCallback=type("TrainerCallback", (), {}),
        ExportableState=type("ExportableState", (), {}),
        logger=QUIET,
    )
    trainers = taken(
        text("transformers@4.46", "transformers/trainer.py"),
        "_save_checkpoint",
        within="Trainer",
        os=os,
        PREFIX_CHECKPOINT_DIR="checkpoint",
    )

    def real(rule, values, mode):
        state = SimpleNamespace(global_step=0, best_metric=None, best_model_checkpoint=None)
        args = SimpleNamespace(
            metric_for_best_model="x",
            greater_is_better=mode == "max",
            save_only_model=True,
            should_save=False,
            push_to_hub=False,
        )
        control = SimpleNamespace(should_training_stop=False)
        trainer = SimpleNamespace(
            state=state,
            args=args,
            hp_search_backend=None,
            store_flos=lambda: None,
            _get_output_dir=lambda trial: "out",
            save_model=lambda *_, **__: None,
        )
        callback = callbacks["EarlyStoppingCallback"](rule.patience, rule.threshold)
        for number, value in enumerate(values, 1):
            state.global_step = 10 * number
            callback.on_evaluate(args, state, control, {"eval_x": value})
            if number % rule.save_every == 0:
                trainers["_save_checkpoint"](trainer, None, None, {"eval_x": value})
            if control.should_training_stop:
                return number, state.best_metric
        return None, state.best_metric

    def policy(number, case):
        return POLICIES["transformers@4.46"](case.patience, case.delta, case.rng.randint(1, 4))

    check(real, policy, 29, best=True, deltas=[0.0, 0.05, 0.1, 0.25, 1e-9, -0.1])
