import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay.engine.simulation import COLUMNS, ORACLE, pick_run, replay_runs, watch

import replay
from replay import Run
from replay.errors import InputError, ReplayWarning
from tests.policies.curves import VALUES

NAN = math.nan


def run(id="r", meta=None, step=None, **columns):
    length = len(next(iter(columns.values())))
    return Run(id, {"step": step or [100 * (1 + place) for place in range(length)], **columns}, meta)


def one(made, policy, **how):
    frame = replay.simulate([made], [policy], **how)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 1
    return frame.iloc[0]


def test_an_outcome_by_hand():
    row = one(run(eval_loss=[1.0, 0.8, 0.9, 0.85, 0.6, 0.7]), "patience=2")
    assert (row.stopped_eval, row.stopped_step, row.evals) == (4, 400, 6)
    assert (row.used, row.used_full) == (400, 600)
    assert row.saved == pytest.approx(1 / 3)
    assert (row.best, row.best_step) == (0.6, 500)
    assert (row.kept, row.kept_step, row["last"]) == (0.8, 200, 0.85)
    assert row.regret == pytest.approx(0.2)
    assert row.relative_regret == pytest.approx(0.2 / 0.6)
    assert row.lost == pytest.approx(0.5)
    assert row.reason == "no gain over 0.8 for 2 evals"
    assert not row.censored


def test_max_mode_mirrors():
    row = one(run(eval_accuracy=[0.1, 0.5, 0.4, 0.45, 0.9, 0.8]), "patience=2")
    assert row["mode"] == "max"
    assert (row.stopped_eval, row.kept, row.best) == (4, 0.5, 0.9)
    assert row.regret == pytest.approx(0.4)
    assert row.lost == pytest.approx(0.5)


def test_a_policy_that_never_fires():
    row = one(run(meta={"trained_steps": 350}, eval_loss=[1.0, 0.8, 0.9]), "patience=3")
    assert row.stopped_eval is None or row.isna().stopped_eval
    assert row.used == row.used_full == 350
    assert row.saved == 0
    assert row.regret == 0


def test_keep_last_and_best_saved():
    made = run(eval_loss=[1.0, 0.5, 0.9, 0.9, 0.9, 0.9], saved=[0, 0, 1, 0, 0, 1])
    assert one(made, "patience=2", keep="last").kept == 0.9
    row = one(made, "patience=2", keep="best-saved")
    assert (row.kept, row.kept_step) == (0.9, 300)
    with pytest.raises(InputError, match="--keep best"):
        one(run(eval_loss=[1.0, 0.5, 0.9]), "patience=1", keep="best-saved")


def test_keep_what_transformers_loads():
    """The best has no checkpoint of its own, and at the next save an older one stays noted: worse than the
    best that was saved."""
    made = run(eval_loss=[1.0, 0.9, 0.5, 0.6, 0.7, 0.7], saved=[0, 1, 0, 1, 0, 1])
    assert one(made, "patience=2", keep="best-saved").kept == 0.6
    row = one(made, "patience=2", keep="transformers")
    assert (row.kept, row.kept_step) == (0.9, 200)
    # before any best was saved, the last weights stay
    row = one(run(eval_loss=[1.0, 0.5, 0.6, 0.7], saved=[0, 0, 0, 1]), "patience=2", keep="transformers")
    assert (row.kept, row.kept_step) == (0.7, 400)
    with pytest.raises(InputError, match="keep is best, best-saved, transformers or last, not 'first'"):
        one(made, "patience=2", keep="first")


def test_judged_by_another_metric():
    """Loss turns while accuracy still rises: stopping on the loss gives accuracy away."""
    made = run(eval_loss=[1.0, 0.5, 0.6, 0.7, 0.8], test_accuracy=[0.1, 0.5, 0.6, 0.8, 0.9])
    row = one(made, "patience=2", monitor="eval_loss", objective="test_accuracy")
    assert (row.stopped_eval, row.kept_step) == (4, 200)
    assert (row.kept, row.best) == (0.5, 0.9)
    assert row.regret == pytest.approx(0.4)
    assert row.lost == pytest.approx(0.5)


def test_an_objective_that_is_not_logged_at_the_kept_eval_is_unknown():
    made = run(eval_loss=[1.0, 0.5, 0.6, 0.7], eval_bleu=[0.1, None, None, 0.4])
    with pytest.warns(ReplayWarning, match="not logged at the kept eval of 1"):
        row = one(made, "patience=2", monitor="eval_loss", objective="eval_bleu")
    assert row.isna().kept
    assert row.isna().regret
    assert row.isna().lost


