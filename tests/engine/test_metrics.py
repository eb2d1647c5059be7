"""Which metric is monitored, which mode it has, and why."""

import math

import numpy as np
import pytest

import replay
from replay.data.finding import Finding, Kind
from replay.data.run import Run, Series
from replay.engine.metrics import ModeSource, NameSource, resolve_metric, suggest_metric
from replay.errors import InputError, ReplayWarning
from replay.report.sentences import sentences

from .runs import outcome_of, run


def test_the_trap_a_metric_that_is_not_there():
    runs = [run(eval_loss=[1.0, 0.5], eval_rougeL=[0.1, 0.2])]
    with pytest.raises(
        InputError,
        match=r"no metric 'val_loss' in run r; it has eval_loss, eval_rougeL. Did you mean eval_loss\?",
    ):
        replay.simulate(runs, ["patience=1"], monitor="val_loss")
    with pytest.raises(InputError, match="no metric 'val_loss'"):
        replay.simulate(runs, ["patience=1,monitor=val_loss"])


def test_default_is_what_the_log_states_then_the_validation_loss():
    stated = run(
        meta={"monitor": "eval_f1", "modes": {"eval_f1": "max"}},
        eval_loss=[1.0],
        eval_f1=[0.1],
        test_loss=[2.0],
    )
    assert resolve_metric([stated], None, None)[0].name == "eval_f1"
    metric, _ = resolve_metric([run(eval_f1=[0.1], test_loss=[2.0], eval_loss=[1.0])], None, None)
    assert (metric.name, metric.mode, metric.mode_word) == ("eval_loss", "min", "loss")
    assert (metric.name_source, metric.mode_source) == (NameSource.VALIDATION_LOSS, ModeSource.NAME)
    mixed = [run("a", eval_loss=[1.0]), run("b", **{"eval/loss": [1.0]}), run("c", val_loss=[1.0])]
    metric, _ = resolve_metric(mixed, None, None)
    assert metric.names == {"a": "eval_loss", "b": "eval/loss", "c": "val_loss"}
    assert metric.spellings == ("eval/loss", "eval_loss", "val_loss")


def test_a_given_name_is_found_in_other_spellings_but_not_in_other_words():
    mixed = [run("a", eval_loss=[1.0]), run("b", **{"eval/loss": [1.0]}), run("c", val_loss=[1.0])]
    metric, findings = resolve_metric(mixed, "eval_loss", None)
    assert set(metric.names) == {"a", "b"}
    assert sentences(findings) == ["1 of 3 runs has no eval_loss and is left out: c"]


def test_no_default_where_none_is_obvious():
    with pytest.raises(
        InputError, match=r"which metric should be watched\? Give --monitor.*eval_f1 \(1 of 1 runs\)"
    ):
        resolve_metric([run(eval_f1=[0.1], eval_acc=[0.2])], None, None)


def test_mode_is_never_guessed_silently():
    with pytest.raises(InputError, match="is eval_foo better when lower or when higher"):
        replay.simulate([run(eval_foo=[1.0, 2.0])], ["patience=1"])
    assert outcome_of(run(eval_foo=[1.0, 2.0]), "patience=1", mode="max").best == 2.0
    with pytest.warns(
        ReplayWarning, match="mode max for eval_loss, though its name says that lower is better"
    ):
        replay.simulate([run(eval_loss=[1.0, 2.0])], ["patience=1"], mode="max")
    disagree = [
        run("a", meta={"modes": {"eval_x": "min"}}, eval_x=[1.0]),
        run("b", meta={"modes": {"eval_x": "max"}}, eval_x=[1.0]),
    ]
    with pytest.raises(InputError, match="the logs disagree on eval_x"):
        resolve_metric(disagree, None, None)


def test_watching_the_test_set_is_told():
    with pytest.warns(ReplayWarning, match="measured on the test set"):
        replay.simulate(
            [run(eval_loss=[1.0, 0.5], test_loss=[1.0, 0.5])], ["patience=1"], monitor="test_loss"
        )


@pytest.mark.parametrize("policy", ["tutorial", "tutorial:patience=2,every=2", "patience=3 | tutorial"])
def test_the_tutorials_callback_that_never_fires_is_told(policy):
    """It watches val_loss and passes over a log without it: the trap that nobody sees."""
    with pytest.raises(
        InputError,
        match=(
            r"no metric 'val_loss'.*Did you mean eval_loss\? On such a log the callback never"
            r" fires.*monitor='eval_loss'"
        ),
    ):
        outcome_of(run(eval_loss=[1.0, 0.9, 0.95, 0.96]), policy)
    assert outcome_of(run(val_loss=[1.0, 0.9, 0.95, 0.96, 0.97]), "tutorial").stopped_eval == 5


@pytest.mark.parametrize("name", ["eval_neg_mse", "val/negative_mae", "minus_loss"])
def test_a_metric_with_its_sign_turned_over_is_asked_about(name):
    runs = [run(**{name: [-3.0, -2.0, -1.0, -1.1]})]
    with pytest.raises(InputError, match="sign was turned over, and higher is better; give --mode max"):
        replay.simulate(runs, ["patience=1"])
    assert replay.simulate(runs, ["patience=1"], mode="max").iloc[0].stopped_eval == 4


