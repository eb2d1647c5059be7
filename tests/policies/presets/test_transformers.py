"""The preset against the real EarlyStoppingCallback and Trainer, not against memory."""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest

from replay import parse_policy
from replay.policies.presets.transformers import Transformers
from tests import tiny

transformers = pytest.importorskip("transformers")
NAN, INF = math.nan, math.inf


def real_stop(values, mode, patience, threshold, eval_on_start=False):
    """1-based eval at which transformers asks to stop: its callback, then its Trainer's update of the best,
    in that order."""
    args = SimpleNamespace(
        metric_for_best_model="eval_x",
        greater_is_better=mode == "max",
        save_strategy="no",
        load_best_model_at_end=False,
        eval_strategy="steps",
    )
    callback = transformers.EarlyStoppingCallback(patience, threshold)
    state, control = transformers.TrainerState(), transformers.TrainerControl()
    trainer = SimpleNamespace(args=args, state=state)
    callback.on_train_begin(args, state, control)
    stops, best = None, None
    for number, value in enumerate(values, 1):
        state.global_step = number
        callback.on_evaluate(args, state, control, metrics={"eval_x": value})
        if control.should_training_stop and stops is None:
            stops = number
        if not (eval_on_start and number == 1):
            transformers.Trainer._determine_best_metric(trainer, {"eval_x": value}, None)
            if stops is None or stops == number:
                best = state.best_metric
    return stops, best


POOL = [0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.7, 0.75, 0.8, 0.9, 1.0, -0.5, 1 - 1e-9, 1 + 1e-9, NAN, INF, -INF]


def test_agrees_with_the_real_callback_on_random_sequences():
    """10,000 sequences: NaN, ±inf, ties, differences below float32, P = 0..4, both modes, negative
    thresholds, eval_on_start."""
    rng = random.Random(20251125)
    stopped = 0
    for case in range(10_000):
        length = rng.randint(1, 15)
        values = [rng.choice(POOL) if rng.random() < 0.5 else rng.gauss(0.5, 0.3) for _ in range(length)]
        mode, patience = rng.choice(["min", "max"]), rng.randint(0, 4)
        threshold = rng.choice([0.0, 0.0, 0.05, 0.1, 0.25, 1e-9, -0.1])
        on_start = case % 5 == 0
        steps = [float(number - on_start) for number in range(1, length + 1)]
        expected, best = real_stop(values, mode, patience, threshold, on_start)
        policy = Transformers(patience, threshold)
        assert policy.stop_eval(values, mode, steps) == expected, (
            values,
            mode,
            patience,
            threshold,
            on_start,
        )
        stopped += expected is not None
        seen = values[int(on_start) : expected]
        raw = [value for value in seen if not math.isnan(value)]
        if best is not None and raw:
            assert best == (min(raw) if mode == "min" else max(raw))
    assert 2_000 < stopped < 9_500


@pytest.mark.parametrize(
    ("values", "patience", "threshold", "mode", "stop"),
    [
        ([1, 0.9, 0.95, 0.96, 0.97, 0.98, 0.99, 1], 3, 0, "min", 5),
        ([1, 0.9, 0.8, 0.7, 0.75, 0.6, 0.65, 0.7], 0, 0, "min", 1),
        ([1, 0.96, 0.92, 0.88, 0.84, 0.80, 0.76, 0.72], 2, 0.05, "min", 3),
        ([0.5] * 8, 3, 0, "min", 4),
        ([NAN, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4], 3, 0, "min", None),
        ([1] + [NAN] * 7, 3, 0, "min", 4),
        ([0.8, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7], 2, 0.1, "min", 4),
        ([1 - 1e-9 * i for i in range(8)], 2, 0, "min", None),
        ([1, 0.75, 0.5, 0.25, 0], 2, 0.25, "min", 3),
        ([0] * 5 + [0.1] * 5, 3, 0, "max", 4),
        ([0.50, 0.52, 0.54, 0.56, 0.58, 0.60], 2, 0.03, "max", 3),
        ([1, 0.996, 0.992, 0.988, 0.984], 3, 0.01, "min", 4),
    ],
)
def test_known_stops(values, patience, threshold, mode, stop):
    assert Transformers(patience, threshold).stop_eval(values, mode) == stop
    assert real_stop(values, mode, patience, threshold)[0] == stop


def test_a_real_trainer_stops_where_replay_says(tmp_path):
    pytest.importorskip("torch")
    scripted = [1.0, 0.9, NAN, 0.895, 0.889, 0.95, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]

    data = tiny.data()
    answers = iter(scripted)
    arguments = transformers.TrainingArguments(
        str(tmp_path),
        eval_strategy="steps",
        eval_steps=1,
        save_strategy="no",
        max_steps=12,
        per_device_train_batch_size=2,
        report_to=[],
        metric_for_best_model="scripted",
        greater_is_better=False,
        disable_tqdm=True,
        use_cpu=True,
        logging_strategy="no",
    )
    trainer = transformers.Trainer(
        tiny.model(),
        arguments,
        train_dataset=data,
        eval_dataset=data[:2],
        compute_metrics=lambda _: {"scripted": next(answers)},
        callbacks=[transformers.EarlyStoppingCallback(3, 0.01)],
    )
    trainer.train()
    assert trainer.state.global_step == parse_policy("transformers:patience=3,threshold=0.01").stop_eval(
        scripted
    )
    logged = [row["eval_scripted"] for row in trainer.state.log_history if "eval_scripted" in row]
    np.testing.assert_array_equal(logged, scripted[: len(logged)])


def test_reasons():
    decide = parse_policy("transformers:patience=2,threshold=0.01").decide
    assert decide([1.0]).reason == "first eval: nothing to compare"
    assert decide([1.0, 0.995]).reason == "gain <= threshold, best moves (1 of 2)"
    assert decide([1.0, 0.995, NAN]) == (3, True, "no gain > 0.01 over 0.995, 2 evals in a row")
    assert decide([NAN, 1.0]).reason == "first finite value"