def test_thinned_evals_pay_for_what_they_make():
    made = run(
        meta={"trained_steps": 600},
        eval_loss=[1.0, 0.1, 0.9, 0.8, 0.85, 0.9],
        train_seconds=[10, 20, 30, 40, 50, 60],
        eval_seconds=[5] * 6,
    )
    row = one(made, "patience=1,every=3", unit="seconds")
    assert row.stopped_eval == 6
    assert row.used == 60 + 2 * 5
    assert row.used_full == 60 + 6 * 5
    assert row.kept == 0.9, "0.1 was at an eval that would not have been made"
    assert row.eval_used == 10


def test_everything_nan_is_no_regret_but_no_crash():
    row = one(run(eval_loss=[NAN, NAN, NAN]), "patience=1")
    assert row.stopped_eval == 1
    assert row.isna().best
    assert row.isna().regret


def test_stopping_on_a_nan_that_recovers_loses_everything():
    row = one(run(eval_loss=[NAN, 1.0, 0.5]), "nonfinite")
    assert row.stopped_eval == 1
    assert row.isna().kept
    assert row.lost == 1.0


def test_nothing_to_lose():
    assert one(run(eval_loss=[0.5, 0.6, 0.7]), "patience=1").lost == 0


@pytest.mark.parametrize(
    ("meta", "values", "censored"),
    [
        ({"planned_steps": 900}, [1.0, 0.5, 0.6], True),
        ({}, [1.0, 0.9, 0.8], True),
        ({}, [1.0, 0.5, 0.6], False),
        ({"stopped_by": "a rule", "planned_steps": 900}, [1.0, 0.5, 0.6], True),
    ],
)
def test_censored_only_where_the_policy_never_fires(meta, values, censored):
    made = run(meta=meta, eval_loss=values)
    assert bool(one(made, "never").censored) is censored
    assert not one(made, "budget=100").censored


def test_baselines_first_and_last():
    made = run(epoch=[0.5, 1.0, 1.5], eval_loss=[1.0, 0.5, 0.6])
    simulation = replay_runs([made], ["patience=1", "never"], baselines=True)
    assert simulation.policies == ["never", "one-epoch", "patience=1", ORACLE]
    oracle = simulation.rows()[-1]
    assert (oracle["stopped_eval"], oracle["regret"], oracle["used"]) == (2, 0, 200)


def test_one_epoch_without_epochs_is_told_and_left_out():
    simulation = replay_runs([run(eval_loss=[1.0, 0.5])], ["patience=1"], baselines=True)
    assert "one-epoch" not in simulation.policies
    assert any("one-epoch needs epoch" in text for text in simulation.warnings)


def test_a_companion_that_is_lacking_is_refused_by_name():
    with pytest.raises(InputError, match="patience=1,unit=epochs needs epoch, which no run logs"):
        replay.simulate([run(eval_loss=[1.0, 0.5])], ["patience=1,unit=epochs"])
    with pytest.raises(InputError, match="budget=3,unit=tokens needs tokens"):
        replay.simulate([run(eval_loss=[1.0, 0.5])], ["budget=3,unit=tokens"])
    both = [run("a", eval_loss=[1.0, 0.5], epoch=[1, 2]), run("b", eval_loss=[1.0, 0.5])]
    with pytest.warns(ReplayWarning, match="1 runs lack: b"):
        assert list(replay.simulate(both, ["patience=1,unit=epochs"]).run) == ["a"]


# --- which metric, which mode
# -----------------------------------------------------------------------------------------


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
    assert watch([stated], None, None)[0].metric == "eval_f1"
    found, _ = watch([run(eval_f1=[0.1], test_loss=[2.0], eval_loss=[1.0])], None, None)
    assert (found.metric, found.mode, found.metric_reason) == ("eval_loss", "min", "the validation loss")
    mixed = [run("a", eval_loss=[1.0]), run("b", **{"eval/loss": [1.0]}), run("c", val_loss=[1.0])]
    found, _ = watch(mixed, None, None)
    assert found.names == {"a": "eval_loss", "b": "eval/loss", "c": "val_loss"}
    assert "logged as" in found.metric_reason


def test_a_given_name_is_found_in_other_spellings_but_not_in_other_words():
    mixed = [run("a", eval_loss=[1.0]), run("b", **{"eval/loss": [1.0]}), run("c", val_loss=[1.0])]
    found, told = watch(mixed, "eval_loss", None)
    assert set(found.names) == {"a", "b"}
    assert told == ["1 of 3 runs have no eval_loss and are left out: c"]


def test_no_default_where_none_is_obvious():
    with pytest.raises(
        InputError, match=r"which metric should be watched\? Give --monitor.*eval_f1 \(1 of 1 runs\)"
    ):
        watch([run(eval_f1=[0.1], eval_acc=[0.2])], None, None)