def test_a_trainer_that_was_told_the_wrong_direction():
    meta = {"monitor": "eval_wer", "contradicted_modes": {"eval_wer": "max"}}
    made = run("a", meta, eval_wer=[0.9, 0.5, 0.3, 0.4])
    metric, findings = resolve_metric([made], None, None)
    assert (metric.name, metric.mode, metric.mode_source) == ("eval_wer", "min", ModeSource.NAME)
    (text,) = sentences(findings)
    assert text == (
        "the training of a maximised eval_wer, although lower is better by its name: the trainer kept the"
        " checkpoint of step 100 (0.9), and the best was 0.3 at step 300. The results take lower as better;"
        " give --mode max if the training was right"
    )
    assert resolve_metric([made], None, "max")[0].mode == "max"


def test_a_log_that_states_the_other_direction_is_followed_and_reported():
    made = run("a", {"modes": {"eval_loss": "max"}}, eval_loss=[1.0, 2.0, 3.0])
    metric, findings = resolve_metric([made], "eval_loss", None)
    assert (metric.mode, metric.mode_source) == ("max", ModeSource.STATED)
    (text,) = sentences(findings)
    assert text == (
        "the log of a states that higher is better for eval_loss, although lower is better by its name. The"
        " results follow the log; give --mode min if it is wrong"
    )
    turned_over = run("a", {"modes": {"eval_loss": "max"}}, eval_loss=[-3.0, -2.0, -1.0])
    assert not resolve_metric([turned_over], "eval_loss", None)[1]


def test_the_loss_of_a_policy_that_is_trained_by_a_reward():
    made = run(eval_loss=[1e-5, 2e-5], eval_reward=[0.1, 0.5], eval_rewards_std=[0.1, 0.1])
    with pytest.raises(InputError, match=r"says nothing about quality .*--monitor eval_reward --mode max"):
        resolve_metric([made], None, None)
    assert resolve_metric([made], "eval_loss", None)[0].mode == "min"
    in_training = Run(
        "b", {"step": [1, 2], "eval_loss": [1e-5, 2e-5]}, train={"reward": Series(*[np.ones(2)] * 2)}
    )
    with pytest.raises(InputError, match="--monitor reward --mode max"):
        resolve_metric([in_training], None, None)
    preference = run(eval_loss=[0.6, 0.5], **{"eval_rewards/chosen": [0.1, 0.2]})
    assert resolve_metric([preference], None, None)[0].name == "eval_loss"
    reward_model = run(eval_loss=[0.6, 0.5], eval_mean_reward=[0.1, 0.2])
    assert resolve_metric([reward_model], None, None)[0].name == "eval_loss"


def test_a_metric_that_never_changes_is_reported():
    made = [run("a", eval_loss=[0.0] * 4), run("b", eval_loss=[1.0, 0.9, 0.8, 0.9])]
    _, findings = resolve_metric(made, None, None)
    (text,) = sentences(findings)
    assert text.startswith("1 of 2 runs has the same value of eval_loss at every eval (0), so no stop rule")
    assert text.endswith(": a")
    assert not resolve_metric([run(eval_loss=[0.5, 0.5])], None, None)[1]


def test_a_loss_without_a_finite_value_is_not_taken_where_there_is_another_metric():
    nan = [math.nan] * 3
    with pytest.raises(InputError, match=r"eval_loss has no finite value in run r.*have eval_f1 \(1 of 1"):
        resolve_metric([run(eval_loss=nan, eval_f1=[0.1, 0.2, 0.3])], None, None)
    one_of_two = [run("a", eval_loss=nan), run("b", eval_loss=[0.5, 0.4, 0.3])]
    assert resolve_metric(one_of_two, None, None)[0].name == "eval_loss"


def test_where_no_run_has_an_eval_the_error_says_how_to_log_them():
    hint = Finding(Kind.EVAL_HINT, facts={"tool": "ultralytics"})
    empty = run(meta={"eval_hint": hint}, eval_loss=[])
    empty = empty.replace(columns={"step": empty.columns["step"]})
    with pytest.raises(InputError, match="no run has a held-out metric") as caught:
        resolve_metric([empty], None, None)
    assert caught.value.because is hint


def test_a_run_that_logs_two_spellings_of_a_metric_counts_once():
    both = {"eval/gain": [1.0, 2.0], "eval_gain": [1.0, None], "eval/cost_x": [2.0, 1.0]}
    with pytest.raises(InputError, match=r"eval.gain \(2 of 2 runs\)"):
        resolve_metric([run(name, **both) for name in "ab"], None, None)


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["metrics/precision(B)", "metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)"], 3),
        (["eval_recall", "eval_precision", "eval_f1"], 2),
        (["eval_f1", "eval_accuracy"], 0),
    ],
)
def test_a_metric_that_says_little_by_itself_is_suggested_last(names, first):
    one = Run("r", {"step": [1, 2], **{name: [0.1, 0.2] for name in names}})
    assert suggest_metric([one]) == (names[first], None)


def test_the_mean_over_folds_is_no_test_set():
    _, findings = resolve_metric([Run("r", {"step": [1, 2], "test-auc-mean": [0.7, 0.8]})], None, None)
    assert not [one for one in findings if one.kind is Kind.TEST_SET_MONITOR]
    _, findings = resolve_metric([Run("r", {"step": [1, 2], "test-auc": [0.7, 0.8]})], None, None)
    assert [one for one in findings if one.kind is Kind.TEST_SET_MONITOR]
