"""Which metric is monitored, which mode it has, and why."""

import pytest

import replay
from replay.engine.metrics import ModeSource, NameSource, resolve_metric
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
    assert sentences(findings) == ["1 of 3 runs have no eval_loss and are left out: c"]


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