def test_mode_is_never_guessed_silently():
    with pytest.raises(InputError, match="is eval_foo better when lower or when higher"):
        replay.simulate([run(eval_foo=[1.0, 2.0])], ["patience=1"])
    assert one(run(eval_foo=[1.0, 2.0]), "patience=1", mode="max").best == 2.0
    with pytest.warns(
        ReplayWarning, match="mode max for eval_loss, though its name says that lower is better"
    ):
        replay.simulate([run(eval_loss=[1.0, 2.0])], ["patience=1"], mode="max")
    disagree = [
        run("a", meta={"modes": {"eval_x": "min"}}, eval_x=[1.0]),
        run("b", meta={"modes": {"eval_x": "max"}}, eval_x=[1.0]),
    ]
    with pytest.raises(InputError, match="the logs disagree on eval_x"):
        watch(disagree, None, None)


def test_watching_the_test_set_is_told():
    with pytest.warns(ReplayWarning, match="measured on the test set"):
        replay.simulate(
            [run(eval_loss=[1.0, 0.5], test_loss=[1.0, 0.5])], ["patience=1"], monitor="test_loss"
        )


def test_bad_arguments():
    made = run(eval_loss=[1.0, 0.5])
    with pytest.raises(InputError, match="no runs"):
        replay.simulate([], ["never"])
    with pytest.raises(InputError, match="unique"):
        replay.simulate([made, made], ["never"])
    with pytest.raises(InputError, match="not 3"):
        replay.simulate([made], [3])
    with pytest.raises(InputError, match="keep is"):
        replay.simulate([made], ["never"], keep="first")
    with pytest.raises(InputError, match="mode is min or max"):
        replay.simulate([made], ["never"], mode="low")


def test_runs_without_evals_are_left_out_and_told():
    empty = Run("empty", {"step": []})
    with pytest.warns(ReplayWarning, match="1 of 2 runs have no evals"):
        assert list(replay.simulate([empty, run(eval_loss=[1.0])], ["never"]).run) == ["r"]
    with pytest.raises(InputError, match="no run has a held-out metric"):
        replay.simulate([empty], ["never"])


def test_pick_run():
    runs = [run("a/lr1", eval_loss=[1.0]), run("a/lr10", eval_loss=[1.0])]
    assert pick_run(runs, "a/lr1") is runs[0]
    assert pick_run(runs, "10") is runs[1]
    assert pick_run(runs, None) is runs[0]
    with pytest.raises(InputError, match="fits 2 runs"):
        pick_run(runs, "lr")
    with pytest.raises(InputError, match="no run 'x'"):
        pick_run(runs, "x")


# --- properties
# -------------------------------------------------------------------------------------------------------

POLICIES = [
    "never",
    "patience=1",
    "patience=2,min_delta=0.1",
    "transformers:patience=2",
    "nonfinite",
    "patience=1,every=2",
    "patience=1 & budget=300",
]


@given(
    st.lists(st.lists(VALUES, min_size=1, max_size=10), min_size=1, max_size=4),
    st.sampled_from(["min", "max"]),
)
@settings(max_examples=150, deadline=None)
def test_a_batch_of_runs_gives_what_each_run_gives_alone(curves, mode):
    runs = [run(f"r{number}", eval_x=values) for number, values in enumerate(curves)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplayWarning)
        together = replay_runs(runs, POLICIES, mode=mode).rows()
        alone = [row for made in runs for row in replay_runs([made], POLICIES, mode=mode).rows()]

    def key(row):
        return row["policy"], row["run"]

    assert repr(sorted(together, key=key)) == repr(sorted(alone, key=key))


@given(st.lists(VALUES, min_size=1, max_size=12), st.sampled_from(["min", "max"]), st.sampled_from(POLICIES))
@settings(max_examples=300, deadline=None)
def test_what_holds_for_every_outcome(values, mode, policy):
    row = replay_runs([run(eval_x=values)], [policy], mode=mode).rows()[0]
    assert 0 <= row["saved"] <= 1
    assert row["used"] <= row["used_full"]
    assert row["lost"] is None or 0 <= row["lost"] <= 1
    assert row["regret"] is None or row["regret"] >= 0
    if row["kept"] is not None and row["best"] is not None:
        assert row["kept"] >= row["best"] if mode == "min" else row["kept"] <= row["best"]
    if row["stopped_eval"] is None:
        assert row["saved"] == 0
    assert row["regret"] != 0 or row["lost"] == 0


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=12), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_more_patience_never_stops_earlier_nor_loses_more(values, patience):
    first, second = (
        replay_runs([run(eval_x=values)], [f"patience={wait}"], mode="min").rows()[0]
        for wait in (patience, patience + 1)
    )
    assert (first["stopped_eval"] or np.inf) <= (second["stopped_eval"] or np.inf)
    assert second["regret"] <= first["regret"]


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
        one(run(eval_loss=[1.0, 0.9, 0.95, 0.96]), policy)
    assert one(run(val_loss=[1.0, 0.9, 0.95, 0.96, 0.97]), "tutorial").stopped_eval == 5
