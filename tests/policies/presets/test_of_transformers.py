"""The old rule of transformers, tools that hand their numbers to its callback, and the callback that
tutorials write instead."""

from types import SimpleNamespace

import numpy as np
import pytest

from replay import Run, parse_policy, simulate
from replay.errors import InputError, PolicyError
from replay.policies.presets.axolotl import Axolotl
from replay.policies.presets.llamafactory import LlamaFactory
from replay.policies.presets.transformers_4_46 import Transformers446

from .sequences import FIELDS, check, known
from .test_transformers import real_stop as real_now

transformers = pytest.importorskip("transformers")


def real_446(rule, values, mode):
    """1-based eval at which the callback asks to stop where the best moves at checkpoints: the callback's
    text is the same.

    The update is that of `Trainer._save_checkpoint` of 4.46, restated.
    """
    args = SimpleNamespace(
        metric_for_best_model="eval_x",
        greater_is_better=mode == "max",
        load_best_model_at_end=True,
        eval_strategy="steps",
    )
    callback = transformers.EarlyStoppingCallback(rule.patience, rule.threshold)
    state, control = transformers.TrainerState(), transformers.TrainerControl()
    callback.on_train_begin(args, state, control)
    better = np.greater if args.greater_is_better else np.less
    for number, value in enumerate(values, 1):
        callback.on_evaluate(args, state, control, metrics={"eval_x": value})
        if control.should_training_stop:
            return number
        if number % rule.save_every == 0 and (
            state.best_metric is None
            or state.best_model_checkpoint is None
            or better(value, state.best_metric)
        ):
            state.best_metric, state.best_model_checkpoint = value, f"checkpoint-{number}"
    return None


def test_the_old_rule_agrees_with_the_callback_on_random_sequences():
    def policy(number, case):
        return Transformers446(case.patience, case.delta, case.rng.randint(1, 4))

    check(real_446, policy, 12, deltas=[0.0, 0.05, 0.1, 0.25, 1e-9, -0.1])


@pytest.mark.parametrize(
    FIELDS,
    known(
        third_bad_eval=5,
        zero_patience=1,
        slow_drip=3,
        flat=4,
        nan_first=4,
        nan_after_first=4,
        exact_delta_decimal=4,
        below_float32=None,
    ),
)
def test_known_stops_of_the_old_rule(name, values, patience, delta, mode, stop):
    assert Transformers446(patience, delta).stop_eval(values, mode) == stop


def test_an_eval_at_step_0_writes_no_checkpoint():
    values = [0.1, 1.0, 0.9, 0.95, 0.96]
    assert Transformers446(2).stop_eval(values, steps=[0, 1, 2, 3, 4]) == 5
    assert Transformers446(2).stop_eval(values) == 3
    assert parse_policy("transformers:patience=2").stop_eval(values, steps=[0, 1, 2, 3, 4]) == 5


def test_the_old_rule_in_a_specification():
    policy = parse_policy("transformers@4.46:patience=2,min_delta=0.1,save_every=3 | never")
    assert str(policy) == "transformers@4.46:patience=2,threshold=0.1,save_every=3 | never"
    decide = policy.parts[0].decide
    assert decide([1.0, 0.5]).reason == "no checkpoint yet: nothing to compare"
    assert decide([1.0, 0.5, 0.6, 0.7, 0.8]) == (5, True, "no gain > 0.1 over 0.6, 2 evals in a row")


def test_llamafactory_is_the_callback():
    check(
        lambda rule, values, mode: real_now(values, mode, rule.early_stopping_steps, 0.0)[0],
        lambda _, case: LlamaFactory(case.patience),
        13,
    )
    assert parse_policy("llamafactory:patience=3").spec() == "llamafactory:early_stopping_steps=3"


def test_axolotl_is_the_callback_and_off_at_0():
    def real(rule, values, mode):  # its own line: a callback only where the number is not 0
        return (
            real_now(values, mode, rule.early_stopping_patience, 0.0)[0]
            if rule.early_stopping_patience
            else None
        )

    check(real, lambda _, case: Axolotl(case.patience), 14)
    decide = parse_policy("axolotl:patience=0").decide
    assert decide([1.0]).reason == "early_stopping_patience=0 switches early stopping off"
    assert parse_policy("axolotl:patience=1").decide([1.0, 2.0]) == (
        2,
        True,
        "no gain over 1, 1 eval in a row",
    )


def test_their_cautions_are_those_of_transformers():
    for spec in ("llamafactory:patience=3", "axolotl:patience=3"):
        assert parse_policy(spec).caution("eval_loss", "min") is None
        assert "greater_is_better=False" in parse_policy(spec).caution("eval_wer", "min")


def run_of(**metrics):
    length = len(next(iter(metrics.values())))
    return Run("r", {"step": [float(step) for step in range(1, length + 1)], **metrics})


def test_the_tutorials_callback_is_refused_where_its_metric_is_missing():
    with pytest.raises(InputError, match=r"no metric 'val_loss'.*eval_loss"):
        simulate([run_of(eval_loss=[1.0, 0.9, 0.95])], ["tutorial:patience=1"])
    told = simulate([run_of(eval_loss=[1.0, 0.9, 0.95])], ["tutorial:patience=1,monitor=eval_loss"])
    assert list(told[told.policy == "tutorial:patience=1,monitor=eval_loss"].stopped_eval) == [3]


def test_the_tutorials_callback_takes_lower_as_better():
    rule = parse_policy("tutorial:patience=2,monitor=eval_accuracy")
    assert rule.stop_eval([0.5, 0.6, 0.7], mode="max") == 3
    assert "lower as better" in rule.caution("eval_accuracy", "max")
    assert rule.caution("eval_loss", "min") is None
    assert parse_policy("tutorial").caution("val_loss", "min") is None
    assert "add monitor=eval_loss to the policy" in parse_policy("tutorial").absence_note()
    assert rule.decide([1.0, 0.5]).reason == "better by 0.5"
    with pytest.raises(PolicyError):
        parse_policy("tutorial:patience=-1")
